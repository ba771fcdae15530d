"""Every row of the fault table, on each engine: what is said, what is there afterwards, and that it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.nursery import Nursery
from tests.faults.subject import BATCH, EVERYTHING, FIRST, LATE, Place
from tests.faults.table import ALL, ANY, ENGINES, NOBODY, ROWS, SERVER, STOPS, Row, possible

pytestmark = pytest.mark.timeout(180)
CLOCK_CODES = {"sqlite": "clock.behind", "postgresql": "clock.ahead"}
_STRIDE = {"sqlite": 23, "postgresql": 41}
"""Every so many rows belong to the short form."""


def _cases() -> list[Any]:
    cases = []
    for engine in ENGINES:
        here = [row for row in ROWS if possible(row, engine)]
        for number, row in enumerate(here):
            marks = [] if number % _STRIDE[engine] == 3 else [pytest.mark.faults]
            marks += [pytest.mark.postgres] if engine == SERVER else []
            cases.append(pytest.param(engine, row, id=f"{engine}-{row.name}", marks=marks))
    return cases


@pytest.mark.parametrize(("engine", "row"), _cases())
def test_a_row_of_the_fault_table(
    engine: str,
    row: Row,
    nursery: Nursery,
    place_on: Callable[[str], Place],
    record_property: Callable[[str, object], None],
) -> None:
    """The fault is suffered; the service starts again, repeats every answer, and the log is one and whole."""
    place = place_on(engine)

    code = nursery.live("suffer", place.url, place.folder, step=str(row.step), fault=str(row.fault))
    said = "" if code in (0, -9) else (place.folder / "suffer.log").read_text()[-6000:]
    assert not said, said
    suffered = place.life("suffered") if (place.folder / "suffered.json").exists() else {"told": {}}
    nursery.sound("repeat", place.url, place.folder)
    repeated = place.life("repeated")

    seen = _seen(code, suffered, repeated)
    record_property("row", [engine, str(row.step), str(row.fault), _text(_expected(row, engine)), _text(seen)])
    assert _agrees(seen, _expected(row, engine)), f"seen {seen}, expected {_expected(row, engine)}"
    if code == 0:
        assert suffered["sabotaged"] and suffered["recovered"] and suffered["ended"], suffered
    assert repeated["recovered"] and repeated["ended"], (place.folder / "repeat.log").read_text()[-3000:]
    _check_answers(suffered, repeated)
    nursery.sound("judge", place.url, place.folder)


def _expected(row: Row, engine: str) -> dict[str, Any]:
    told = CLOCK_CODES[engine] if row.told.startswith("clock.") else row.told
    late = CLOCK_CODES[engine] if row.late.startswith("clock.") else row.late
    return {"going": row.going, "told": told, "stored": row.stored, "late": NOBODY if row.going == STOPS else late}


def _seen(code: int, suffered: dict[str, Any], repeated: dict[str, Any]) -> dict[str, Any]:
    unready = suffered.get("unready", [])
    if suffered.get("told") and "clock." in _heard(suffered, (LATE,)):
        unready = [part for part in unready if part != "trust"]  # where a trust list was due, it waits for the clock
    going = STOPS if code else ", ".join(unready) or "goes on"
    stored = repeated["stored"] if code else suffered["stored"]
    return {"going": going, "told": _heard(suffered, BATCH), "stored": stored, "late": _heard(suffered, (LATE,))}


def _heard(life: dict[str, Any], names: tuple[str, ...]) -> str:
    heard = {_outcome(life["told"].get(name, {})) for name in names}
    return " and ".join(sorted(heard))


def _outcome(answer: dict[str, Any]) -> str:
    return "committed" if "ok" in answer else str(answer.get("refused", NOBODY))


def _agrees(seen: dict[str, Any], expected: dict[str, Any]) -> bool:
    wanted = dict(expected)
    if expected["told"] == ANY:
        wanted["told"] = seen["told"] if seen["told"] in (NOBODY, "committed") else ANY
    if expected["stored"] is None:
        wanted["stored"] = seen["stored"] if seen["stored"] in (0, ALL) else None
    return seen == wanted


def _text(what: dict[str, Any]) -> str:
    return "; ".join([what["going"], what["told"], f"{what['stored']} stored", f"then {what['late']}"])


def _check_answers(suffered: dict[str, Any], repeated: dict[str, Any]) -> None:
    again = repeated["again"]
    assert {name for name, answer in again.items() if "ok" in answer} == {FIRST, *EVERYTHING}, again
    for life in (suffered["told"], suffered.get("again", {})):
        for name, answer in life.items():
            if "ok" in answer:
                assert again[name] == answer, f"{name} was answered otherwise before"
    entries = [again[name]["ok"]["entry"] for name in (FIRST, *EVERYTHING)]
    assert len(set(entries)) == len(entries), "one index for two requests"
