"""Identifiers of the things a region keeps: licences, submissions, flags, subjects, batches."""

from __future__ import annotations

import base64
import re
import secrets

_ID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")


def new_id() -> str:
    """Make an identifier: 16 random bytes in base64url, 22 characters.

    It says nothing about when or by whom the thing was made, so it may stand in an URL.
    """
    return base64.urlsafe_b64encode(secrets.token_bytes(16))[:22].decode("ascii")


def is_id(text: str) -> bool:
    """Tell whether `text` is the canonical spelling of 16 bytes in base64url."""
    return _ID.fullmatch(text) is not None
