"""`POST /pages/read-frame`: reads the code in one picture of a camera, for browsers that cannot do so themselves.

The picture is neither kept nor logged. Only what a browser sends is taken: JPEG or PNG, bounded in bytes and pixels
before anything is decoded.
"""

import asyncio
import io
from typing import Annotated, Final

import zxingcpp
from fastapi import APIRouter, Depends, Request, Response
from PIL import Image, UnidentifiedImageError

from api.call import allowed
from api.direct_route import DirectRoute
from api.operations import answer, described
from ledger.actors import Actor
from ledger.errors import Code, Refusal

router = APIRouter(tags=["pages"], route_class=DirectRoute)

MAX_BYTES: Final = 1_000_000
MAX_PIXELS: Final = 4_000_000
KINDS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}

# A frame is looked at while the clerk still aims: nothing is done in anybody's name, so no officer has to be named.
Desk = Annotated[Actor, Depends(allowed("window", officer=False))]


@router.post(
    "/pages/read-frame",
    summary="Read the code in a picture",
    **described(
        "readFrame",
        media="image/jpeg",
        refuses=["picture.", "body.too_large", "body.too_slow", "body.media_type"],
    ),
)
async def read_frame(request: Request, _: Desk) -> Response:
    """Return `{"text"}`, `null` where there is no code to be read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise Refusal(Code.BODY_MEDIA_TYPE, expected=sorted(KINDS))
    data = await _bounded(request)
    return answer({"text": await asyncio.to_thread(text_in, data, KINDS[kind])})


async def _bounded(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise Refusal(Code.BODY_TOO_LARGE, limit=MAX_BYTES)
        chunks.append(chunk)
    return b"".join(chunks)


def text_in(data: bytes, kind: str) -> str | None:
    """Return the text of the one QR code in a picture, or `None`.

    Raises `Refusal` picture.unreadable for what is no picture of that kind, picture.too_large for too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Refusal(Code.PICTURE_TOO_LARGE, limit=MAX_PIXELS)
            grey = picture.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise Refusal(Code.PICTURE_UNREADABLE) from None
    found = zxingcpp.read_barcode(grey, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    return found.text if found is not None and found.text else None
