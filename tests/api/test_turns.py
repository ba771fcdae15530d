"""A turn of the event loop begins a few calls, in order, and sends a few away; the others have theirs later."""

import asyncio

import pytest

from api import turns
from api.turns import AT_ONCE, LEAST, LONGEST_S, MOST, WORD_S, Turns


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until it is set."""
    now = [100.0]
    monkeypatch.setattr(turns, "perf_counter", lambda: now[0])
    return now


async def _begun_by_turn(clock: list[float], count: int, each_s: float) -> list[int]:
    """Offer so many calls at once, each of which takes so long, and return how many each turn began."""
    begun: list[int] = []
    by_turn: list[int] = []

    def call(number: int) -> None:
        clock[0] += each_s
        begun.append(number)

    some = Turns(asyncio.get_running_loop())
    for number in range(count):
        some.begin(lambda number=number: call(number))  # type: ignore[misc] # mypy does not see the default
    while True:
        by_turn.append(len(begun) - sum(by_turn))
        if len(begun) == count:
            assert begun == list(range(count))
            return by_turn
        await asyncio.sleep(0)


@pytest.mark.usefixtures("clock")
async def test_few_calls_are_begun_at_once() -> None:
    """A service that is not full makes nobody wait for a turn."""
    begun: list[int] = []
    some = Turns(asyncio.get_running_loop())

    for number in range(MOST):
        some.begin(lambda number=number: begun.append(number))  # type: ignore[misc] # mypy does not see the default

    assert begun == list(range(MOST))


async def test_turns_that_are_long_begin_less_until_they_are_short(clock: list[float]) -> None:
    """Halved with each long turn, down to a few; everybody is begun in the order in which he came."""
    by_turn = await _begun_by_turn(clock, 1000, each_s=0.002)

    assert by_turn[:6] == [MOST, MOST // 2, MOST // 4, MOST // 8, MOST // 16, LEAST]
    assert sum(by_turn) == 1000 and max(by_turn[6:]) <= 2 * LEAST  # 8 ms are neither long nor short


async def test_turns_that_are_short_begin_as_many_as_they_may(clock: list[float]) -> None:
    """Calls that cost next to nothing have no reason to wait."""
    assert await _begun_by_turn(clock, 3 * MOST, each_s=0.00001) == [MOST, MOST, MOST]


async def test_beyond_so_many_a_second_who_is_sent_away_waits_for_the_word(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, the next as the pace allows, nobody longer than the longest; a pause makes up for it."""
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(turns, "perf_counter", lambda: clock[0])
    some = Turns(loop)
    said = []

    class Timers:
        call_soon = loop.call_soon

        @staticmethod
        def call_later(seconds: float, _: object) -> None:
            waits.append(seconds)

    some._loop = Timers()  # type: ignore[assignment] # what is asked of a loop here
    for number in range(30_000):
        some.say(lambda number=number: said.append(number))  # type: ignore[misc] # mypy does not see the default

    assert said == list(range(AT_ONCE))
    assert waits[0] == pytest.approx(WORD_S) and waits[99] == pytest.approx(100 * WORD_S)
    assert max(waits) == LONGEST_S
    clock[0] += 60
    some.say(lambda: said.append(-1))
    assert said[-1] == -1
