"""Slots of a status list come in an order nobody can guess, each exactly once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.slot_order import SLOTS, counters_of, slots_at

SECRET = bytes(range(32))


def test_every_slot_is_given_out_exactly_once() -> None:
    """The order is a permutation of the whole list."""
    slots = slots_at(SECRET, 54, range(SLOTS))

    assert len(set(slots)) == SLOTS
    assert counters_of(SECRET, 54, slots[:1000]) == list(range(1000))


def test_neighbouring_counters_lie_far_apart() -> None:
    """A thousand licences issued in a row spread over the list as random numbers would."""
    slots = sorted(slots_at(SECRET, 0, range(1000)))

    assert slots[0] < SLOTS // 100
    assert slots[-1] > SLOTS - SLOTS // 100
    assert max(right - left for left, right in pairwise(slots)) < SLOTS // 50


def test_each_list_and_each_key_has_its_own_order() -> None:
    """Knowing one list's order says nothing about another's."""
    one = slots_at(SECRET, 1, range(64))

    assert one != slots_at(SECRET, 2, range(64))
    assert one != slots_at(bytes(32), 1, range(64))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 65_535), st.integers(0, SLOTS - 1))
def test_the_counter_can_be_read_back_from_the_slot(secret: bytes, list_num: int, counter: int) -> None:
    """`counters_of` undoes `slots_at` for every key and list."""
    assert counters_of(secret, list_num, slots_at(secret, list_num, [counter])) == [counter]


@pytest.mark.parametrize("outside", [-1, SLOTS])
def test_a_counter_outside_the_list_is_refused(outside: int) -> None:
    """A full list gives no slot rather than one of somebody else's."""
    with pytest.raises(ValueError, match="no slot"):
        slots_at(SECRET, 1, [outside])
    with pytest.raises(ValueError, match="no slot"):
        counters_of(SECRET, 1, [outside])
