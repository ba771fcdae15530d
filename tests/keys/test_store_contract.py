"""One contract that every key store keeps, whatever it keeps its keys in."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.certificates import LeafSubject, check_leaf, service_subject
from keys.certification import create_root, issue_leaf, read_request
from keys.errors import (
    AlreadyExists,
    BadCertificate,
    BadKey,
    DevelopmentKeyWarning,
    KeyStoreError,
    RetiredKey,
    UnknownKey,
)
from keys.file_store import FileKeyStore
from keys.memory_store import MemoryKeyStore
from keys.password import TESTING_ONLY
from keys.signer import KeyState, KeyStore
from keys.suites import TABLE

START = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECT = service_subject("https://ledger.example", "list", "示例区")


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    """Give an empty store of each kind in turn."""
    if request.param == "file":
        return FileKeyStore.new(tmp_path / "keys", "示例口令", TESTING_ONLY)
    return MemoryKeyStore()


async def certified(store: KeyStore, name: str, subject: LeafSubject = SUBJECT) -> tuple[bytes, bytes]:
    """Make `root` in `store` if need be and return (leaf for the key `name`, root certificate)."""
    if not any(entry.name == "root" for entry in store.list()):
        store.create("root", "ES256")
    signer, end = store.signer("root"), START + timedelta(days=365)
    root = await create_root(signer, region="330106", name="示例区", not_before=START, not_after=end)
    request = read_request(store.request(name, subject))
    return await issue_leaf(signer, root, request, not_before=START, not_after=end), root


def test_stand_ins_for_development_say_so(tmp_path: Path) -> None:
    """The store in memory and the cheap password profile both warn."""
    with pytest.warns(DevelopmentKeyWarning):
        MemoryKeyStore()
    with pytest.warns(DevelopmentKeyWarning):
        FileKeyStore.new(tmp_path / "keys", "示例口令", TESTING_ONLY)


@pytest.mark.parametrize("suite", TABLE)
async def test_a_created_key_signs_under_its_name(store: KeyStore, suite: str) -> None:
    """The signer carries name and public key, and signs a list in order."""
    key = store.create("91330106EXAMPLE001/licence", suite)
    signer = store.signer("91330106EXAMPLE001/licence")

    signatures = await signer.sign([b"one", b"two"])

    assert (signer.name, signer.public_key, signer.certificate) == ("91330106EXAMPLE001/licence", key, None)
    for message, signature in zip([b"one", b"two"], signatures, strict=True):
        key.check(message, signature)


async def test_long_lists_come_back_in_order(store: KeyStore) -> None:
    """Sharing the work among threads changes nothing; an empty list is fine."""
    key = store.create("licence", "ES256")
    messages = [n.to_bytes(4) for n in range(101)]

    signatures = await store.signer("licence").sign(messages)

    for message, signature in zip(messages, signatures, strict=True):
        key.check(message, signature)
    assert await store.signer("licence").sign([]) == []


async def test_many_tasks_may_sign_at_once(store: KeyStore) -> None:
    """One key serves concurrent callers."""
    key = store.create("licence", "ES256")
    signer = store.signer("licence")
    lists = [[f"{task}.{n}".encode() for n in range(20)] for task in range(8)]

    for messages, signatures in zip(lists, await asyncio.gather(*map(signer.sign, lists)), strict=True):
        for message, signature in zip(messages, signatures, strict=True):
            key.check(message, signature)


def test_a_name_is_given_once(store: KeyStore) -> None:
    """A second key of the same name is refused and the first one stays."""
    key = store.create("list", "ES256")

    with pytest.raises(AlreadyExists):
        store.create("list", "Ed25519")
    assert [entry.public_key for entry in store.list()] == [key]


def test_unknown_names_and_suites_are_refused(store: KeyStore) -> None:
    """Nothing is made up: no default key, no default suite."""
    calls: list[Callable[[], object]] = [
        lambda: store.signer("list"),
        lambda: store.rotate("list"),
        lambda: store.promote("list"),
        lambda: store.retire("list"),
        lambda: store.request("list", SUBJECT),
        lambda: store.secret("kek-1", create=False),
    ]
    for call in calls:
        with pytest.raises(UnknownKey):
            call()
    with pytest.raises(BadKey):
        store.create("list", "RS256")
    assert not store.list()


@pytest.mark.parametrize("name", ["", ".", "..", "../list", "a/b/c", "/a", "a/", "a b", "a\n", "示例", "a" * 65, "-a"])
def test_names_that_could_leave_the_store_are_refused(store: KeyStore, name: str) -> None:
    """A name is one or two plain segments, for keys and for secrets."""
    with pytest.raises(KeyStoreError):
        store.create(name, "ES256")
    with pytest.raises(KeyStoreError):
        store.secret(name)


async def test_a_successor_takes_over_at_promotion_and_not_before(store: KeyStore) -> None:
    """Rotation leaves no gap: the old key signs until the new one is promoted, then never again."""
    old = store.create("list", "ES256")
    held = store.signer("list")
    new = store.rotate("list")
    before = store.signer("list").public_key

    promoted = store.promote("list")

    assert (before, promoted, store.signer("list").public_key) == (old, new, new)
    assert [entry.state for entry in store.list()] == [KeyState.DESTROYED, KeyState.ACTIVE]
    with pytest.raises(RetiredKey):
        await held.sign([b"late"])
    [signature] = await store.signer("list").sign([b"now"])
    new.check(b"now", signature)


def test_one_successor_at_a_time(store: KeyStore) -> None:
    """A second rotation before promotion is refused, and so is promotion without a successor."""
    store.create("list", "ES256")
    store.rotate("list")

    with pytest.raises(AlreadyExists):
        store.rotate("list")
    store.promote("list")
    with pytest.raises(UnknownKey):
        store.promote("list")


async def test_a_retired_key_is_destroyed_and_still_listed(store: KeyStore) -> None:
    """Its private half is gone, its public half stays for checking, and its name is free again."""
    key = store.create("list", "ES256")
    held = store.signer("list")

    assert store.retire("list") == key

    [entry] = store.list()
    assert (entry.public_key, entry.state) == (key, KeyState.DESTROYED)
    for call in (store.signer, store.retire, store.rotate):
        with pytest.raises(RetiredKey):
            call("list")
    with pytest.raises(RetiredKey):
        await held.sign([b"late"])
    assert store.create("list", "ES256") != key


async def test_a_certificate_is_kept_beside_its_key(store: KeyStore) -> None:
    """request → issue → install; the signer then carries the leaf."""
    key = store.create("list", "ES256")
    leaf, root = await certified(store, "list")

    store.install("list", leaf)

    assert store.signer("list").certificate == leaf
    assert check_leaf(leaf, root).public_key == key


async def test_a_request_during_rotation_is_for_the_successor(store: KeyStore) -> None:
    """The old key keeps its certificate; the new one brings its own at promotion."""
    store.create("list", "ES256")
    first, _ = await certified(store, "list")
    store.install("list", first)
    new = store.rotate("list")

    second, root = await certified(store, "list")
    store.install("list", second)

    assert store.signer("list").certificate == first
    assert check_leaf(second, root).public_key == new
    store.promote("list")
    assert store.signer("list").certificate == second


async def test_another_keys_certificate_is_not_installed(store: KeyStore) -> None:
    """A mix-up of certificates, or rubbish, is found when installing."""
    store.create("list", "ES256")
    store.create("status", "ES256")
    leaf, root = await certified(store, "list")

    for name, certificate in (("status", leaf), ("list", root), ("list", leaf[:-1]), ("list", b"")):
        with pytest.raises(BadCertificate):
            store.install(name, certificate)
    with pytest.raises(UnknownKey):
        store.install("nobody", leaf)
    assert store.signer("list").certificate is None


def test_only_es256_keys_ask_for_certificates(store: KeyStore) -> None:
    """Log keys are named in the trust list, not certified."""
    store.create("log-ed25519", "Ed25519")

    with pytest.raises(BadKey):
        store.request("log-ed25519", SUBJECT)


def test_secrets_are_random_once_and_then_stay(store: KeyStore) -> None:
    """The same name gives the same bytes, another name others."""
    first = store.secret("kek-1")

    assert store.secret("kek-1") == first == store.secret("kek-1", create=False)
    assert len(first) == 32
    assert store.secret("kek-2") != first
    assert len(store.secret("slots", length=16)) == 16


def test_a_secret_has_one_length(store: KeyStore) -> None:
    """Asking for a part of a secret is a mistake, never a silent cut."""
    store.secret("kek-1")

    with pytest.raises(KeyStoreError):
        store.secret("kek-1", length=16)


def test_a_store_tells_nothing_secret_when_printed(store: KeyStore) -> None:
    """`repr` of store, signer and entries shows names and ids only."""
    store.create("list", "ES256")
    secret = store.secret("kek-1")
    text = f"{store!r} {store.signer('list')!r} {store.list()!r}"

    for form in (secret.hex(), repr(secret), "示例口令", "PRIVATE"):
        assert form not in text
