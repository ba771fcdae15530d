"""Our witness knows the logs of active peers, under all keys their followed trust lists name, and no others' logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import peers, watched_logs
from ledger.region import Region
from ledger.witnessing import Outcome, Witness
from tests.ledger.watched_log import WatchedLog, witness_keys
from tests.region import OPERATOR
from tests.regions import RegionsWorld, regions_world
from tests.verifiers.log_world import ed25519, mldsa
from verifiers.add_checkpoint import format_request, origin_hash
from verifiers.checkpoint import Grade, LogPolicy, add_cosignatures, open_checkpoint, parse_checkpoint
from verifiers.note import NoteKey, format_note, parse_lines, parse_note
from verifiers.trust_document import TrustedLog
from verifiers.trust_list import TrustList


def published(region: Region) -> str:
    """The newest checkpoint of a region."""
    note = region.files.read("checkpoint")
    assert note is not None
    return note.decode()


async def test_regions_cosign_each_others_logs(tmp_path: Path, database_urls: Callable[[str], str]) -> None:
    """Each under the keys of the other's list; a stripped line is a failure; a list names the witness that signs."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world["610000"].region, world["620000"].region
        note = published(a)
        only_one = parse_note(note)
        stripped = [
            format_note(only_one.text, [line for line in only_one.lines if line.key_id != _key_id(vkey)])
            for vkey in a.vkeys
        ]

        refused = [await Witness(b).add_checkpoint(format_request(0, [], each)) for each in stripped]
        result = await Witness(b).add_checkpoint(format_request(0, [], note))

        assert [each.outcome for each in refused] == [Outcome.UNTRUSTED] * 2
        assert (result.outcome, result.origin) == (Outcome.COSIGNED, a.origin)
        keys = witness_keys(b)
        policy = LogPolicy(a.origin, tuple(_keys(a)), 1, keys)
        cosigned = add_cosignatures(note, parse_lines(result.body))
        assert open_checkpoint(cosigned, policy).grade is Grade.WITNESSED
        assert await Witness(b).latest(origin_hash(a.origin)) is not None
        list_of_b = _list_of(a, "620000")
        assert list_of_b.document.witness is not None
        assert list_of_b.document.witness.vkeys == tuple(key.to_text() for key in keys)
        [listed] = await watched_logs.listed(b)
        assert (listed["origin"], listed["named_by"]) == (a.origin, "610000")


async def test_a_process_that_follows_nobody_reads_what_was_stored(
    tmp_path: Path, database_urls: Callable[[str], str]
) -> None:
    """The list that another process proved is enough; what nobody proved is not looked at."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world["610000"].region, world["620000"].region
        b.following = None

        result = await Witness(b).add_checkpoint(format_request(0, [], published(a)))

        assert result.outcome is Outcome.COSIGNED


async def test_a_peer_that_is_suspended_is_not_cosigned(tmp_path: Path, database_urls: Callable[[str], str]) -> None:
    """Its log is unknown from then on, though what was cosigned is remembered; our own log is never known."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world["610000"].region, world["620000"].region
        note = published(a)
        before = await Witness(b).add_checkpoint(format_request(0, [], note))
        await peers.suspend(b, OPERATOR, "610000", "示例原因")
        size = parse_checkpoint(parse_note(note).text).size

        suspended = await Witness(b).add_checkpoint(format_request(size, [], note))
        own = await Witness(b).add_checkpoint(format_request(0, [], published(b)))

        assert before.outcome is Outcome.COSIGNED
        assert suspended.outcome is own.outcome is Outcome.UNKNOWN_LOG
        assert await Witness(b).latest(origin_hash(a.origin)) is not None


async def test_a_peer_cannot_speak_for_another_regions_log(
    tmp_path: Path, database_urls: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C's list claims A's origin under keys of C's own: B asks A's list about it, and believes no other."""
    async with regions_world(tmp_path, database_urls, count=3) as world:
        a, b = world["610000"].region, world["620000"].region
        forger = WatchedLog(a.origin, (ed25519(a.origin, 21), mldsa(a.origin, 22)))
        theirs = _claiming(world, forger)
        followed = b.following
        assert followed is not None
        honest = followed.trust_list
        monkeypatch.setattr(followed, "trust_list", lambda code: theirs if code == "630000" else honest(code))

        forged = await Witness(b).add_checkpoint(forger.request(0, 5))
        named = [each["origin"] for each in await watched_logs.listed(b)]
        await peers.withdraw(b, OPERATOR, "610000", "示例原因")
        alone = await Witness(b).add_checkpoint(forger.request(0, 5))

        assert (forged.outcome, alone.outcome) == (Outcome.UNTRUSTED, Outcome.UNKNOWN_LOG)
        assert named == [a.origin]  # C's own log is not in the list it shows now


def _claiming(world: RegionsWorld, log: WatchedLog) -> TrustList:
    """C's trust list, with one log instead of its own."""
    honest = _list_of(world["620000"].region, "630000")
    claimed = TrustedLog(log.origin, tuple(log.vkeys))
    document = replace(honest.document, logs=(claimed,))
    return replace(honest, document=document, _logs={log.origin: (0, claimed, claimed.policy())})


def _list_of(region: Region, peer: str) -> TrustList:
    assert region.following is not None
    found: Any = region.following.trust_list(peer)
    assert isinstance(found, TrustList)
    return found


def _keys(region: Region) -> list[NoteKey]:
    return [NoteKey.from_text(vkey) for vkey in region.vkeys]


def _key_id(vkey: str) -> bytes:
    return bytes.fromhex(vkey.split("+")[1])
