"""Reading the members of a document: bounds hold in the plain and in the quick way."""

from __future__ import annotations

from typing import Any

import pytest

from verifiers.errors import Malformed, Reason
from verifiers.grace import allowed_age_abroad_s, allowed_age_s
from verifiers.members import Members
from verifiers.policy import Seen
from verifiers.trust_document import TrustedType


def quick(value: Any) -> int | None:
    """Take a number that stands alone."""
    return value.get("n") if type(value) is dict else None


@pytest.mark.parametrize("way", [None, quick], ids=["plain", "quick"])
def test_an_array_has_no_more_elements_than_it_may(way: Any) -> None:
    """Two where two are allowed, not three."""

    def read(count: int) -> tuple[int, ...]:
        members = Members({"rows": [{"n": 1}] * count}, Reason.KIT)
        return members.objects("rows", lambda row: row.integer("n"), 2, quick=way)

    assert read(2) == (1, 1)
    with pytest.raises(Malformed, match="has more than 2 elements"):
        read(3)


def test_what_a_verifier_remembers_has_no_other_members() -> None:
    """A file of a later version is not half understood."""
    document = Seen().to_json()

    assert Seen.from_json(document) == Seen()
    with pytest.raises(Malformed):
        Seen.from_json(document | {"more": 1})


@pytest.mark.parametrize(("ttl", "grace", "allowed"), [(None, 0, 0), (30, 0, 30), (30, 60, 60), (60, 30, 60)])
def test_a_list_may_be_as_old_as_ttl_or_grace_say(ttl: int | None, grace: int, allowed: int) -> None:
    """Whichever is longer; abroad not longer than our own type's grace."""
    kind = TrustedType(1, "T", 1, "https://ledger.example/t", (), None, grace, "required")  # type: ignore[arg-type]
    strict = TrustedType(1, "T", 1, "https://ledger.example/t", (), None, 0, "required")  # type: ignore[arg-type]

    assert allowed_age_s(ttl, kind) == allowed
    assert allowed_age_abroad_s(ttl, kind, None, kind) == min(allowed, grace)
    assert allowed_age_abroad_s(ttl, kind, None, strict) == 0
