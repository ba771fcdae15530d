"""`elicence-verify`: check licences, bundles, codes and receipts without a network or an account.

This file alone in `verifiers` opens files and reads the clock. Exit status: 0 valid, 1 invalid, 2 undetermined, 3 usage
error; of several files the worst counts.
"""

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from keys.certificates import fingerprint, parse_fingerprint
from keys.certification import from_pem_or_der
from keys.errors import BadCertificate
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.errors import Reason, VerificationError
from verifiers.grace import describe_table, grace_table
from verifiers.kit import LENGTH_MAX as KIT_MAX
from verifiers.kit import Kit, open_kit
from verifiers.legal_dates import format_time
from verifiers.peer_view import PeerView
from verifiers.policy import Policy, Seen
from verifiers.reasons import UNDETERMINED, title
from verifiers.report import describe
from verifiers.status_list import StatusList, open_status_list
from verifiers.trust_list import TrustList, claimed_root, open_trust_list
from verifiers.verdict import Check, Finding, Mark, NotVerified, Outcome, Step, Verdict
from verifiers.verification import verify

EXIT = {Outcome.VALID: 0, Outcome.INVALID: 1, Outcome.UNDETERMINED: 2}
USAGE = 3
_FILE_MAX = 128 * 1024 * 1024
_FINGERPRINT_FILE_MAX = 1024


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except _Usage as error:
        sys.stderr.write(f"elicence-verify: {error}\n")
        return USAGE


class _Usage(Exception):
    """The command cannot do what it was asked: a file cannot be read, an option makes no sense."""


def _parser() -> _Parser:
    parser = _Parser(prog="elicence-verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="a licence, bundle, code text or receipt; - for stdin")
    parser.add_argument("--trust", metavar="TRUSTLIST", help="the region's trust list")
    parser.add_argument("--root", metavar="FINGERPRINT|FILE", help="the pinned region root: SHA-256, or a file with it")
    parser.add_argument("--kit", metavar="KIT", help="an offline kit: trust lists and status lists of several regions")
    parser.add_argument("--grace", action="store_true", help="say for each licence type how long KIT will do")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="TRUSTLIST", help="another region's trust list; may be repeated"
    )
    parser.add_argument("--status", action="append", default=[], metavar="FILE", help="a status list; may be repeated")
    parser.add_argument("--receipt", metavar="FILE", help="the receipt of the one FILE given")
    parser.add_argument("--state", metavar="FILE", help="what was seen before; read, and written back atomically")
    parser.add_argument("--at", metavar="TIME", help="judge at this time in the past, such as 2026-11-21T08:00:00Z")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--lang", choices=("zh", "en"), default="zh", help="language of titles")
    return parser


def _run(options: argparse.Namespace) -> int:
    _check_usage(options)
    root = None if options.root is None else _root(options.root)
    policy = Policy(root=root, historical=options.at is not None)
    at = dt.datetime.now(dt.UTC) if options.at is None else _time(options.at)
    seen = _read_state(options.state)
    faults: list[tuple[Step, VerificationError]] = []
    kit = _kit(options, root, at, seen, faults)
    trust = _trust(options, root, at, faults) if kit is None else kit.trust
    peers = _peers(options, trust, at, faults) + ([] if kit is None else list(kit.peers))
    regions = [] if trust is None else [trust, *(each.trust for each in peers)]
    status = _status(options, regions, faults) + ([] if kit is None else list(kit.status))
    if kit is not None:
        seen = seen.with_kit(kit.trust.region, kit.trust.root_fingerprint, kit.manifest.version)
    if options.grace:
        return _grace(kit, at, faults, options)
    receipt = None if options.receipt is None else _read(options.receipt).decode("utf-8", "replace")
    cache = CheckpointCache()
    verdicts = []
    for name in options.files:
        try:
            found = verify(
                _read(name),
                trust=trust,
                status=status,
                receipt=receipt,
                at=at,
                policy=policy,
                seen=seen,
                cache=cache,
                peers=peers,
            )
            verdict, seen = found.verdict, found.seen
        except NotVerified as refused:
            verdict, seen = refused.verdict, refused.seen
        verdicts.append((name, _with_faults(verdict, faults)))
    _print(verdicts, options)
    if options.state is not None and options.at is None:
        _write_state(options.state, seen)
    outcomes = {verdict.outcome for _, verdict in verdicts}
    worst = next(one for one in (Outcome.INVALID, Outcome.UNDETERMINED, Outcome.VALID) if one in outcomes)
    return EXIT[worst]


def _check_usage(options: argparse.Namespace) -> None:
    if options.receipt and len(options.files) > 1:
        raise _Usage("--receipt goes with one FILE")
    if options.kit is not None and (options.trust is not None or options.root is None):
        raise _Usage("--kit brings the trust lists with it and needs --root")
    if options.grace and (options.kit is None or options.files):
        raise _Usage("--grace is about a kit: --kit KIT --root FINGERPRINT --grace, without a FILE")
    if not options.files and not options.grace:
        raise _Usage("nothing to check: name a FILE")


def _kit(
    options: argparse.Namespace,
    root: str | None,
    at: dt.datetime,
    seen: Seen,
    faults: list[tuple[Step, VerificationError]],
) -> Kit | None:
    """The kit, if it holds up; parts of other regions that do not are named, and those regions count as unknown."""
    if options.kit is None or root is None:
        return None
    try:
        kit = open_kit(_read(options.kit, KIT_MAX), root, at, seen=Seen() if options.at is not None else seen)
    except VerificationError as error:
        faults.append((Step.TRUST_LIST, error))
        return None
    for name, fault in kit.faults:
        sys.stderr.write(f"elicence-verify: {options.kit}: {name}: {fault}\n")
    return kit


