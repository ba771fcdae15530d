"""The printed face: readable code, right text, no markup from outside."""

import io

import pytest
import zxingcpp
from PIL import Image, ImageDraw, ImageFilter

from api import faces, qr_codes

CODE = "HTTPS://REGION.EXAMPLE/V#" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" * 8
FACE = faces.Face(
    title="食品经营许可证",
    title_en="Food Business Licence",
    number="JY1",
    identifier="1.2.156.3005.2.X",
    issuer="示例局",
    issued_on="2026年11月21日",
    rows=(faces.Row("经营者名称", '#panic("x") *b* $1/0$ \\'),),
    code=CODE,
)


def read(image: Image.Image) -> str | None:
    """Return the text of the one code in `image`."""
    found = zxingcpp.read_barcode(image.convert("L"))
    return found.text if found else None


def test_a_face_is_one_page_of_svg_and_of_pdf() -> None:
    """Both forms come out whole; markup in a field is shown, not run."""
    assert faces.svg(FACE).startswith(b"<svg")
    assert faces.pdf(FACE).startswith(b"%PDF-")


def test_the_printed_code_decodes_at_three_pixels_a_module_with_a_stain() -> None:
    """Level Q keeps a code readable with 8 % of it covered (docs/formats/static-code.md)."""
    symbol = Image.open(io.BytesIO(qr_codes.png(CODE, "print", pixels_per_module=3))).convert("L")
    side = symbol.width
    stain = int((0.08 * side * side) ** 0.5)
    ImageDraw.Draw(symbol).rectangle((side // 2, side // 2, side // 2 + stain, side // 2 + stain), fill=90)

    assert read(symbol.filter(ImageFilter.GaussianBlur(0.8))) == CODE


def test_a_code_is_laid_in_three_segments() -> None:
    """As one segment it would fall to byte mode and need a larger symbol."""
    assert qr_codes.symbol(CODE, "print").version <= 12
    with pytest.raises(ValueError, match="QR version 15"):
        qr_codes.symbol(CODE.replace("#", "?"), "print")


def test_a_text_that_does_not_fit_is_refused() -> None:
    """No symbol larger than can be printed and read."""
    with pytest.raises(ValueError, match="QR version"):
        qr_codes.symbol(CODE * 3, "print")


def test_the_svg_symbol_says_what_the_png_says() -> None:
    """Both are drawn from the same modules."""
    assert qr_codes.svg(CODE).count("<path") == 1
    assert read(Image.open(io.BytesIO(qr_codes.png(CODE)))) == CODE
