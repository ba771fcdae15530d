"""A root and a leaf under it, made as a region makes them, for the tests of certificates."""

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keys.certificates import (
    LeafSubject,
    department_subject,
)
from keys.certification import Request, create_root, issue_leaf, read_request, write_request
from keys.local_signer import LocalSigner
from keys.private_key import PrivateKey
from keys.suites import ES256

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2056, 1, 1, tzinfo=UTC)
DEPARTMENT = "91330106EXAMPLE001"
SUBJECT = department_subject("https://ledger.example", DEPARTMENT, "示例市场监督管理局", "licence")


@dataclass(frozen=True)
class Chain:
    """A root and a department's leaf, with both private halves."""

    root_key: PrivateKey
    leaf_key: PrivateKey
    root: bytes
    leaf: bytes


def read_der_request(der: bytes) -> Request:
    """Read a request whose PEM armour is put on here."""
    body = base64.b64encode(der).decode()
    return read_request(f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")


async def make_root(key: PrivateKey, name: str = "示例区") -> bytes:
    """Return a root certificate for `key`."""
    return await create_root(
        LocalSigner("root", None, key), region="330106", name=name, not_before=START, not_after=END
    )


async def make_leaf(root_key: PrivateKey, root: bytes, key: PrivateKey, subject: LeafSubject = SUBJECT) -> bytes:
    """Return the leaf for `key` after its request has gone to and fro as text."""
    request = read_request(write_request(key, subject))
    signer = LocalSigner("root", None, root_key)
    return await issue_leaf(signer, root, request, not_before=START, not_after=START + timedelta(days=400))


async def made() -> Chain:
    """Return a fresh root and leaf."""
    root_key, leaf_key = PrivateKey.generate(ES256), PrivateKey.generate(ES256)
    root = await make_root(root_key)
    return Chain(root_key, leaf_key, root, await make_leaf(root_key, root, leaf_key))


PINNED = asyncio.run(made())
REQUEST = x509.load_pem_x509_csr(write_request(PINNED.leaf_key, SUBJECT).encode()).public_bytes(Encoding.DER)
DNS = x509.DNSName("ledger.example")


def names(*others: x509.GeneralName) -> x509.SubjectAlternativeName:
    """Return the alternative names of `SUBJECT` and `others`."""
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SUBJECT.uri), *others])


def flipped(data: bytes, position: int) -> bytes:
    """Return `data` with the lowest bit of one byte turned."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
