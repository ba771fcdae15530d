"""Fixtures for the tests of keys and certificates."""

import pytest

from tests.keys.chain import Chain, made


@pytest.fixture
async def chain() -> Chain:
    """Give a fresh root and leaf."""
    return await made()
