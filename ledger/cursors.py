"""Opaque cursors: where a page ended, as text that callers hand back unread."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ledger.errors import Code, Refusal
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import VerificationError

LIMIT_MAX: Final = 200
"""Most items on one page."""

LIMIT_DEFAULT: Final = 50


def encode_cursor(position: int, id_: str) -> str:
    """Write where a page ended: the last item's position and id."""
    return b64u_encode(orjson.dumps([position, id_]))


def decode_cursor(text: str) -> tuple[int, str]:
    """Read a cursor. Raises `Refusal` cursor.invalid."""
    try:
        value = orjson.loads(b64u_decode(text))
    except (VerificationError, ValueError):
        raise Refusal(Code.CURSOR_INVALID, "/cursor") from None
    if type(value) is not list or len(value) != 2 or type(value[0]) is not int or type(value[1]) is not str:
        raise Refusal(Code.CURSOR_INVALID, "/cursor")
    if not -1 <= value[0] < 2**53 or "\0" in value[1]:
        raise Refusal(Code.CURSOR_INVALID, "/cursor")
    return value[0], value[1]


def page_limit(asked: Any) -> int:
    """Return the number of items on a page: as asked, between 1 and `LIMIT_MAX`. Raises request.member_invalid."""
    if asked is None:
        return LIMIT_DEFAULT
    if type(asked) is not int or not 1 <= asked <= LIMIT_MAX:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/limit", least=1, most=LIMIT_MAX)
    return asked
