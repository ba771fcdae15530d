"""QR symbols of the two codes: segments chosen by us, error correction never boosted in silence.

A static code is upper-case alphanumeric but for its `#`, so it is laid as three segments (alphanumeric, byte,
alphanumeric); as one segment the whole would fall to byte mode and grow by four versions (docs/formats/static-code.md).
Print uses level Q (12 % of the symbol may be stained), screens level M.
"""

import io
import re
from typing import Literal

import qrcode
from qrcode.constants import ERROR_CORRECT_M, ERROR_CORRECT_Q
from qrcode.image.svg import SvgPathImage
from qrcode.util import MODE_8BIT_BYTE, MODE_ALPHA_NUM, QRData

QUIET_ZONE = 4
"""Modules of white around a symbol (ISO/IEC 18004 §6.3.8)."""
MAX_VERSION = 13
"""Largest symbol printed: 69 modules fit 4 cm at 3 px a module on a 720p camera."""

_ALPHANUMERIC = re.compile(r"[0-9A-Z $%*+\-./:]+")
Level = Literal["print", "screen"]


def symbol(text: str, level: Level) -> "qrcode.QRCode[SvgPathImage]":
    """Return the QR symbol of `text`, at most version 13.

    Raises `ValueError` where the text does not fit.
    """
    code: qrcode.QRCode[SvgPathImage] = qrcode.QRCode(
        error_correction=ERROR_CORRECT_Q if level == "print" else ERROR_CORRECT_M,
        border=QUIET_ZONE,
        image_factory=SvgPathImage,
        box_size=10,
    )
    for part in _segments(text):
        mode = MODE_ALPHA_NUM if _ALPHANUMERIC.fullmatch(part) else MODE_8BIT_BYTE
        code.add_data(QRData(part.encode(), mode=mode), optimize=0)
    code.make(fit=True)
    if code.version > MAX_VERSION:
        message = f"text of {len(text)} characters needs QR version {code.version}; {MAX_VERSION} is the most"
        raise ValueError(message)
    return code


def _segments(text: str) -> list[str]:
    head, mark, tail = text.partition("#")
    return [part for part in (head, mark, tail) if part]


def svg(text: str, level: Level = "print") -> str:
    """Return the symbol of `text` as an SVG document."""
    out = io.BytesIO()
    symbol(text, level).make_image(attrib={"class": "qr"}).save(out)
    return out.getvalue().decode("utf-8")


def png(text: str, level: Level = "print", pixels_per_module: int = 8) -> bytes:
    """Return the symbol of `text` as a black and white PNG with `pixels_per_module`."""
    from PIL import Image

    matrix = symbol(text, level).get_matrix()
    side = len(matrix)
    image = Image.new("1", (side, side), 1)
    image.putdata([0 if dark else 1 for row in matrix for dark in row])
    out = io.BytesIO()
    image.resize((side * pixels_per_module, side * pixels_per_module), Image.Resampling.NEAREST).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()
