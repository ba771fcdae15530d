"""Licences are kept as what they were built from: whatever they say, they are written again byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import grants, licences, subjects, types
from ledger.audit_documents import DocumentAudit
from ledger.audit_report import Report
from ledger.auditing import Stored, audit_stored
from ledger.catalogue import Catalogue
from ledger.clock import ManualClock
from ledger.document_records import BUILD, bodies_of, code_payload_of, face_of, signatures_of, status_uri
from ledger.documents import compact_of, cose_of
from ledger.erasing import erase_subject
from ledger.errors import Code, Refusal
from ledger.events import Event, SubjectPart
from ledger.history import load_event
from ledger.region import Region
from tests.ledger import licensing
from tests.region import OPERATOR
from verifiers import canonical
from verifiers.code import parse_code
from verifiers.errors import Malformed, Reason
from verifiers.licence import (
    ErasedHolder,
    Face,
    Holder,
    Imported,
    UnverifiedLicence,
    build,
    header_segment,
    parse,
    parsed,
)

HEADER = "eyJhbGciOiJFUzI0NiJ9"
DEPARTMENT = "116100000100000474"
BASE = "https://ledger.example"
SIGNATURES = bytes(range(128))

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
values = st.one_of(texts, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.lists(texts, max_size=3))
days = st.dates(date(1950, 1, 1), date(2120, 1, 1))
holders = st.builds(
    Holder,
    st.sampled_from(["person", "organisation"]),
    texts,
    st.sampled_from(["111", "001"]),
    texts,
    st.binary(min_size=32, max_size=32),
    st.none() | texts,
    st.none() | texts,
)


def one_seed(face: Face) -> Face:
    """Return `face` as the ledger builds it: the first holder's salts come from the licence's own seed."""
    first, *others = (cast("Holder", each) for each in face.holders)
    return replace(face, holders=(replace(first, seed=face.seed), *others))


faces = st.builds(
    Face,
    iss=st.just(f"{BASE}/d/{DEPARTMENT}"),
    vct=st.just(f"{BASE}/types/11100000MB00000C90901/1"),
    vct_integrity=st.just("sha256-VOBiSRjpcXg66xOmtucxmJqyHVOkLgdYZDlUEQp+3cU="),
    iat=st.integers(1, 2**33),
    identifier=st.just("1.2.156.3005.2.X"),
    version=st.integers(1, 999),
    region=st.just("610000"),
    issued_on=days,
    valid_from=days,
    valid_until=st.none() | days,
    status_uri=st.sampled_from([f"{BASE}/status-lists/7", "https://former.example/status-lists/7"]),
    status_idx=st.integers(0, 2**20),
    holders=st.lists(holders, min_size=1, max_size=4).map(tuple),
    fields=st.dictionaries(st.text("abcdefgh_", min_size=1, max_size=5), values, max_size=8).map(
        lambda fields: dict(sorted(fields.items()))
    ),
    seed=st.binary(min_size=32, max_size=32),
    number=st.none() | texts,
    object=st.none() | texts,
    always_shown=st.frozensets(st.text("abcdefgh_", min_size=1, max_size=1), max_size=4),
    imported=st.none() | st.builds(Imported, texts, days, st.just("declared"), st.lists(texts, max_size=2).map(tuple)),
).map(one_seed)


def event_of(face: Face, erased: frozenset[int] = frozenset()) -> Event:
    """Return the event of a licence, its personal parts as they come back from a record."""
    uri = status_uri(face.iss, DEPARTMENT, 7)
    bodies = bodies_of(face, build(face, header=HEADER), (1, 2), uri, SIGNATURES)
    known = [cast("Holder", each) for each in face.holders]
    facts: dict[str, Any] = {
        "type": "11100000MB00000C90901",
        "major": 1,
        "minor": 0,
        "department": DEPARTMENT,
        "version": face.version,
        "identifier": face.identifier,
        "serial": "1",
        "issued_on": face.issued_on.isoformat(),
        "valid_from": face.valid_from.isoformat(),
        "valid_until": None if face.valid_until is None else face.valid_until.isoformat(),
        "slot": {"list": 7, "idx": face.status_idx},
        "holders": [{"kind": each.kind} | ({"role": each.role} if each.role else {}) for each in known],
        "thing": "x",
    }
    if face.imported is not None:
        said = face.imported
        facts["imported"] = {
            "issuer": said.issuer,
            "issued_on": said.issued_on.isoformat(),
            "assurance": said.assurance,
            "warnings": list(said.warnings),
        }
    parts = tuple(
        None if position in erased else SubjectPart(str(position), canonical.decode_object(canonical.encode(body)))
        for position, body in enumerate(bodies)
    )
    return Event(0, datetime(2026, 1, 1, tzinfo=UTC), "licence.issued", DEPARTMENT, b"", "licence.issued", facts, parts)


def catalogue_of(face: Face) -> Catalogue:
    """Return what of a catalogue is asked for."""
    definition = SimpleNamespace(always_shown=face.always_shown)
    found = SimpleNamespace(vct=face.vct, integrity=face.vct_integrity, definition=definition)
    department = SimpleNamespace(id=DEPARTMENT, iss=face.iss)
    return cast(
        "Catalogue",
        SimpleNamespace(type_version=lambda *_: found, department=lambda _: department),
    )


@settings(max_examples=100, deadline=None)
@given(faces, st.data())
def test_a_licence_is_built_again_byte_for_byte(face: Face, data: st.DataObject) -> None:
    """Whoever of the further holders was erased: what is signed stays, and only what they disclosed is missing."""
    erased = data.draw(st.frozensets(st.integers(1, 3)))
    event, catalogue = event_of(face, erased), catalogue_of(face)

    before, again = build(face, header=HEADER), build(face_of(event, catalogue), header=HEADER)

    assert again.signing_input == before.signing_input
    assert again.common == before.common
    for position, disclosures in enumerate(before.by_holder):
        assert again.by_holder[position] == (() if position in erased else disclosures)
    assert signatures_of(event) == (SIGNATURES[:64], SIGNATURES[64:])


def outcome_of(read: Callable[[], UnverifiedLicence]) -> UnverifiedLicence | tuple[Reason, str]:
    """Return the licence that was read, or why it could not be."""
    try:
        return read()
    except Malformed as error:
        return error.reason, error.detail


@settings(max_examples=300, deadline=None)
@given(faces, st.frozensets(st.integers(1, 3)))
def test_what_was_built_reads_as_if_it_had_been_presented(face: Face, erased: frozenset[int]) -> None:
    """Good or bad, it is the licence that `parse` makes of its text, to the last claim."""
    header, whole = header_segment(b"certificate"), build(face, header=HEADER)
    left = tuple(
        ErasedHolder(each.kind, whole.holder_digests[position], each.role) if position in erased else each
        for position, each in enumerate(face.holders)
    )
    face = replace(face, holders=left)
    unsigned = build(face, header=header)

    found = outcome_of(lambda: parsed(face, unsigned, SIGNATURES[:64]))

    assert found == outcome_of(lambda: parse(unsigned.compact(SIGNATURES[:64])))


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"a": {"_sd": ["x"]}}},
        {"fields": {"a": [{"...": "x"}]}},
        {"fields": {"_sd": ["x"]}},
        {"fields": {"...": "x"}},
        {"fields": {"a": [["b"], {"c": 1}]}},
        {"fields": {f"f{number}": 1 for number in range(600)}},
        {"fields": {"photo": "x" * 300_000}},
        {"valid_until": date(2000, 1, 1)},
        {"identifier": "not one"},
        {"version": 1000},
        {"holders": ()},
    ],
    ids=[
        "digests-below", "digest-in-list", "named-sd", "named-dots", "nested", "many", "large",
        "ends-before", "identifier", "version", "nobody",
    ],
)  # fmt: skip
def test_what_no_reader_accepts_is_not_accepted_because_it_was_built(changes: dict[str, Any]) -> None:
    """Whatever `parse` refuses, or reads in a way of its own, is left to it."""
    face = replace(ISSUED, **changes)
    unsigned = build(face, header=header_segment(b"certificate"))

    found = outcome_of(lambda: parsed(face, unsigned, SIGNATURES[:64]))

    assert found == outcome_of(lambda: parse(unsigned.compact(SIGNATURES[:64])))


def test_a_document_of_another_build_is_not_built_as_if_it_were_ours() -> None:
    """A record says how its document was built; an unknown way is damage, not a guess."""
    face = ISSUED
    event = event_of(face)
    first = event.subjects[0]
    assert first is not None
    other = event._replace(subjects=(SubjectPart("0", {**first.body, "build": BUILD + 1}),))

    with pytest.raises(Refusal) as refused:
        face_of(other, catalogue_of(face))
    with pytest.raises(Refusal):
        code_payload_of(other)

    assert refused.value.code is Code.RECORD_DAMAGED


ISSUED = Face(
    iss=f"{BASE}/d/{DEPARTMENT}",
    vct=f"{BASE}/types/11100000MB00000C90901/1",
    vct_integrity="sha256-VOBiSRjpcXg66xOmtucxmJqyHVOkLgdYZDlUEQp+3cU=",
    iat=1_795_316_833,
    identifier="1.2.156.3005.2.X",
    version=1,
    region="610000",
    issued_on=date(2026, 11, 22),
    valid_from=date(2026, 11, 22),
    valid_until=None,
    status_uri=f"{BASE}/status-lists/7",
    status_idx=5,
    holders=(Holder("person", "示例甲", "111", "610101199001010013", bytes(32)),),
    fields={"a": "1"},
    seed=bytes(32),
)


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region in which a diploma may have several holders, by its second major version."""
    clock = ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        shared = licensing.definition("higher-education-diploma")
        await types.register(region, OPERATOR, shared | {"major": 2, "holders": {"kinds": ["person"], "several": True}})
        grant = {"department": licensing.EDUCATION, "type": licensing.DIPLOMA, "major": 2, "area": "610000"}
        await grants.give(region, OPERATOR, grant | {"acts": licensing.ALL_ACTS})
        yield region


