"""In which order the slots of a status list are given out: a keyed permutation of the counter (protocol 19).

A list shows which slots are set. Given out in counting order, neighbouring slots would be licences issued together,
so a watcher could tell how many were issued when and which fell together. The permutation is a Feistel network with
ten rounds over 20 bits; the round functions are tables of 1,024 values drawn from HMAC-SHA-256 in counter mode under
a key of the list's own. The key is kept for ever: without it the counter could not go on. Format and example:
docs/formats/status-list.md.
"""

import hmac
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

HALF_BITS: Final = 10
HALF: Final = 1 << HALF_BITS
SLOTS: Final = 1 << 2 * HALF_BITS
"""Slots of every list: 2^20, so that one more bit says little about anybody."""

ROUNDS: Final = 10
_LABEL: Final = b"elicence/slots/v1\0"


@lru_cache(maxsize=64)
def _rounds(secret: bytes, list_num: int) -> tuple[tuple[int, ...], ...]:
    # 16 values of 16 bits come out of each HMAC; 640 HMACs fill the ten tables in about a millisecond.
    key = hmac.digest(secret, _LABEL + list_num.to_bytes(4, "big"), "sha256")
    stream = b"".join(hmac.digest(key, block.to_bytes(4, "big"), "sha256") for block in range(ROUNDS * HALF // 16))
    values = [int.from_bytes(stream[at : at + 2], "big") & (HALF - 1) for at in range(0, len(stream), 2)]
    return tuple(tuple(values[at : at + HALF]) for at in range(0, len(values), HALF))


def slots_at(secret: bytes, list_num: int, counters: Iterable[int]) -> list[int]:
    """Return the slot that belongs to each counter of list `list_num`; raises ValueError for a counter outside 0 …
    2^20 - 1.
    """
    tables = _rounds(secret, list_num)
    slots = []
    for counter in counters:
        if not 0 <= counter < SLOTS:
            raise ValueError(f"no slot {counter} in a list of {SLOTS}")
        left, right = counter >> HALF_BITS, counter & (HALF - 1)
        for table in tables:
            left, right = right, left ^ table[right]
        slots.append(left << HALF_BITS | right)
    return slots


def counters_of(secret: bytes, list_num: int, slots: Iterable[int]) -> list[int]:
    """Return the counter each slot was given out under: the inverse of `slots_at`; raises ValueError for a slot
    outside the list.
    """
    tables = tuple(reversed(_rounds(secret, list_num)))
    counters = []
    for slot in slots:
        if not 0 <= slot < SLOTS:
            raise ValueError(f"no slot {slot} in a list of {SLOTS}")
        left, right = slot >> HALF_BITS, slot & (HALF - 1)
        for table in tables:
            left, right = right ^ table[left], left
        counters.append(left << HALF_BITS | right)
    return counters
