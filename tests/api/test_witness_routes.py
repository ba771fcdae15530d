"""Our witness as strangers meet it: the specification's status codes, media types and bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import delete

from api.settings import Settings
from ledger import watched_logs
from ledger.tables.witnessing import witness_identity
from tests.api.service import Service, service_on
from tests.ledger.watched_log import FORK, LOG, STRANGER, WatchedLog, renewed, witness_keys
from tests.vectors import vectors
from tests.verifiers.log_world import ORIGIN
from verifiers.add_checkpoint import MAX_BYTES, format_request, origin_hash
from verifiers.checkpoint import Grade, LogPolicy, add_cosignatures, open_checkpoint
from verifiers.note import parse_lines

PATH = "/witness/add-checkpoint"
PLAIN = "text/plain; charset=utf-8"
SEQUENCE = vectors("tlog")["witness_add_checkpoint_sequence"]


@asynccontextmanager
async def witness_on(database_url: str, folder: Path) -> AsyncIterator[Service]:
    """A served region whose witness knows one log and has cosigned it at size 5."""
    async with service_on(database_url, folder) as service:
        await watched_logs.watch(service.region, LOG.vkeys)
        assert (await ask(service, LOG.request(0, 5))).status_code == 200
        yield service


async def ask(service: Service, body: bytes) -> httpx.Response:
    """Send a request as any log would, without an account."""
    return await service.http.post(PATH, content=body)


async def test_a_log_is_cosigned_over_http(database_url: str, tmp_path: Path) -> None:
    """The lines of the answer, and then the checkpoint at the monitoring address, hold under the published keys."""
    async with witness_on(database_url, tmp_path) as service:
        answer = await ask(service, LOG.request(5, 9))

        assert (answer.status_code, answer.headers["content-type"]) == (200, PLAIN)
        policy = LogPolicy(ORIGIN, tuple(key for key, _ in LOG.keys), 1, witness_keys(service.region))
        opened = open_checkpoint(add_cosignatures(LOG.note(9), parse_lines(answer.text)), policy)
        assert opened.grade is Grade.WITNESSED

        shown = await service.http.get(f"/witness/{origin_hash(ORIGIN)}/checkpoint")
        assert (shown.status_code, shown.headers["content-type"]) == (200, PLAIN)
        assert open_checkpoint(shown.text, policy).size == 9


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"garbage", 400),
        (LOG.request(5, 9).replace(b"old 5", b"old 05"), 400),
        (LOG.request(5, 9).replace(b"old 5\n", b"old 5\n" + (b"A" * 43 + b"=\n") * 63), 400),
        (format_request(10, [], LOG.note(9)), 400),
        (WatchedLog(origin="other.example/log").request(5, 9), 404),
        (WatchedLog(keys=STRANGER).request(5, 9), 403),
        (LOG.request(5, 9).replace(b"\n9\n", b"\n8\n"), 403),
        (LOG.request(5, 9).replace(b"old 5", b"old 6"), 409),
        (LOG.request(0, 9), 409),
        (format_request(5, [], LOG.note(9)), 422),
        (format_request(5, LOG.proof(4, 9), LOG.note(9)), 422),
        (FORK.request(5, 5), 422),
        (FORK.request(5, 9), 422),
    ],
    ids=[
        "empty", "garbage", "leading zero", "64 hashes and more", "old larger than the checkpoint", "unknown log",
        "keys of strangers", "signature over another size", "another old size", "old size 0", "no proof", "wrong proof",
        "another root for this size", "fork",
    ],
)  # fmt: skip
async def test_refusals_have_the_codes_of_the_specification(
    sqlite_url: str, tmp_path: Path, body: bytes, status: int
) -> None:
    """Plain text, one line; a conflict names the size to start from, in a media type of its own."""
    async with witness_on(sqlite_url, tmp_path) as service:
        answer = await ask(service, body)

        assert answer.status_code == status, answer.text
        kind = "text/x.tlog.size" if status == 409 else PLAIN
        assert answer.headers["content-type"] == kind
        assert answer.text == "5\n" if status == 409 else answer.text.count("\n") == 1


async def test_a_body_without_end_is_not_read(sqlite_url: str, tmp_path: Path) -> None:
    """It is refused while it arrives, at the bound, whatever it might have become."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MAX_BYTES:
            sent += 65_536
            yield b"x" * 65_536

    async with witness_on(sqlite_url, tmp_path) as service:
        answer = await service.http.post(PATH, content=endless())

        assert (answer.status_code, answer.json()["code"]) == (413, "body.too_large")