def shared_diploma() -> dict[str, Any]:
    """Return a request for a diploma of two holders."""
    body = licensing.diploma(1, major=2)
    del body["holder"]
    return body | {
        "holders": [
            {**licensing.PERSON, "role": "first", "share": "1/2"},
            {**licensing.OTHER_PERSON, "role": "second", "share": "1/2"},
        ]
    }


async def erase(region: Region, number: str) -> None:
    """Erase the person with this identity number."""
    subject = await region.database.read(lambda tx: subjects.find(tx, region.vault, "111", number))
    assert subject is not None
    await erase_subject(region, OPERATOR, subject, second="示例复核员", ground="个人信息保护法 47", document_no="1")


async def test_a_licence_outlives_the_erasure_of_its_second_holder(region: Region) -> None:
    """What is signed is written again without the one who was erased; without the first nothing is."""
    issued = await licensing.issued(region, licensing.EDUCATION, shared_diploma())
    before = parse(issued.licence)

    await erase(region, licensing.OTHER_PERSON["id"])

    again = parse(await licences.compact(region, issued.id))
    assert again.signing_input == before.signing_input
    assert set(again.sd_jwt.disclosures) < set(before.sd_jwt.disclosures)
    assert [each.get("name") for each in again.claims["holders"]] == [licensing.PERSON["name"], None]
    report = await asyncio.to_thread(audit_stored, Stored.of(region))
    assert report.counts["documents"] == 1 and not [each for each in report.findings if each.where.startswith("record")]
    await erase(region, licensing.PERSON["id"])
    with pytest.raises(Refusal) as refused:
        await licences.compact(region, issued.id)
    assert refused.value.code is Code.LICENCE_ERASED


