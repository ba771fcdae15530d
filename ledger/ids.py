"""Identifiers of the things a region keeps: licences, submissions, flags, subjects, batches."""

from __future__ import annotations

import base64
import re
import secrets
from typing import Final

_ID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")


RUN_SIZE: Final = 4


BETWEEN: Final = ","
"""What keeps identifiers apart that the database gives as one text; none has it in it."""


def new_run() -> bytes:
    """Make the bytes with which identifiers begin that are made together.

    Five indexes have a licence's identifier and four its holder's. Where a batch's lie together in each of them, a
    commit touches few pages; spread over all of it they cost a page each, read, logged and written, and the more the
    larger the region is.
    """
    return secrets.token_bytes(RUN_SIZE)


def new_id(run: bytes = b"") -> str:
    """Make an identifier: 16 random bytes in base64url, 22 characters; the first are those of its `run`, if any.

    It says nothing about when or by whom the thing was made, so it may stand in an URL; two of one run say that they
    were made together. The 12 bytes that are left are too many to guess, or to be drawn twice.
    """
    return base64.urlsafe_b64encode(run + secrets.token_bytes(16 - len(run)))[:22].decode("ascii")


def is_id(text: str) -> bool:
    """Tell whether `text` is the canonical spelling of 16 bytes in base64url."""
    return _ID.fullmatch(text) is not None
