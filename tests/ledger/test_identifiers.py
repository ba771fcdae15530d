"""Identifiers as they are kept, and how a database of revision 0006 comes to keep them so."""

from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from ledger.database import Database, bulk_insert, migrate
from ledger.errors import Code, Refusal
from ledger.identifiers import KEY_BYTES, key_of, tail_of, whole
from ledger.tables.licences import licence_holders, licence_versions, licences
from ledger.tables.log import thing_events
from ledger.tables.subjects import record_subjects, subjects
from tests.ledger.test_migrations import connected
from verifiers.identifier import Identifier

TYPE, ISSUER, SUCCESSOR = "11610000016000202D001", "11610000016000202D", "11610000MB2A00000X"
ORDINARY = Identifier(TYPE, ISSUER, "A17", 1).text
KEPT = {
    "ordinary": (ORDINARY, 1, ORDINARY[-1]),
    "of a successor": (Identifier(TYPE, SUCCESSOR, "A17", 2).text, 2, None),
    "wrong check": (ORDINARY[:-1] + ("1" if ORDINARY[-1] == "0" else "0"), 1, None),
    "another version": (Identifier(TYPE, ISSUER, "A17", 3).text, 2, None),
    "a thousandth version": (f"{ORDINARY[:-5]}1000.X", 1000, "X"),
    "no check": (ORDINARY[:-1], 1, ""),
    "two parts more": (ORDINARY + ".5", 1, None),
    "one character": ("X", 1, "=X"),
    "old paper": ("YB.1997.0017", 1, "=YB.1997.0017"),
}


@pytest.mark.parametrize("which", sorted(KEPT))
def test_what_is_kept_gives_the_identifier_back(which: str) -> None:
    """Whatever the identifier, its tail and the licence's own parts make it again."""
    identifier, version, expected = KEPT[which]

    tail = tail_of(identifier, TYPE, ISSUER, "A17", version)

    assert whole(tail, TYPE, ISSUER, "A17", version) == identifier
    assert expected is None or tail == expected
    assert len(key_of(identifier)) == KEY_BYTES


def test_upgrade_keeps_licences_and_what_hangs_on_them(empty_database_url: str) -> None:
    """Rows written at revision 0006 are, after the upgrade, what projecting them now would write."""
    migrate(empty_database_url, revision="0006")
    # each with a serial of its own, so that most are made of their licence's parts
    written = [(each[0].replace(".A17.", f".A{number}."), each[1]) for number, each in enumerate(KEPT.values())]
    with connected(empty_database_url) as connection:
        for number, (identifier, version) in enumerate(written):
            write_at_0006(connection, f"L{number}", number, identifier, version)
        connection.commit()

    migrate(empty_database_url)

    database = Database.open(empty_database_url)
    with database.reading() as tx:
        table = licence_versions.c
        found = tx.execute(
            select(table.licence, table.identifier_key, table.identifier_tail, table.change, table.slot).order_by(
                table.idx
            )
        ).all()
        assert [
            (row.licence, bytes(row.identifier_key), row.identifier_tail, row.change, row.slot) for row in found
        ] == [
            (
                f"L{number}",
                key_of(identifier),
                tail_of(identifier, TYPE, ISSUER, f"A{number}", version),
                "issue",
                number,
            )
            for number, (identifier, version) in enumerate(written)
        ]
        assert [row.serial for row in tx.execute(select(licences).order_by(licences.c.created_idx))] == [
            f"A{number}" for number in range(len(KEPT))
        ]
        last = len(KEPT) - 1
        assert tx.execute(thing_events.select().where(thing_events.c.thing == f"L{last}")).all() == [
            (f"L{last}", 1, last)
        ]
        assert tx.execute(record_subjects.select().where(record_subjects.c.idx == last)).all() == [
            (last, 1, f"S{last}")
        ]
        assert tx.execute(subjects.select().where(subjects.c.id == f"S{last}")).all() == [(f"S{last}", "person", last)]
        holder = (f"L{last}", 0, f"S{last}", "person", "")
        assert tx.execute(licence_holders.select().where(licence_holders.c.subject == f"S{last}")).all() == [holder]
    taken = new_version(written[0][0])
    with pytest.raises(Refusal) as refused, database.writing() as tx:
        bulk_insert(tx, licence_versions, [taken])
    assert refused.value.code is Code.NUMBER_TAKEN
    database.close()


def test_small_tables_of_sqlite_are_one_tree(sqlite_url: str) -> None:
    """What the code lays in its primary key the database lays there too; comparing schemas does not show it."""
    with connected(sqlite_url) as connection:
        found = connection.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'")).scalars()
        assert set(found) == {
            table.name
            for table in licences.metadata.tables.values()
            if not table.dialect_options["sqlite"]["with_rowid"]
        }


def write_at_0006(connection: Connection, licence: str, idx: int, identifier: str, version: int) -> None:
    """Write a licence with its document, holder and event as the release of revision 0006 did."""
    shared = {"valid_from": "2026-01-01"}
    rows: dict[str, dict[str, Any]] = {
        "licences": shared
        | {
            "id": licence,
            "type": TYPE,
            "major": 1,
            "department": ISSUER,
            "issuer": ISSUER,
            "area": "610000",
            "serial": f"A{idx}",
            "identifier": identifier,
            "origin_kind": "issued",
            "current_version": version,
            "state": "valid",
            "secret": b"s",
            "created_idx": idx,
        },
        "licence_versions": shared
        | {
            "licence": licence,
            "version": version,
            "idx": idx,
            "change": "issue",
            "minor": 0,
            "identifier": identifier,
            "list_num": 1,
            "slot": idx,
            "jws_digest": b"j%d" % idx,
            "code_digest": b"c%d" % idx,
            "kid_licence": "k",
            "kid_code": "k",
        },
        "licence_holders": {"licence": licence, "ord": 0, "subject": f"S{idx}", "kind": "person", "role": ""},
        "subjects": {"id": f"S{idx}", "kind": "person", "created_idx": idx},
        "record_subjects": {"idx": idx, "part": 1, "subject": f"S{idx}"},
        "thing_events": {"thing": licence, "n": 1, "idx": idx},
    }
    for table, row in rows.items():
        names = ", ".join(row)
        places = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)


def new_version(identifier: str) -> tuple[Any, ...]:
    """Make the row of another licence's document with this identifier."""
    tail = tail_of(identifier, TYPE, ISSUER, "A17", 1)
    return ("L99", 1, 99, "issue", 0, key_of(identifier), tail, 1, 99, b"j", b"c", "k", "k", "2026-01-01", None, None)
