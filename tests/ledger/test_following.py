"""Following peers: what is kept of an honest one, and what becomes of one that lies, stalls or goes silent."""

from collections.abc import Callable
from pathlib import Path

from tests.regions import regions_world
from verifiers.peer_view import Watch


async def test_an_honest_peer_is_followed(tmp_path: Path, database_urls: Callable[[str], str]) -> None:
    """After one look the peer's log is mirrored and verified, its trust list proven, its state good."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world["610000"], world["620000"]
        [state] = b.following.states()
        assert (state["region"], state["state"], state["detail"]) == ("610000", Watch.FOLLOWED, "")
        [view] = b.following.views()
        assert view.trust.region == "610000" and view.watch is Watch.FOLLOWED
        assert state["size"] == state["mirrored"] == a.region.publisher.size
