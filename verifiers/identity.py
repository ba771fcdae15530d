"""Numbers of people and organisations: what they look like and which of their check characters hold.

Issuing is strict about these numbers; imported history only records what was found, because licences of the
last forty years carry numbers that never had a right check character. So nothing here refuses: each function
returns the *findings*, an empty tuple when there are none, and the caller decides.

Sources: GB 32100-2015 (unified social credit code, USCC), GB 11714-1997 (organisation code inside it),
GB 11643-1999 (citizen number, fifteen and eighteen digits), GB/T 2260 (region codes), GB/T 36903-2018 annex A
(kinds of holder number).
"""

import datetime as dt
import re
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from stdnum import numdb
from stdnum.cn import ric, uscc


class NumberFinding(StrEnum):
    """One thing that is wrong with a number; the closed list shared by issuing and import."""

    LENGTH = "number.length"
    ALPHABET = "number.alphabet"
    CHECKSUM = "number.checksum"
    INNER_CHECKSUM = "number.inner_checksum"
    DATE = "number.date"
    REGION = "number.region"
    TYPE = "number.type"


HOLDER_ID_TYPES: Final = MappingProxyType(
    {
        "001": "统一社会信用代码",
        "099": "其他法人或其他组织有效证件代码",
        "111": "公民身份号码",
        "114": "军官证",
        "115": "武警警官证",
        "118": "解放军士兵证",
        "119": "武警士兵证",
        "120": "解放军文职人员证",
        "122": "武警文职人员证",
        "411": "外交护照",
        "412": "公务护照",
        "413": "公务普通护照",
        "414": "普通护照",
        "511": "台湾居民来往大陆通行证",
        "516": "港澳居民来往内地通行证",
        "999": "其他自然人有效证件代码",
    }
)
"""Kinds of holder number (GB/T 36903-2018 annex A) and their Chinese names."""

ORGANISATION_ID_TYPES: Final = frozenset({"001", "099"})
"""The kinds that number an organisation; every other kind numbers a person."""

_USCC_SHAPE = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_CITIZEN_SHAPE = re.compile(r"[0-9]{17}[0-9X]")
_OTHER_SHAPE = re.compile(r"[0-9A-Z][0-9A-Z()\-/]{3,39}")
_ORGANISATION_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def uscc_findings(number: str) -> tuple[NumberFinding, ...]:
    """What is wrong with a unified social credit code (GB 32100: 18 characters, check modulo 31).

    The organisation code in characters 9 to 17 has a check character of its own (GB 11714); codes given to
    some organisations after 2015 do not keep it, which is why that is a finding apart.
    """
    if len(number) != 18:
        return (NumberFinding.LENGTH,)
    if not _USCC_SHAPE.fullmatch(number):
        return (NumberFinding.ALPHABET,)
    found = []
    if uscc.calc_check_digit(number[:17]) != number[17]:
        found.append(NumberFinding.CHECKSUM)
    if organisation_check_character(number[8:16]) != number[16]:
        found.append(NumberFinding.INNER_CHECKSUM)
    return tuple(found)


def organisation_check_character(body: str) -> str:
    """The check character of an eight-character organisation code (GB 11714: weights 3,7,9,10,5,8,4,2 modulo 11)."""
    total = sum(
        _ORGANISATION_ALPHABET.index(character) * weight
        for character, weight in zip(body, _ORGANISATION_WEIGHTS, strict=True)
    )
    return "0123456789X"[(11 - total % 11) % 11]


def citizen_findings(number: str, today: dt.date | None = None) -> tuple[NumberFinding, ...]:
    """What is wrong with a citizen number (GB 11643): check character, birth date and region, each by itself.

    `number` has eighteen characters, or fifteen digits as given out before 1999 (no check character). A birth
    date after `today` is a date finding. An unknown region is common in honest numbers, because the table of
    abolished codes has gaps: a strict caller refuses on the first two only.
    """
    if len(number) == 15:
        number = expand_citizen_number(number)
    if len(number) != 18:
        return (NumberFinding.LENGTH,)
    if not _CITIZEN_SHAPE.fullmatch(number):
        return (NumberFinding.ALPHABET,)
    found = []
    if ric.calc_check_digit(number) != number[17]:
        found.append(NumberFinding.CHECKSUM)
    birth = _date(number[6:14])
    if birth is None or birth.year < 1850 or (today is not None and birth > today):
        found.append(NumberFinding.DATE)
    if not region_known(number[:6]):
        found.append(NumberFinding.REGION)
    return tuple(found)


def expand_citizen_number(number: str) -> str:
    """The eighteen-character form of a fifteen-digit citizen number (century 19, check character added).

    Anything that is not fifteen digits comes back unchanged, so this may be applied to every number before it
    is looked up.
    """
    if len(number) != 15 or not number.isascii() or not number.isdigit():
        return number
    body = f"{number[:6]}19{number[6:]}"
    return body + ric.calc_check_digit(body + "0")


def holder_findings(id_type: str, number: str, today: dt.date | None = None) -> tuple[NumberFinding, ...]:
    """What is wrong with a holder's number of kind `id_type` (GB/T 36903 annex A).

    Kinds without a public check rule are only looked at for their characters.
    """
    if id_type not in HOLDER_ID_TYPES:
        return (NumberFinding.TYPE,)
    if id_type == "001":
        return uscc_findings(number)
    if id_type == "111":
        return citizen_findings(number, today)
    return () if _OTHER_SHAPE.fullmatch(number) else (NumberFinding.ALPHABET,)


@lru_cache(maxsize=8192)
def region_known(code: str) -> bool:
    """Whether six digits name a region in GB/T 2260, today or in the past.

    The lists of the past are incomplete, so `False` never proves that a region did not exist.
    """
    return region_name(code) is not None


@lru_cache(maxsize=8192)
def region_name(code: str) -> str | None:
    """The Chinese name of a GB/T 2260 region, province first, or `None`.

    Of a code that was used for several counties the last one is named.
    """
    if len(code) != 6 or not code.isascii() or not code.isdigit():
        return None
    found: dict[str, str] = {}
    for _, properties in numdb.get("cn/loc").info(code):
        found.update(properties)
    if "county" not in found:
        return None
    county = re.sub(r"\[[0-9]*-[0-9]*\]", "", found["county"]).split(",")[-1]
    return found["province"] if code.endswith("0000") else f"{found['province']}{county}"


def _date(text: str) -> dt.date | None:
    """The calendar date of eight digits, or `None` where there is no such day."""
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
