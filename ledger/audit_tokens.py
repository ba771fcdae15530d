"""Auditing what was said about licences and about trust: every kept status token, every trust list, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import func, select

from keys.certificates import fingerprint
from keys.errors import BadSignature
from keys.public_key import PublicKey
from ledger.audit_files import Arrivals
from ledger.audit_report import Artefact, Report
from ledger.database import Reading
from ledger.public_files import PublicFiles
from ledger.publication import read_publication
from ledger.replaying import Scratch
from ledger.status_slots import lists_in_use
from ledger.status_tokens import AGGREGATION, pack_list, path_of
from ledger.tables.catalogue import registered_keys
from ledger.tables.publishing import status_tokens, trust_lists
from ledger.trust_publishing import FOLDER, LATEST
from verifiers.errors import Reason, VerificationError
from verifiers.jws import parse_jws
from verifiers.legal_dates import day_of
from verifiers.status_list import LENGTH_MAX, TYP, read_status_list
from verifiers.trust_list import open_trust_list


class StatusAudit:
    """Computes the bits of every token again at the log size the token names, as the replay passes that size."""

    def __init__(self, tx: Reading, origin: str, report: Report) -> None:
        self._origin = origin
        self._report = report
        ordered = select(status_tokens).order_by(status_tokens.c.as_of, status_tokens.c.seq)
        self._rows: Iterator[Any] = iter(tx.execute(ordered.execution_options(yield_per=100)))
        self._next: Any = next(self._rows, None)
        self._bits: dict[int, bytes] = {}
        self._at = -1

    @property
    def next_size(self) -> int | None:
        """The log size the next token names, so that the replay stops there."""
        return None if self._next is None else self._next.as_of

    def reached(self, scratch: Scratch, size: int) -> None:
        """Check the tokens whose bits are those of the log of exactly `size` entries, which `scratch` now holds."""
        while self._next is not None and self._next.as_of <= size:
            row, self._next = self._next, next(self._rows, None)
            turned = scratch.turn(day_of(datetime.fromtimestamp(row.iat, UTC)))
            if turned or self._at != size:
                self._bits, self._at = {}, size
            if row.list_num not in self._bits:
                self._bits[row.list_num] = sha256(pack_list(scratch.tx, row.list_num)).digest()
            self._check(row, self._bits[row.list_num], scratch.tx)
            self._report.count("status tokens")

    def finish(self, size: int) -> None:
        """Name the tokens of a larger log than there is."""
        while self._next is not None:
            where = _where(self._next)
            self._report.add(Artefact.STATUS_LIST, where, f"as of {self._next.as_of}, and the log has {size} entries")
            self._next = next(self._rows, None)

    def _check(self, row: Any, bits: bytes, replayed: Reading) -> None:
        if bytes(row.bits) != bits:
            self._report.add(Artefact.STATUS_LIST, _where(row), "its bits are not those of the causes at that size")
        if row.token is None:
            return
        if sha256(row.token.encode("utf-8")).digest() != bytes(row.digest):
            self._report.add(Artefact.STATUS_LIST, _where(row), "the stored token was changed")
            return
        fault = _token_fault(row, self._origin, replayed)
        if fault is not None:
            self._report.add(Artefact.STATUS_LIST, _where(row), fault)


def check_status_files(tx: Reading, served: Mapping[str, bytes], arrivals: Arrivals, report: Report) -> None:
    """Compare the served status lists and the aggregation document with the stored tokens."""
    newest = select(func.max(status_tokens.c.seq)).group_by(status_tokens.c.list_num)
    uris = lists_in_use(tx)
    for row in tx.execute(select(status_tokens).where(status_tokens.c.seq.in_(newest))):
        path = path_of(row.list_num)
        report.count("status list files")
        if path not in served:
            if arrivals.wait(path):
                continue
            report.add(Artefact.STATUS_LIST, path, "the file is missing")
        elif sha256(served[path]).digest() != bytes(row.digest) and not _was_published(tx, row.list_num, served[path]):
            report.add(Artefact.STATUS_LIST, path, "the file is no token that was published")
    if AGGREGATION in served and not _is_aggregation(served[AGGREGATION], set(uris.values())):
        report.add(Artefact.STATUS_LIST, AGGREGATION, "it does not name the lists in use")


def check_trust_lists(
    tx: Reading,
    files: PublicFiles,
    served: Mapping[str, bytes],
    arrivals: Arrivals,
    root: bytes,
    report: Report,
) -> None:
    """Check the signature and the chain of every trust list, and compare the files with what was logged."""
    pinned, prev = fingerprint(root), None
    published = read_publication(tx).size
    latest = served.get(LATEST)
    logged = latest is None
    ordered = select(trust_lists).order_by(trust_lists.c.seq).execution_options(yield_per=10)
    for seq, row in enumerate(tx.execute(ordered), 1):
        report.count("trust lists")
        text = row.list.encode("utf-8")
        fault = _list_fault(row, seq, prev, pinned)
        if fault is not None:
            report.add(Artefact.TRUST_LIST, f"trust list {row.seq}", fault)
        prev = bytes(row.digest)
        if row.idx >= published:
            continue
        path = f"{FOLDER}/{row.seq}"
        file = files.read(path)
        logged = logged or text == latest
        if file is None and not arrivals.wait(path):
            report.add(Artefact.TRUST_LIST, path, "the file is missing")
        elif file not in (None, text):
            report.add(Artefact.TRUST_LIST, path, "the file is not what was logged")
    if not logged or (latest is None and published and not arrivals.wait(LATEST)):
        report.add(Artefact.TRUST_LIST, LATEST, "the file is no list that was logged")


def _list_fault(row: Any, seq: int, prev: bytes | None, pinned: str) -> str | None:
    if row.seq != seq or sha256(row.list.encode("utf-8")).digest() != bytes(row.digest):
        return "the stored list is not the one that was logged"
    try:
        document = open_trust_list(row.list, root_fingerprint=pinned, at=datetime.fromtimestamp(0, UTC)).document
    except VerificationError as error:
        return error.detail or str(error.reason)
    if document.seq != row.seq or document.prev != prev:
        return "it does not follow the list before it"
    return None


def _token_fault(row: Any, origin: str, replayed: Reading) -> str | None:
    try:
        jws = parse_jws(row.token, typ=TYP, reason=Reason.STATUS, limit=LENGTH_MAX)
        key = _status_key(replayed, str(jws.header.get("kid")))
        if key is None:
            return "signed by a key that is no status key"
        key.check(jws.signing_input, jws.signature)
        found = read_status_list(jws)
    except VerificationError as error:
        return error.detail or str(error.reason)
    except BadSignature:
        return "the signature does not fit"
    said = (
        found.as_of is not None and found.as_of.origin == origin and found.as_of.size == row.as_of,
        int(found.issued_at.timestamp()) == row.iat,
        sha256(found.packed).digest() == bytes(row.bits),
    )
    return None if all(said) else "the token says something else than the row about it"


def _status_key(replayed: Reading, kid: str) -> PublicKey | None:
    table = registered_keys.c
    chosen = select(table.suite, table.spki).where(table.kid == kid, table.purpose == "status")
    row = replayed.execute(chosen).one_or_none()
    return None if row is None else PublicKey(row.suite, bytes(row.spki))


def _was_published(tx: Reading, list_num: int, served: bytes) -> bool:
    """Whether a served file is an earlier token: this host may be a moment behind."""
    same = (status_tokens.c.list_num == list_num) & (status_tokens.c.digest == sha256(served).digest())
    return tx.execute(select(status_tokens.c.seq).where(same)).first() is not None


def _is_aggregation(served: bytes, uris: set[str]) -> bool:
    try:
        return set(orjson.loads(served)["status_lists"]) <= uris
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False


def _where(row: Any) -> str:
    issued = datetime.fromtimestamp(row.iat, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"status list {row.list_num} of {issued} (token {row.seq})"