def _grace(
    kit: Kit | None, at: dt.datetime, faults: list[tuple[Step, VerificationError]], options: argparse.Namespace
) -> int:
    """Print how long the kit will do for each licence type: 0 where all of it does now, 2 where something does not."""
    if kit is None:
        for _, error in faults:
            sys.stderr.write(f"elicence-verify: {options.kit}: {title(error.reason, options.lang)}: {error.detail}\n")
        undetermined = all(error.reason in UNDETERMINED for _, error in faults)
        return EXIT[Outcome.UNDETERMINED if undetermined else Outcome.INVALID]
    rows = grace_table(kit.trust, kit.peers, kit.status, at, kit.manifest.types)
    if options.json:
        document = {"at": format_time(at), "made_at": format_time(kit.made_at), "version": kit.manifest.version}
        print(json.dumps(document | {"rows": [row.to_json() for row in rows]}, indent=2, sort_keys=True))
    else:
        print(describe_table(rows, at, options.lang))
    return EXIT[Outcome.VALID if rows and all(row.good(at) for row in rows) else Outcome.UNDETERMINED]


def _trust(
    options: argparse.Namespace, root: str | None, at: dt.datetime, faults: list[tuple[Step, VerificationError]]
) -> TrustList | None:
    if options.trust is None:
        return None
    try:
        return open_trust_list(_text(options.trust), root_fingerprint=root, at=at, source=options.trust)
    except VerificationError as error:
        faults.append((Step.TRUST_LIST, error))
        return None


def _peers(
    options: argparse.Namespace,
    trust: TrustList | None,
    at: dt.datetime,
    faults: list[tuple[Step, VerificationError]],
) -> list[PeerView]:
    """The lists of other regions, each opened under the root that ours names; nobody follows their logs off line."""
    opened = []
    rows = () if trust is None else trust.document.peers
    for name in options.peer:
        token = _text(name)
        claimed = claimed_root(token)
        root = next((row.root for row in rows if row.root == claimed), None)
        try:
            opened.append(PeerView(open_trust_list(token, root_fingerprint=root, at=at, source=name)))
        except VerificationError as error:
            faults.append((Step.PEER, error))
    return opened


def _status(
    options: argparse.Namespace, regions: Sequence[TrustList], faults: list[tuple[Step, VerificationError]]
) -> list[StatusList]:
    """The status lists that hold up, each of the region that signed it; one that does not counts against every verdict.

    Without a trust list there is nothing to hold them against, and the verdict says that.
    """
    opened = []
    for name in options.status:
        token = _text(name)
        errors = []
        for trust in regions:
            try:
                opened.append(open_status_list(token, trust, name))
                break
            except VerificationError as error:
                errors.append(error)
        else:
            # A region that knows the signing key says more precisely what is wrong.
            errors.sort(key=lambda error: error.reason is Reason.STATUS_KEY)
            faults += [(Step.STATUS, error) for error in errors[:1]]
    return opened


def _with_faults(verdict: Verdict, faults: list[tuple[Step, VerificationError]]) -> Verdict:
    for step, error in faults:
        finding = Finding.of(error.reason, error.detail)
        mark = Mark.FAILED if finding.outcome is Outcome.INVALID else Mark.UNDETERMINED
        verdict = verdict.adding([finding], check=Check(step, mark, None, "given"))
    return verdict


def _print(verdicts: list[tuple[str, Verdict]], options: argparse.Namespace) -> None:
    if options.json:
        documents = [verdict.to_json(options.lang) for _, verdict in verdicts]
        for (name, _), document in zip(verdicts, documents, strict=True):
            document["file"] = name
        whole = documents[0] if len(documents) == 1 else documents
        print(json.dumps(whole, ensure_ascii=False, indent=2, sort_keys=True))
        return
    for name, verdict in verdicts:
        print(f"{name}: {describe(verdict, options.lang)}")


def _root(given: str) -> str:
    """The pinned fingerprint, given as such, or as a file that holds it or the root certificate (PEM or DER)."""
    try:
        return parse_fingerprint(given)
    except BadCertificate:
        data = _read(given)
    try:
        if len(data) <= _FINGERPRINT_FILE_MAX and not data.startswith((b"-----", b"\x30\x82")):
            return parse_fingerprint(data.decode("ascii"))
        return fingerprint(from_pem_or_der(data))
    except (BadCertificate, UnicodeDecodeError):
        raise _Usage(f"{given} is neither a fingerprint nor a certificate") from None


def _time(text: str) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _Usage(f"{text} is no time such as 2026-11-21T08:00:00Z") from None
    if at.tzinfo is None:
        raise _Usage(f"{text} does not say its zone, as in 2026-11-21T08:00:00Z or +08:00")
    return at.astimezone(dt.UTC)


def _text(name: str) -> str:
    return _read(name).decode("utf-8", "replace").strip()


def _read(name: str, limit: int = _FILE_MAX) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise _Usage(f"{name}: {error.strerror}") from None
    if len(data) > limit:
        raise _Usage(f"{name} is larger than {limit} bytes")
    return data


def _read_state(name: str | None) -> Seen:
    """What was seen before. A damaged file is refused, never taken for an empty one: that would forget a rollback."""
    if name is None or not Path(name).exists():
        return Seen()
    try:
        return Seen.from_json(json.loads(_read(name)))
    except (ValueError, RecursionError, VerificationError):
        raise _Usage(f"{name} is not a state file of elicence-verify") from None


def _write_state(name: str, seen: Seen) -> None:
    """Replace the state file in one step: a crash leaves the old one or the new one."""
    target = Path(name)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(seen.to_json(), file, indent=1, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _Usage(f"{name}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
