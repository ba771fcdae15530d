"""What operators see of the peers: metrics, readiness and the command's lines."""

from collections.abc import Callable
from pathlib import Path

from api.cli.peer_status import _states, status_line
from tests.regions import regions_world

A, B = "610000", "620000"


async def test_a_silent_peer_is_told_of_everywhere_and_leaves_us_ready(
    tmp_path: Path, sqlite_urls: Callable[[str], str]
) -> None:
    """Metrics, readiness and the command say which peer is silent; the service goes on."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        b = world[B]
        told = (await b.service.http.get("/metrics")).text
        assert f'elicence_peer_state{{region="{A}",state="followed"}} 1.0' in told
        assert f'elicence_peer_log_size{{region="{A}"}} {float(world[A].region.publisher.size)}' in told
        assert f'elicence_peer_evidence{{region="{A}"}} 0.0' in told
        checks = (await b.service.http.get("/readyz")).json()["checks"]
        assert checks["peers"] == {"ready": True, "optional": True}
        b.road.cut.add(A)
        await b.following.step()
        told = (await b.service.http.get("/metrics")).text
        assert f'elicence_peer_state{{region="{A}",state="unreachable"}} 1.0' in told
        assert "followed" not in told
        ready = await b.service.http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["checks"]["peers"] == {"ready": False, "optional": True, "detail": f"{A} unreachable"}


async def test_the_command_reads_what_the_service_stored(tmp_path: Path, sqlite_urls: Callable[[str], str]) -> None:
    """Another process knows state, size and trust list without asking anybody."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        b = world[B]
        b.road.asked.clear()
        [state] = await _states(b.region)
        assert b.road.asked == []
        line = status_line(state)
        assert line.startswith(f"{A}\t示例甲省\tactive\tfollowed\t条目 entries {world[A].region.publisher.size}\t")
        assert f"\t信任列表 list #{state['trust_list']['seq']}\t" in line and line.endswith("证据 evidence 0")
        told = status_line(state | {"age_s": None, "trust_list": None, "detail": "nobody answers there"})
        assert "age -\t信任列表 list -\t" in told
        assert told.endswith("\tnobody answers there")
