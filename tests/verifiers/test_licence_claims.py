"""The open claims of a licence at their limits, read quickly and member by member to the same end."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.verifiers.issuer import Issuer, reason_of
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.jws import encode_segment
from verifiers.legal_dates import day_begins, day_of, format_time, parse_date, parse_time
from verifiers.licence import Imported, parse
from verifiers.licence_claims import check_claims, read_claims, read_status, usual_claims
from verifiers.members import Members

ISSUER = Issuer()
IMPORTED = {"issuer": "示例原发证机关", "issued_on": "2001-01-01", "assurance": "declared", "warnings": []}
HOLDER = {"kind": "person"}
URI = "https://" + "x" * 500


def payload(**changes: Any) -> dict[str, Any]:
    """The payload of the example licence, with changes; `...` takes a claim away."""
    unsigned, _ = ISSUER.sign_licence(ISSUER.face())
    members = unsigned.payload | changes
    return {name: value for name, value in members.items() if value is not ...}


def read(claims: dict[str, Any]) -> Any:
    """The licence of these claims, parsed from text."""
    unsigned, _ = ISSUER.sign_licence(ISSUER.face())
    head = unsigned.signing_input.partition(b".")[0].decode()
    shown = "".join(f"{one}~" for one in unsigned.disclosures)
    return parse(f"{head}.{encode_segment(claims)}.{b64u_encode(bytes(64))}~{shown}")


def listed(**changes: Any) -> dict[str, Any]:
    """The claim `status` with a changed reference."""
    return {"status_list": payload()["status"]["status_list"] | changes}


LIMITS: list[tuple[str, list[Any], list[Any]]] = [
    ("version", [1, 999], [0, 1000, True, "1"]),
    ("region", ["000000"], ["61000", "6100000", 610000]),
    ("identifier", ["A" * 8, "1.2." + "Z" * 156], ["A" * 7, "A" * 161, "a" * 8]),
    ("iss", [URI, "http://x"], [URI + "x", "ftp://x", 1]),
    ("vct", [URI], [URI + "x"]),
    ("vct#integrity", ["sha256-" + "/" * 43 + "="], ["sha256-" + "A" * 42 + "=", "sha384-" + "A" * 43 + "="]),
    ("status", [listed(idx=0), listed(idx=2**53 - 1), listed(uri=URI)],
     [listed(idx=-1), listed(idx=2**53), listed(uri=URI + "x"), listed(more=1), listed(idx=True), {}, 1,
      listed() | {"more": 1}]),
    ("issued_on", ["0001-01-01", "9999-12-31"], ["2026-02-30", "2026-1-1", "20260101", 1]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "good", "bad"), LIMITS, ids=[name for name, *_ in LIMITS])
@pytest.mark.parametrize("way", ["quickly", "member by member"])
def test_a_claim_is_read_up_to_its_limit(name: str, good: list[Any], bad: list[Any], way: str) -> None:
    """In both ways; a licence that was imported is read member by member."""
    more = {} if way == "quickly" else {"imported": IMPORTED}
    for value in good:
        claims = payload(**{name: value}, **more)
        quick = usual_claims(claims)
        assert (quick is not None) is (way == "quickly")
        assert quick in (None, plain(claims))
        read(claims)
    for value in bad:
        claims = payload(**{name: value}, **more)
        assert reason_of(read, claims) is reason_of(plain, claims) is Reason.LICENCE
        assert usual_claims(claims) is None


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"fields": {}}, True),
        ({"fields": ...}, False),
        ({"fields": []}, False),
        ({"holders": [HOLDER]}, True),
        ({"holders": [HOLDER] * 64}, True),
        ({"holders": [{"kind": "organisation"}]}, True),
        ({"holders": [HOLDER] * 65}, False),
        ({"holders": []}, False),
        ({"holders": {}}, False),
        ({"holders": ...}, False),
        ({"holders": [1]}, False),
        ({"holders": [HOLDER, {}]}, False),
        ({"holders": [{"kind": "robot"}]}, False),
        ({"holders": [{"kind": ["person"]}]}, False),
    ],
    ids=lambda value: None if isinstance(value, bool) else str(value)[:50],
)
def test_a_licence_has_holders_of_known_kinds_and_fields(changes: dict[str, Any], good: bool) -> None:
    """One to sixty-four, all of them in the open as far as that."""
    assert reason_of(check, payload(**changes)) is (None if good else Reason.LICENCE)


def plain(claims: dict[str, Any]) -> Any:
    """What the slow reader gives."""
    members = Members(claims, Reason.LICENCE)
    return read_claims(members, read_status(members))


def check(claims: dict[str, Any]) -> None:
    """Holders, fields and times of a payload, as every reader looks at them."""
    begins, until = dt.date(2026, 11, 21), dt.date(2031, 11, 20)
    check_claims(claims, claims["iat"], claims.get("nbf"), claims.get("exp"), begins, until)


@pytest.mark.parametrize(
    ("iat", "good"), [(0, True), (2**37, True), (-1, False), (2**37 + 1, False), (1.0, False), ("1", False)]
)
def test_a_time_of_signing_lies_on_the_calendar(iat: Any, good: bool) -> None:
    """Where it lies before the first day, `nbf` says when the licence begins."""
    begins = day_begins(dt.date(2026, 11, 21))
    claims = payload(iat=iat, nbf=begins if good and begins > iat else ...)

    assert reason_of(read, claims) is (None if good else Reason.LICENCE)
    assert (usual_claims(payload(iat=iat)) is not None) is good


def times(valid_from: str, until: str | None, **claims: Any) -> Reason | None:
    """Why a licence with these dates and times is refused."""
    return reason_of(read, payload(valid_from=valid_from, valid_until=until or ..., **({"exp": ...} | claims)))


def test_machine_times_are_those_of_the_legal_dates() -> None:
    """`exp` is the end of the last day in China, `nbf` the beginning of the first where that is still to come."""
    begins, ends = day_begins(dt.date(2026, 11, 21)), day_begins(dt.date(2026, 11, 22))

    assert times("2026-11-21", None) is None
    assert times("2026-11-21", "2026-11-21", exp=ends) is None
    assert times("2026-11-21", "9999-12-31", exp=day_begins(dt.date(9999, 12, 31)) + 86_400) is None
    assert times("2026-11-21", None, iat=begins) is None
    assert times("2026-11-21", None, iat=begins - 1, nbf=begins) is None
    assert times("1901-01-01", "1901-01-01", exp=day_begins(dt.date(1901, 1, 2))) is None
    for wrong in (
        times("2026-11-21", None, exp=ends),
        times("2026-11-21", "2026-11-21"),
        times("2026-11-21", "2026-11-21", exp=ends - 1),
        times("2026-11-21", "2026-11-21", exp=str(ends)),
        times("2026-11-21", None, iat=begins - 1),
        times("2026-11-21", None, iat=begins, nbf=begins),
        times("2026-11-21", None, iat=begins - 1, nbf=begins - 1),
        times("2026-11-21", "2026-11-20", exp=begins),
        times("2026-11-21", "2026-11-31", exp=ends),
    ):
        assert wrong is Reason.LICENCE


def test_a_licence_may_hold_to_the_last_day_there_is() -> None:
    """What is built for it is read again; it used to end in an overflow."""
    last = dt.date(9999, 12, 31)
    _, compact = ISSUER.sign_licence(ISSUER.face(valid_until=last))
    licence = parse(compact)

    assert (licence.valid_until, licence.exp) == (last, day_begins(last) + 86_400)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"assurance": "checked"}, True),
        ({"warnings": ["x"] * 32}, True),
        ({"_sd": ["decoy"]}, True),
        ({"assurance": "sworn"}, False),
        ({"warnings": ["x"] * 33}, False),
        ({"warnings": ...}, False),
        ({"issued_on": "2001"}, False),
        ({"issuer": 1}, False),
        ({"more": 1}, False),
    ],
    ids=str,
)
def test_what_was_imported_says_by_whom_when_and_how_sure_we_are(changes: dict[str, Any], good: bool) -> None:
    """All of it, in words of a closed list."""
    row = {name: value for name, value in (IMPORTED | changes).items() if value is not ...}
    claims = payload(imported=row)
    if not good:
        assert reason_of(plain, claims) is Reason.LICENCE
        return
    found = Imported("示例原发证机关", dt.date(2001, 1, 1), row["assurance"], tuple(row["warnings"]))
    assert plain(claims)[-1] == found and Imported("x", dt.date(2001, 1, 1), "checked").warnings == ()


def test_decoys_of_other_makers_are_passed_over() -> None:
    """In the status and its reference; the rest is still read, slowly."""
    claims = payload(status={"_sd": ["x"], **listed(_sd=["y"])})

    assert usual_claims(claims) is None
    assert plain(claims) == plain(payload())
    for wrong in (listed(_sd=[1]), {"_sd": "x", **listed()}):
        assert reason_of(plain, payload(status=wrong)) is Reason.LICENCE


@pytest.mark.parametrize("name", ["iss", "vct", "vct#integrity", "identifier", "iat", "version", "region", "status",
                                  "issued_on", "valid_from"])  # fmt: skip
def test_no_open_claim_may_be_missing(name: str) -> None:
    """Or hidden, which is the same."""
    assert usual_claims(payload(**{name: ...})) is None
    with pytest.raises(Malformed) as refused:
        plain(payload(**{name: ...}))
    assert refused.value.detail == f"/{name} is missing"


# --- dates of the law ------------------------------------------------------------------------------------------------


def test_days_are_days_in_china() -> None:
    """They begin eight hours before those of UTC; other zones and the zone itself agree."""
    midnight = dt.datetime(2026, 11, 20, 16, tzinfo=dt.UTC)
    second = dt.timedelta(seconds=1)

    assert day_begins(dt.date(1970, 1, 1)) == -28_800 and day_begins(dt.date(1970, 1, 2)) == 57_600
    assert day_begins(day_of(midnight)) == midnight.timestamp()
    for zone in (dt.UTC, dt.timezone(dt.timedelta(hours=-5)), dt.timezone(dt.timedelta(0), "Z")):
        assert day_of(midnight.astimezone(zone)) == dt.date(2026, 11, 21)
        assert day_of((midnight - second).astimezone(zone)) == dt.date(2026, 11, 20)


def test_times_and_dates_have_one_spelling() -> None:
    """Whole seconds in UTC, and ten characters."""
    at = dt.datetime(2026, 11, 21, 8, tzinfo=dt.UTC)

    assert format_time(at.astimezone(dt.timezone(dt.timedelta(hours=8)))) == "2026-11-21T08:00:00Z"
    assert parse_time("2026-11-21T08:00:00Z") == at and parse_time("2026-11-21T08:00:00Z").tzinfo is dt.UTC
    for text in ("2026-11-21T8:00:00Z", "2026-11-21T08:00:00", "2026-11-21T08:00:00+00:00", "2026-11-21"):
        with pytest.raises(ValueError):
            parse_time(text)
    assert parse_date("2026-11-21") == dt.date(2026, 11, 21)
    for text in ("20261121", "2026-W47-6", "2026-11-21 ", ""):
        with pytest.raises(ValueError):
            parse_date(text)
