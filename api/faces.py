"""The face of a licence, on paper or screen: SVG and PDF from its type's template.

Typst lays the page out, with Noto's Chinese fonts from a package, so nothing of the machine's own fonts shows. All
values go in as JSON data, never as markup, so a field cannot change the page. Every face of this build is marked
示例 and carries no legal seal.
"""

from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import orjson
import typst

from api import qr_codes

MARK = "示例"
NOTICE = "示例证照，不具法律效力，未加盖电子印章 · Specimen without legal effect, no electronic seal"
SERIF = "Noto Serif SC"
SANS = "Noto Sans SC"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the face: the field's label and its value as printed."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Face:
    """Everything that is printed; `code` is the text of the static code."""

    title: str
    title_en: str
    number: str
    identifier: str
    issuer: str
    issued_on: str
    rows: tuple[Row, ...]
    code: str
    orientation: Literal["portrait", "landscape"] = "landscape"
    colour: str = "#8a1c1c"
    labels: dict[str, str] = field(
        default_factory=lambda: {
            "number": "证照编号",
            "issuer": "发证机关",
            "issued": "发证日期",
            "identifier": "证照标识",
        }
    )


@cache
def _template() -> bytes:
    return resources.files("api").joinpath("templates/face.typ").read_bytes()


@cache
def _fonts() -> typst.Fonts:
    """Return the packaged fonts; they are read once a process (20 MB)."""
    import pylopdf_fonts_zh_cn

    folder = Path(str(pylopdf_fonts_zh_cn.__file__)).parent
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])


def _inputs(face: Face) -> dict[str, str]:
    data = asdict(face)
    labels = data.pop("labels")
    data.update({f"{name}_label": text for name, text in labels.items()})
    data.update(mark=MARK, notice=NOTICE, serif=SERIF, sans=SANS, qr=qr_codes.svg(face.code, "print"))
    return {"face": orjson.dumps(data).decode()}


def svg(face: Face) -> bytes:
    """Return the face as an SVG document; text is drawn as outlines, so it looks the same everywhere."""
    return _first(typst.compile(_template(), format="svg", font_paths=_fonts(), sys_inputs=_inputs(face)))


def pdf(face: Face) -> bytes:
    """Return the face as a PDF/A-2b document of one page."""
    return _first(
        typst.compile(_template(), format="pdf", font_paths=_fonts(), sys_inputs=_inputs(face), pdf_standards="a-2b")
    )


def _first(pages: bytes | list[bytes] | None) -> bytes:
    """Return the first page: long values may flow over, the code stands on the first page's foot or is repeated."""
    if isinstance(pages, bytes):
        return pages
    if not pages:
        message = "the face has no page"
        raise ValueError(message)
    return pages[0]