async def test_what_is_kept_is_small_and_gives_back_what_was_handed_out(region: Region) -> None:
    """The answer, the licence fetched later, and its code are the same bytes; the audit writes every one again."""
    issued = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))

    event = await region.database.read(lambda tx: load_event(tx, region.vault, issued.entry))

    assert compact_of(event, region.catalogue) == issued.licence == await licences.compact(region, issued.id)
    assert cose_of(event) == issued.cose
    assert parse_code(issued.cose).payload == code_payload_of(event)
    await region.publisher.published(issued.entry)
    report = await asyncio.to_thread(audit_stored, Stored.of(region))
    assert report.passed, [str(each) for each in report.findings]
    assert report.counts["documents"] == 1


async def test_the_audit_names_a_licence_that_is_not_built_as_it_was_signed(region: Region) -> None:
    """A field that differs, or a catalogue that says otherwise, cannot give the digest in the statement."""
    issued = await licensing.issued(region, licensing.EDUCATION, licensing.diploma(1))
    event = await region.database.read(lambda tx: load_event(tx, region.vault, issued.entry))
    first = event.subjects[0]
    assert first is not None
    edits: list[dict[str, Any]] = [{"iat": 1}, {"numbers": [9, 9]}, {"fields": {}}]
    for changes in edits:
        report = Report(region.origin, 1)
        with region.database.reading() as tx:
            audit = DocumentAudit(tx, report)
            audit.check(event._replace(subjects=(SubjectPart(first.subject, {**first.body, **changes}),)))
        assert [each.where for each in report.findings] == [f"record {event.idx} part 1"]
