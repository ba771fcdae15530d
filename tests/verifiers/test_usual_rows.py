"""The quick readers of a trust list's rows give what the plain ones give, and print as what they read."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.issuer import Issuer
from verifiers import usual_rows
from verifiers.errors import Reason
from verifiers.members import Members
from verifiers.trust_document import Department, StatusListName, TrustedGrant, TrustedKey, TrustedType

PAYLOAD: dict[str, Any] = Issuer().document().to_json()
READERS: dict[str, tuple[Any, Any]] = {
    "departments": (usual_rows.usual_department, Department),
    "keys": (usual_rows.usual_key, TrustedKey),
    "grants": (usual_rows.usual_grant, TrustedGrant),
    "types": (usual_rows.usual_type, TrustedType),
    "status_lists": (usual_rows.usual_status_list, StatusListName),
}
POSITION = PAYLOAD["keys"][0]["log_from"]
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 999, 1000, 65_535, 65_536, 31_622_401, 2**53, 1.0, "", "x", "active", "issue",
    "merged", "licence", "ES256", "Ed25519", "required", "11610000MB0DEMA10W", "11610000MB0DEMA10W\n", "610000",
    "6100000",
    "https://a.example", "https://a.example\n", "A" * 22, "A" * 43, "A" * 42 + "B", "A" * 44, [], {}, [1], ["issue"],
    ["issue", "change"], ["change", "issue"], ["change", "change"], ["nothing"], ["sha256-" + "A" * 43 + "="],
    ["sha256-" + "A" * 43 + "=\n"], {"en": "a", "zh": "b"}, {"en": "a", "zh": 1}, {"en": "a", "zh": "b", "x": 1},
    POSITION, POSITION | {"size": True}, POSITION | {"size": 2**53}, POSITION | {"size": -1}, POSITION | {"root": "A"},
    POSITION | {"root": "A" * 42 + "B"}, POSITION | {"origin": "a b"}, POSITION | {"more": 1}, POSITION | {"size": 0.0},
]  # fmt: skip
MEMBERS = sorted(
    {name for rows in READERS for row in PAYLOAD[rows] for name in row} | {"log_to", "revoked", "successor"}
)


@st.composite
def nearly(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a row with a member or two changed, taken away or added."""
    kind = draw(st.sampled_from(sorted(READERS)))
    row = copy.deepcopy(draw(st.sampled_from(PAYLOAD[kind])))
    names = st.sampled_from([*row, *row, *MEMBERS])
    for name in draw(st.sets(names, max_size=1)):
        row.pop(name, None)
    return kind, row | draw(st.dictionaries(names, st.sampled_from(ODD), max_size=2))


@given(nearly())
def test_a_row_is_what_the_plain_reader_reads(drawn: tuple[str, Any]) -> None:
    """Where the quick reader gives anything, the plain one gives the same, and it prints as the row."""
    kind, row = drawn
    quick, plain = READERS[kind]
    found = usual_rows.tried(quick)(row)

    if found is not None:
        members = Members(row, Reason.TRUST)
        assert plain.read(members) == found
        members.done()
        printed = found.to_json()
        assert printed == row


@pytest.mark.parametrize("kind", sorted(READERS))
def test_rows_as_they_usually_are_are_read_quickly(kind: str) -> None:
    """Or the comparison above would compare nothing."""
    assert all(usual_rows.tried(READERS[kind][0])(row) is not None for row in PAYLOAD[kind])


@pytest.mark.parametrize("row", [None, 1, "x", [], [1], {}], ids=repr)
def test_what_is_no_row_is_left_to_the_plain_reader(row: Any) -> None:
    """Nothing but `None` comes of it."""
    assert all(usual_rows.tried(quick)(row) is None for quick, _ in READERS.values())
