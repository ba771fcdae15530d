"""Logs and verifiers that others wrote, and our witness between them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tlog import Checkpoint as ScalesCheckpoint

from ledger import watched_logs
from ledger.region import Region
from ledger.witnessing import Outcome, Witness
from tests.interop.served_witness import served_witness
from tests.interop.strangers import Programs
from tests.ledger.watched_log import LOG, watching, witness_keys
from tests.verifiers.log_world import ORIGIN, ed25519
from verifiers.add_checkpoint import origin_hash
from verifiers.checkpoint import Grade, LogPolicy, add_cosignatures, open_checkpoint
from verifiers.note import KeyType, NoteKey, parse_lines

pytestmark = pytest.mark.interop

THEIRS = "their.example/log"
SIZES = [1, 2, 3, 8, 100, 255, 256, 257, 1000, 1024, 1025]


def _key_of(region: Region, kind: KeyType) -> NoteKey:
    return next(key for key in witness_keys(region) if key.type is kind)


@pytest.mark.timeout(600)
async def test_a_client_of_others_is_served_over_many_growths(aics: Programs, sqlite_url: str, tmp_path: Path) -> None:
    """aics-witness' client, which trusts no witness: each growth is cosigned to its satisfaction, and to ours.

    It refreshes, recovers from a conflict, and is refused what it makes up, with the codes it knows.
    """
    async with served_witness(sqlite_url, tmp_path) as (service, url):
        region, (key, _) = service.region, ed25519(THEIRS, 9)
        await watched_logs.watch(region, [key.to_text()])
        vkey = _key_of(region, KeyType.ED25519_COSIGNATURE).to_text()
        given = {"url": url, "vkey": vkey, "origin": THEIRS, "seed": "09" * 32, "sizes": SIZES, "fork": 1024}

        found = await asyncio.to_thread(aics.ask, "feed.py", given)

        for answer, size in zip(found["answers"], SIZES, strict=True):
            for witness in witness_keys(region):
                note = add_cosignatures(answer["note"], parse_lines(answer["lines"].rstrip("\n")))
                grade = Grade.WITNESSED if witness.type is KeyType.ED25519_COSIGNATURE else Grade.PUBLISHED
                opened = open_checkpoint(note, LogPolicy(THEIRS, (key,), 1, (witness,)))
                assert (opened.size, opened.grade) == (size, grade)  # it hands on the lines of the key it was given
        assert found["refreshed"] and found["recovered"]
        assert found["refused"] == {
            "older": {"conflict": SIZES[-1] + 1},
            "another root": {"status": 422},
            "fork": {"status": 422},
            "no proof": {"status": 422},
            "unknown log": {"status": 404},
            "strange key": {"status": 403},
        }
        async with httpx.AsyncClient() as http:
            shown = (await http.get(f"{url}/{origin_hash(THEIRS)}/checkpoint")).text
        policy = LogPolicy(THEIRS, (key,), 1, witness_keys(region))
        assert open_checkpoint(shown, policy).size == SIZES[-1] + 1


async def test_tlog_scales_verifies_our_cosignatures_of_both_types(sqlite_url: str, tmp_path: Path) -> None:
    """0x04 and 0x06, each by itself and beside the log's own lines; not on another head."""
    async with watching(sqlite_url, tmp_path) as (region, witness):
        note = await _cosigned(witness, 0, 7)
        keys = [*(key for key, _ in LOG.keys), *witness_keys(region)]
        theirs = ScalesCheckpoint.from_text(note)

        verified = VkeySet(*(Vkey.from_string(key.to_text()) for key in keys)).verify(theirs.signatures, theirs)

        assert {vkey.key_id for vkey, _ in verified} == {int(key.key_id.hex(), 16) for key in keys}
        other = ScalesCheckpoint.from_text(note.replace("\n7\n", "\n8\n"))
        for key in witness_keys(region):
            vkey = Vkey.from_string(key.to_text())
            theirs.verify(vkey)
            with pytest.raises(Exception, match=r".*"):
                other.verify(vkey)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_go_verifies_our_cosignatures_of_both_types(go: Programs, sqlite_url: str, tmp_path: Path) -> None:
    """transparency-dev's notes: the log's lines and ours over several growths; not on another head."""
    async with watching(sqlite_url, tmp_path) as (region, witness):
        sizes = [1, 2, 7, 8, 300]
        notes = [await _cosigned(witness, old, new) for old, new in zip([0, *sizes], sizes, strict=False)]
        keys = [*(key for key, _ in LOG.keys), *witness_keys(region)]
        cases: list[dict[str, Any]] = [
            {"Origin": ORIGIN, "Keys": [key.to_text() for key in keys], "Checkpoint": note} for note in notes
        ]
        cases += [
            {"Origin": ORIGIN, "Keys": [key.to_text()], "Checkpoint": notes[0].replace("\n1\n", "\n2\n")}
            for key in witness_keys(region)
        ]

        *answers, first, second = await asyncio.to_thread(go.ask, "judge", cases)

        assert [answer["size"] for answer in answers] == sizes
        assert all(answer["signed"] == [int.from_bytes(key.key_id) for key in keys] for answer in answers)
        assert [each["error"].split()[0] for each in (first, second)] == ["signature", "signature"]


async def _cosigned(witness: Witness, old: int, size: int) -> str:
    result = await witness.add_checkpoint(LOG.request(old, size))
    assert result.outcome is Outcome.COSIGNED
    return add_cosignatures(LOG.note(size), parse_lines(result.body))


def test_their_log_signs_with_the_key_we_watch() -> None:
    """The seed given to it is the one our example keys are made from."""
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("09" * 32))

    assert ed25519(THEIRS, 9)[0].public_key.raw == private.public_key().public_bytes_raw()
