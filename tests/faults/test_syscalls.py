"""Every system call that an append and a publication make on their files: killed there, or answered EIO or ENOSPC."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ledger.clock import SystemClock
from tests.faults import appended
from tests.faults.appended import ACKNOWLEDGED, told
from tests.faults.nursery import Nursery
from tests.faults.subject import BATCH, Place
from tests.faults.tracing import Call, calls_on, traced, why_not

pytestmark = pytest.mark.timeout(1500)

FAULTS = {"killed": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
"""After EIO on the database, power fails as soon as a caller has been refused: then it must not be there either."""

_BESIDES = ("append.log", ACKNOWLEDGED, "signed", "keys")
_SAMPLE = 60
"""In the short form every so many calls are made to fail, others with each fault."""

Copying = Callable[[], Place]


@pytest.fixture
def copies(sqlite_place: Path, tmp_path: Path) -> Copying:
    """Give what makes one copy after the other of a resting region; the last one is gone when the next is made."""
    if why := why_not():
        pytest.skip(why)

    def make() -> Place:
        folder = tmp_path / "place"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sqlite_place, folder)
        return Place(f"sqlite:///{folder / 'ledger.db'}", folder)

    return make


def suffer(nursery: Nursery, place: Place, call: Call, fault: str) -> str:
    """Make one call fail, go on afterwards, and fail where a promise was broken; gives what was seen."""
    inject = f"{call.name}:{FAULTS[fault]}:when={call.number}"
    case = f"{call}, {fault}"
    dies = fault == "EIO" and call.file.startswith("ledger.db")
    code, trace = traced(nursery, place.url, place.folder, inject, names=BATCH, dies=dies)
    said = (place.folder / "append.log").read_text()
    assert code == 0 or ((dies or fault == "killed") and code == -9), f"{case}: it did not go on\n{said[-4000:]}"
    before = told(place)
    nursery.sound("afterwards", place.url, place.folder)

    refused = {rest[0] for _, *rest in before if len(rest) == 1}
    assert refused <= {"database.unavailable", "storage.full", "commit.unknown"}, f"{case}: {refused}"
    there = int((place.folder / "count").read_text())
    if code == -9 and refused and "commit.unknown" not in refused:
        assert there == 1, f"{case}: told {refused}, and yet {there - 1} of the batch are there"
    answers: dict[str, list[object]] = {}
    for name, *rest in told(place):
        if len(rest) == 2:
            assert answers.setdefault(name, rest) == rest, f"{case}: two answers to {name}"
    if any(len(rest) == 2 for _, *rest in before):
        assert there == 1 + len(BATCH), f"{case}: {there - 1} of the batch are there"
    if code == -9:
        return "restarted" + (f" after {', '.join(sorted(refused))}" if refused else "")
    reached = "INJECTED" in trace
    return "went on" if reached else "not reached"


def enumerated(nursery: Nursery, copies: Copying) -> list[Call]:
    """List the calls of a life without faults; of the second, because the first may write byte code besides."""
    place = copies()
    traced(nursery, place.url, place.folder, names=BATCH)
    place = copies()
    code, trace = traced(nursery, place.url, place.folder, names=BATCH)
    assert code == 0, (place.folder / "append.log").read_text()[-4000:]
    found = calls_on(trace, place.folder, _BESIDES)
    assert {"pwrite64", "fdatasync", "fsync", "rename", "openat"} <= {call.name for call in found}
    return found


def chosen(calls: list[Call], fault: str, *, sample: bool) -> list[Call]:
    """Choose which calls fail: all of them, or every so many."""
    if fault == "ENOSPC":
        calls = [call for call in calls if call.name not in ("fdatasync", "unlink", "unlinkat")]
    start = 5 + 7 * [*FAULTS].index(fault)
    # The one that makes a commit durable is in every sample: a batch came back after a crash once that was refused.
    syncs = [call for call in calls if call.name == "fdatasync" and call.file.endswith("-wal")][2:4]
    return [*calls[start::_SAMPLE], *(syncs if fault == "EIO" else [])] if sample else calls


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("form", ["sample", pytest.param("all", marks=pytest.mark.faults)])
def test_any_system_call_may_fail(
    nursery: Nursery, copies: Copying, form: str, fault: str, record_property: Callable[[str, object], None]
) -> None:
    """What was acknowledged is there, what was refused is not, and the log goes on as one."""
    calls = enumerated(nursery, copies)
    seen: dict[str, dict[str, int]] = {}
    broken: list[str] = []
    for call in chosen(calls, fault, sample=form == "sample"):
        try:
            what = suffer(nursery, copies(), call, fault)
        except AssertionError as error:  # the others are worth knowing too
            what = "BROKEN"
            broken.append(str(error))
        counts = seen.setdefault(f"{call.name} on {_kind(call.file)}", {})
        counts[what] = counts.get(what, 0) + 1
    for where, counts in seen.items():
        told_ = ", ".join(f"{number} {what}" for what, number in counts.items())
        record_property("row", ["strace", where, fault, "goes on, or restarts whole", told_])
    assert seen and not broken, f"{len(broken)} broken: " + "\n\n".join(broken[:8])


def _kind(file: str) -> str:
    file = re.sub(r"\.new-\w+", ".new-*", file)
    if file.startswith("ledger.db"):
        return {"ledger.db-wal": "the WAL", "ledger.db-shm": "the WAL's index"}.get(file, "the database")
    folder, _, name = file.removeprefix("public").lstrip("/").rpartition("/")
    folder = folder.partition("/")[0]
    return f"{folder or 'public'}/{'temporary file' if '.new-' in name else 'file'}" if name else "a folder"


class _Later(SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


def test_a_region_that_rested_for_an_hour_publishes_its_next_trust_list_too(
    sqlite_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long runs begin their last lives so late; what is due then is an entry, and is published with the rest."""
    shutil.copytree(sqlite_place, tmp_path / "place")
    place = Place(f"sqlite:///{tmp_path / 'place' / 'ledger.db'}", tmp_path / "place")
    monkeypatch.setattr(appended, "SystemClock", _Later)

    asyncio.run(appended.append(place, BATCH))

    assert [name for name, *rest in told(place) if len(rest) == 2] == list(BATCH)
