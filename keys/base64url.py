"""Base64url without padding, canonical or refused (RFC 4648 §5)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> str:
    """`data` as base64url text without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes that `encode` turns into exactly `text`.

    Padding, line breaks, the other alphabet and stray low bits are refused, so one value has one text.
    Raises `ValueError`.
    """
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:  # binascii.Error and UnicodeEncodeError are both ValueErrors
        raise ValueError("not base64url") from None
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