async def test_what_was_never_cosigned_is_not_found(sqlite_url: str, tmp_path: Path) -> None:
    """404 for a log without a checkpoint, as for one nobody knows."""
    async with witness_on(sqlite_url, tmp_path) as service:
        answer = await service.http.get(f"/witness/{origin_hash('other.example/log')}/checkpoint")

        assert answer.status_code == 404


async def test_a_witness_without_its_database_says_so_and_the_service_stays_ready(
    sqlite_url: str, tmp_path: Path
) -> None:
    """503 with what to do for whoever asks it, `optional` in readiness, and 200 for those who issue; until renewed."""
    async with witness_on(sqlite_url, tmp_path) as service:
        await service.region.database.write(lambda tx: tx.execute(delete(witness_identity)))

        refused = await ask(service, LOG.request(5, 9))
        ready = await service.http.get("/readyz")

        assert (refused.status_code, refused.json()["code"]) == (503, "witness.state_missing")
        assert ready.json()["checks"]["witness"] == {
            "ready": False,
            "optional": True,
            "detail": "witness.state_missing",
        }
        renewed(service.region)
        assert (await ask(service, LOG.request(0, 9))).status_code == 200


async def test_only_known_logs_get_a_label(sqlite_url: str, tmp_path: Path) -> None:
    """Whoever makes up origins does not make the metrics grow; what a log did against itself is counted."""
    async with witness_on(sqlite_url, tmp_path) as service:
        for number in range(20):
            await ask(service, WatchedLog(origin=f"made-up.example/{number}").request(0, 1))
        await ask(service, b"garbage")
        await ask(service, FORK.request(5, 5))

        metrics = (await service.http.get("/metrics")).text

        assert "made-up.example" not in metrics
        assert 'elicence_witness_answers_total{answer="unknown_log",log=""} 20.0' in metrics
        assert 'elicence_witness_answers_total{answer="malformed",log=""} 1.0' in metrics
        assert f'elicence_witness_answers_total{{answer="cosigned",log="{ORIGIN}"}} 1.0' in metrics
        assert f'elicence_witness_misbehaviour_total{{kind="equivocation",log="{ORIGIN}"}} 1.0' in metrics


# Torchwood's file was written for litewitness of 2025. Where it expects 403 the specification, and litewitness 0.9.0,
# say something else: step 2 is a signature in base64 that is not canonical, which our notes refuse as malformed
# (aics-witness does too, litewitness takes it for a wrong signature: 403); step 3 is a log nobody knows, 404.
PUBLISHED = [200, 400, 404, 422, 422, 200, 409, 200, 409]


async def test_the_published_sequence_of_requests(database_url: str, tmp_path: Path) -> None:
    """Nine requests of a log written by others, in their order, with the documented differences."""
    async with service_on(database_url, tmp_path) as service:
        await watched_logs.watch(service.region, [SEQUENCE["log_vkey"]])

        answers = [await ask(service, step["request"].encode()) for step in SEQUENCE["steps"]]

        assert [answer.status_code for answer in answers] == PUBLISHED
        assert (answers[6].text, answers[8].text) == ("3\n", "5\n")
        name = witness_keys(service.region)[0].name
        assert all(f"— {name} " in answers[step].text for step in (0, 5, 7))
        expected = [step["status_per_spec_HEAD_and_litewitness_0_9_0"] for step in SEQUENCE["steps"]]
        assert [at for at, status in enumerate(expected) if status != PUBLISHED[at]] == [1]


def test_no_log_is_named_like_its_regions_witness() -> None:
    """The one epoch whose origin would be the witness's name is no epoch."""
    with pytest.raises(ValueError, match="no log is named"):
        Settings(epoch="witness")
