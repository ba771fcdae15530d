"""What `elicence peers` works with: roots and rules out of files, proposals and signatures."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api import strict_json
from api.cli import hub
from api.cli.jwk_files import read_key
from api.cli.service import settings_or_exit
from keys.certificates import check_root, fingerprint, parse_fingerprint
from keys.certification import from_pem_or_der
from keys.errors import BadCertificate
from ledger.errors import Code, Refusal
from verifiers import approval
from verifiers.errors import VerificationError
from verifiers.jws import compact
from verifiers.witness_policy import MAX_BYTES, parse_policy

MAX_FILE: Final = 33_554_432
"""Largest file of a proposal in bytes: it holds what a region of three thousand departments shows."""


def located(
    url: str | None, root: str | None, hub_list: Path | None, anchor: str, countersigner: str
) -> tuple[str | None, str | None]:
    """Return address and root: as given, or where no root is, as a hub's list gives them for that code or address.

    Which version of the list was seen is remembered beside the key store. Raises `Refusal` hub.list_invalid or
    hub.region_unknown, `BadCertificate`, `OSError`.
    """
    if url is None or root is not None or hub_list is None:
        return url, root
    state = settings_or_exit().keystore.with_name("hub-list-seen.json")
    found = hub.listed(hub_list, anchor, countersigner, state, url)
    return found.base, found.root


def admission(url: str, root: str, witnesses: Path | None) -> dict[str, Any]:
    """Return the body of a proposal to admit. Raises `Refusal`, `BadCertificate`, `OSError`."""
    return {"base": url, "root": root_of(root), "witnesses": witness_rule(witnesses)}


def root_of(given: str) -> str:
    """Return the fingerprint of a root that is given as fingerprint, or as a file with it or with the certificate.

    Raises `BadCertificate`, `OSError`.
    """
    try:
        return parse_fingerprint(given)
    except BadCertificate:
        data = Path(given).read_bytes()
    try:
        return parse_fingerprint(data.decode("ascii"))
    except (BadCertificate, UnicodeDecodeError):
        certificate = from_pem_or_der(data)
    check_root(certificate)
    return fingerprint(certificate)


def witness_rule(file: Path | None) -> dict[str, Any] | None:
    """Return what a file demands of witnesses: a C2SP tlog-policy, or the rule in JSON.

    Raises `Refusal` peer.witnesses_invalid or with a `body.*` code, `OSError`.
    """
    if file is None:
        return None
    data = file.read_bytes()[: MAX_BYTES + 1]
    if data.lstrip().startswith(b"{"):
        rule: dict[str, Any] = strict_json.parse(data, limit=MAX_BYTES)
        return rule
    try:
        quorum, rows = parse_policy(data.decode("utf-8")).to_rows()
    except VerificationError as error:
        raise Refusal(Code.PEER_WITNESSES_INVALID, None, why=error.detail) from None
    return {"k": quorum, "keys": [{"name": name, "vkey": vkey, "url": url} for name, vkey, url in rows]}


def signed(proposal: dict[str, Any], client: str, key: Path) -> str:
    """Return the approval of `proposal` by `client`. Raises `BadKey`, `OSError`, `Refusal`."""
    held = read_key(key)
    try:
        to_sign = approval.signing_input(proposal, approver=client, kid=held.kid, at=datetime.now(UTC))
    except (KeyError, TypeError, ValueError):
        raise Refusal(Code.PEER_PROPOSAL_INVALID, None) from None
    return compact(to_sign, held.sign(to_sign))


def approvers(found: dict[str, Any]) -> list[str]:
    """Return who approved the last change of a peer."""
    return [each["client"] for each in found["last_change"].get("approvers", [])]


def file_text(value: dict[str, Any]) -> str:
    """Return the text of a proposal's file."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def read_proposal(file: Path) -> dict[str, Any]:
    """Return what the file of a proposal holds. Raises `Refusal` peer.proposal_invalid or with a `body.*` code."""
    found = strict_json.parse(file.read_bytes(), limit=MAX_FILE)
    if not isinstance(found, dict) or not isinstance(found.get("proposal"), dict):
        raise Refusal(Code.PEER_PROPOSAL_INVALID, None, why="not the file of a proposal")
    return found
