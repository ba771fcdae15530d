"""The region's own keys: made when the log is opened, certified by its root where that is at hand (design §6).

`root` may lie on another machine: then the region starts with the root's certificate alone, and with the certificates
that `elicence keys request|sign|install` carried back and forth. All other keys sign every day and live in the store.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from keys.certificates import check_leaf, check_root, service_subject
from keys.certification import create_root, issue_leaf, read_request
from keys.errors import UnknownKey
from keys.signer import KeyStore, Signer
from keys.suites import ED25519, ES256, ML_DSA_44
from ledger.config import RegionConfig
from ledger.errors import Code, Refusal

ROOT: Final = "root"
STATEMENT: Final = "authority-statement"
LOG_KEYS: Final = ("log-ed25519", "log-mldsa44")
CERTIFIED: Final = ("list", "status")

PEER: Final = "peer"
"""Signs calls and notices to other regions. It needs no certificate: the trust list names it."""

WITNESS_KEYS: Final = {"witness-ed25519": ED25519, "witness-mldsa44": ML_DSA_44}
"""Sign other logs' checkpoints, and never stand without the database that knows which (`ledger.witness_identity`)."""

OWN: Final = ("list", "status", PEER)
"""What the log names as the region's own from the first entries on, beside the key that signs those."""

_SUITES: Final = {
    STATEMENT: ES256,
    "list": ES256,
    "status": ES256,
    PEER: ES256,
    "log-ed25519": ED25519,
    "log-mldsa44": ML_DSA_44,
}
_ROOT_YEARS: Final = 30


async def prepare_keys(
    config: RegionConfig, store: KeyStore, now: datetime, root_certificate: bytes | None = None
) -> bytes:
    """Make the keys a region needs, those that are missing, certify them if the root is here, and give its certificate.

    Without `root_certificate` (DER) the root lies in the store, and is made there if need be. Raises `Refusal` with
    `key.certificate` while a key waits for a certificate that only an absent root can give.
    """
    present = {entry.name for entry in store.list() if entry.state == "active"}
    for name, suite in _SUITES.items():
        if name not in present:
            store.create(name, suite)
    root = await _root(config, store, now, root_certificate)
    certificate = root_certificate or (None if root is None else root.certificate)
    if certificate is None:
        raise Refusal(Code.KEY_CERTIFICATE, key=ROOT)
    for name in CERTIFIED:
        await _certify(config, store, name, now, root, certificate)
    return certificate


async def _root(config: RegionConfig, store: KeyStore, now: datetime, root_certificate: bytes | None) -> Signer | None:
    """Give the root's signer if its key is here; make one only where no certificate says that it is elsewhere."""
    try:
        root = store.signer(ROOT)
    except UnknownKey:
        if root_certificate is not None:
            check_root(root_certificate)
            return None
        store.create(ROOT, ES256)
        root = store.signer(ROOT)
    if root.certificate is None:
        begins = now.replace(microsecond=0)
        ends = begins + timedelta(days=365 * _ROOT_YEARS)
        name = config.names["zh"]
        store.install(ROOT, await create_root(root, region=config.region, name=name, not_before=begins, not_after=ends))
        root = store.signer(ROOT)
    return root


async def _certify(
    config: RegionConfig, store: KeyStore, name: str, now: datetime, root: Signer | None, root_certificate: bytes
) -> None:
    held = store.signer(name).certificate
    if held is not None:
        check_leaf(held, root_certificate)
        return
    if root is None:
        raise Refusal(Code.KEY_CERTIFICATE, key=name)
    trusted = check_root(root_certificate)
    subject = service_subject(config.base_url, name, config.names["zh"])
    begins = max(now.replace(microsecond=0), trusted.not_before)
    request = read_request(store.request(name, subject))
    leaf = await issue_leaf(root, root_certificate, request, not_before=begins, not_after=trusted.not_after)
    store.install(name, leaf)
