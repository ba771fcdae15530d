"""HMAC-SHA-256 with its shared half done once says what the library's says."""

import hmac

import pytest

from verifiers.keyed_hash import KeyedHash


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64])
def test_gives_what_the_library_gives(size: int) -> None:
    """For keys up to a block, messages of every length about a block, and again with the same object."""
    key = bytes(range(100, 100 + size))
    keyed = KeyedHash(key)
    for length in (0, 1, 55, 56, 63, 64, 65, 1000, 0):
        message = bytes(position % 251 for position in range(length))
        assert keyed.digest(message) == hmac.digest(key, message, "sha256")


def test_refuses_a_key_that_would_have_to_be_hashed_first() -> None:
    """None of ours is longer than a block."""
    with pytest.raises(ValueError, match="64 bytes"):
        KeyedHash(bytes(65))
