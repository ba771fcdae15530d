"""A region of this very day, because other people's verifiers read the clock, and licences of many shapes from it."""

import datetime as dt
from typing import Any

from tests.verifiers.issuer import MARKET, Issued, Issuer, seed
from verifiers.licence import Holder

LICENCE_KEY = f"{MARKET}/licence"


def region_of_today() -> Issuer:
    """An issuer whose documents are valid while the test runs."""
    return Issuer(now=dt.datetime.now(dt.UTC).replace(microsecond=0))


def issue(region: Issuer, idx: int, **changes: Any) -> Issued:
    """A licence valid since yesterday."""
    day = region.now.date() - dt.timedelta(days=1)
    changes = {"issued_on": day, "valid_from": day} | changes
    return region.issue(idx, **changes)


def many(region: Issuer) -> list[Issued]:
    """Licences with none to many hidden fields, one to three holders, Chinese text, nesting, open end."""
    people = [Holder("person", f"示例{name}", "999", f"N{name}", seed(name), "负责人", "1/3") for name in "甲乙丙"]
    shapes: list[dict[str, Any]] = [
        {},
        {"valid_until": None},
        {"fields": {}, "number": None},
        {"fields": {"scope": "预包装食品销售"}, "always_shown": frozenset({"scope"})},
        {"fields": {f"field_{place}": f"值{place}" for place in range(12)}, "object": "示例路1号"},
        {"fields": {"list": ["甲", "乙"], "deep": {"a": {"b": [1, True, None]}}, "empty": ""}},
        {"holders": tuple(people)},
        {"holders": tuple(people[:2]), "number": '"\\/\u2028'},
    ]
    return [issue(region, idx, **shape) for idx, shape in enumerate(shapes, 1)]


def private_scalar(region: Issuer, name: str = LICENCE_KEY) -> int:
    """The private number of a key, for other people's issuers."""
    entry = region.store._private[region.public(name).kid]
    scalar: int = entry._held.private_numbers().private_value
    return scalar
