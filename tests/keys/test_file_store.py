"""The store in a directory: permissions, passwords, damage, crashes and several processes."""

import hashlib
import logging
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from keys import private_files
from keys.errors import (
    AlreadyExists,
    BadPermissions,
    KeyStoreError,
    RetiredKey,
    StoreDamaged,
    StoreLocked,
    WrongPassword,
)
from keys.file_store import FileKeyStore
from keys.password import STANDARD, TESTING_ONLY, derive
from keys.signer import KeyState

PASSWORD = "示例口令 correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the directory of a store that holds a key and a secret."""
    store = FileKeyStore.new(tmp_path / "keys", PASSWORD, TESTING_ONLY)
    store.create("list", "ES256")
    store.secret("kek-1")
    return tmp_path / "keys"


def files(path: Path) -> list[Path]:
    """Return every file that holds something."""
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != "lock")


async def test_a_store_opens_again_with_what_it_held(path: Path) -> None:
    """Keys, states, certificates and secrets survive the process."""
    before = FileKeyStore.open(path, PASSWORD)

    after = FileKeyStore.open(path, PASSWORD)

    assert after.list() == before.list()
    assert after.secret("kek-1") == before.secret("kek-1", create=False)
    [signature] = await after.signer("list").sign([b"m"])
    before.list()[0].public_key.check(b"m", signature)


def test_everything_is_for_the_owner_only(path: Path) -> None:
    """Directories are 0700, files 0600, whatever the umask."""
    modes = {entry.relative_to(path): entry.stat().st_mode & 0o777 for entry in (path, *path.rglob("*"))}

    assert set(modes.values()) == {0o700, 0o600}
    assert all(mode == (0o700 if (path / entry).is_dir() else 0o600) for entry, mode in modes.items())


def test_no_private_byte_stands_in_any_file(path: Path) -> None:
    """PKCS#8 and secrets are sealed; the password is nowhere."""
    store = FileKeyStore.open(path, PASSWORD)
    private = store.signer("list")._private.pkcs8()
    written = b"".join(file.read_bytes() for file in files(path))

    for secret in (private, private[-32:], store.secret("kek-1"), PASSWORD.encode(), b"PRIVATE KEY"):
        assert secret not in written


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620, 0o601])
def test_files_open_to_others_are_refused(path: Path, mode: int) -> None:
    """A private key that others could read, or an index they could replace, is not used."""
    for file in files(path):
        file.chmod(mode)
        with pytest.raises(BadPermissions, match=r"open to others.*chmod 600"):
            use(path)
        file.chmod(0o600)
    use(path)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_directories_open_to_others_are_refused(path: Path, mode: int) -> None:
    """Whoever can write a directory can swap its files."""
    for directory in (path, path / "private", path / "secrets"):
        directory.chmod(mode)
        with pytest.raises(BadPermissions, match=r"open to others.*chmod 700"):
            use(path)
        directory.chmod(0o700)


def test_a_directory_open_to_others_is_not_made_a_store(tmp_path: Path) -> None:
    """An existing directory is not silently tightened: somebody may hold it open."""
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "keys").chmod(0o755)

    with pytest.raises(BadPermissions):
        FileKeyStore.new(tmp_path / "keys", PASSWORD, TESTING_ONLY)


def test_symbolic_links_are_refused(path: Path, tmp_path: Path) -> None:
    """Neither the store nor a file in it may stand elsewhere."""
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(BadPermissions):
        use(link)
    for number, file in enumerate(files(path)):
        elsewhere = tmp_path / f"elsewhere{number}"
        file.rename(elsewhere)
        file.symlink_to(elsewhere)
        with pytest.raises(BadPermissions, match="symbolic link"):
            use(path)
        elsewhere.replace(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_refused(path: Path) -> None:
    """Another owner could read and change them at will."""
    for entry in (path, path / "private", *files(path)):
        os.chown(entry, 12345, -1)
        with pytest.raises(BadPermissions, match="another user"):
            use(path)
        os.chown(entry, 0, -1)


def test_a_wrong_password_is_told_apart_from_damage(path: Path) -> None:
    """Typing again helps against the one and not against the other."""
    with pytest.raises(WrongPassword):
        FileKeyStore.open(path, PASSWORD + "!")
    with pytest.raises(KeyStoreError, match="empty"):
        FileKeyStore.open(path, "")
    (path / "index").write_bytes((path / "index").read_bytes()[:-20])
    with pytest.raises(StoreDamaged):
        FileKeyStore.open(path, PASSWORD + "!")


def test_the_same_characters_are_the_same_password() -> None:
    """Composed and decomposed, full-width and half-width: what the eye takes as equal opens the store."""
    salt = bytes(16)

    assert derive("é Ａ", salt, TESTING_ONLY) == derive("e\u0301 A", salt, TESTING_ONLY)


def test_the_standard_profile_costs_what_it_promises() -> None:
    """128 MiB of scrypt; changing it is a new profile with a new name, or old stores stop opening."""
    assert (STANDARD.name, 128 * STANDARD.n * STANDARD.r, STANDARD.p) == ("scrypt-2026", 2**27, 1)
    again = hashlib.scrypt(b"password", salt=b"NaCl" * 4, n=2**17, r=8, p=1, maxmem=2**28, dklen=32)
    assert derive("password", b"NaCl" * 4, STANDARD) == again


def test_without_a_password_a_store_lists_and_does_nothing_else(path: Path) -> None:
    """Locked is a state of its own, with its own refusal."""
    store = FileKeyStore.open(path, None)

    assert [entry.name for entry in store.list()] == ["list"]
    for call in (store.signer, store.rotate, store.retire, store.secret):
        with pytest.raises(StoreLocked):
            call("list")
    with pytest.raises(StoreLocked):
        store.create("status", "ES256")


def test_any_flipped_byte_in_any_file_is_found(path: Path) -> None:
    """Index, sealed key and sealed secret: no position is slack."""
    for file in files(path):
        good = file.read_bytes()
        for position in range(0, len(good), 3 if len(good) > 200 else 1):
            file.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            with pytest.raises(StoreDamaged):
                use(path)
        for cut in (b"", good[:5], good[:-1], good + b"\n"):
            file.write_bytes(cut)
            with pytest.raises(StoreDamaged):
                use(path)
        file.write_bytes(good)


def test_a_missing_file_is_found(path: Path) -> None:
    """A lost secret is never replaced by a fresh one, which would make everything under it unreadable."""
    for file in files(path):
        if file.name != "index":
            good = file.read_bytes()
            file.unlink()
            with pytest.raises(StoreDamaged, match="missing"):
                use(path)
            private_files.write(file, good)
    (path / "index").unlink()
    with pytest.raises(KeyStoreError, match="no key store"):
        use(path)


def test_a_key_file_in_anothers_place_is_found(path: Path) -> None:
    """Sealed files are bound to their name: the key of one department does not sign for another."""
    store = FileKeyStore.open(path, PASSWORD)
    other = path / "private" / store.create("status", "ES256").kid
    mine = path / "private" / store.list()[0].public_key.kid
    mine.write_bytes(other.read_bytes())

    with pytest.raises(StoreDamaged, match="altered or swapped"):
        use(path)


def test_an_index_edited_without_the_password_is_found(path: Path) -> None:
    """A plain digest can be recomputed by anyone, the MAC cannot."""
    digest, mac, body, _ = (path / "index").read_bytes().split(b"\n")
    edited = body.replace(b'"state":"active"', b'"state":"destroyed"')
    (path / "index").write_bytes(b"\n".join((hashlib.sha256(edited).hexdigest().encode(), mac, edited, b"")))

    with pytest.raises(StoreDamaged, match="without its password"):
        use(path)
    assert digest != hashlib.sha256(edited).hexdigest().encode()


def test_a_store_is_made_once(path: Path) -> None:
    """A second `new` changes nothing."""
    before = {file: file.read_bytes() for file in files(path)}

    with pytest.raises(AlreadyExists):
        FileKeyStore.new(path, "another", TESTING_ONLY)
    assert {file: file.read_bytes() for file in files(path)} == before


def test_there_must_be_a_store(tmp_path: Path) -> None:
    """A missing directory and an empty one have a clear line each, and nothing is made."""
    with pytest.raises(KeyStoreError, match="no key store"):
        FileKeyStore.open(tmp_path / "nowhere", PASSWORD)
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(KeyStoreError, match="no key store"):
        FileKeyStore.open(tmp_path / "empty", PASSWORD)
    assert not list((tmp_path / "empty").iterdir())


class Killed(BaseException):
    """Stands for the process dying at one system call: nothing may be cleaned up after it."""


@pytest.mark.parametrize("step", ["fsync", "rename"])
@pytest.mark.parametrize("crash_at", range(1, 5))
@pytest.mark.parametrize("change", ["create", "rotate", "promote", "retire", "secret"])
def test_a_crash_at_any_write_leaves_the_old_or_the_new_store(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: str, crash_at: int, step: str
) -> None:
    """Whatever the step, the store opens, every key it lists as active signs, and the change can be repeated."""
    if change == "promote":
        FileKeyStore.open(path, PASSWORD).rotate("list")
    store, calls = FileKeyStore.open(path, PASSWORD), 0
    steps = {
        "create": lambda of: of.create("status", "ES256"),
        "rotate": lambda of: of.rotate("list"),
        "promote": lambda of: of.promote("list"),
        "retire": lambda of: of.retire("list"),
        "secret": lambda of: of.secret("kek-2"),
    }
    owner, attribute = (os, "fsync") if step == "fsync" else (Path, "replace")
    real, real_unlink = getattr(owner, attribute), Path.unlink

    def dying(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == crash_at:
            # A dead process does not tidy up its temporary file either.
            monkeypatch.setattr(Path, "unlink", lambda *_args, **_kwargs: None)
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(owner, attribute, dying)
    try:
        steps[change](store)
    except Killed:
        pass
    finally:
        monkeypatch.setattr(owner, attribute, real)
        monkeypatch.setattr(Path, "unlink", real_unlink)

    survivor = FileKeyStore.open(path, PASSWORD)
    for entry in survivor.list():
        if entry.state is KeyState.ACTIVE:
            entry.public_key.check(b"m", survivor.signer(entry.name)._private.sign(b"m"))
    survivor.create("afterwards", "ES256")
    assert not list(path.rglob(f"{private_files.TEMPORARY_PREFIX}*"))
    private = {file.name for file in (path / "private").iterdir()}
    for entry in survivor.list():
        assert entry.state is not KeyState.RETIRED
        assert (entry.public_key.kid in private) == (entry.state is not KeyState.DESTROYED)


def test_a_full_disk_is_refused_and_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the file; the temporary one is removed and the store works on."""
    store = FileKeyStore.open(path, PASSWORD)
    before = {file: file.read_bytes() for file in files(path)}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(KeyStoreError, match="No space left"):
            store.create("status", "ES256")

    assert {file: file.read_bytes() for file in files(path)} == before
    store.create("status", "ES256")


def test_a_retired_private_key_is_gone_from_the_disk(path: Path) -> None:
    """Only the public half and the certificate outlive the signing period."""
    store = FileKeyStore.open(path, PASSWORD)
    kid = store.list()[0].public_key.kid
    assert (path / "private" / kid).exists()

    store.retire("list")

    assert not (path / "private" / kid).exists()
    with pytest.raises(RetiredKey):
        FileKeyStore.open(path, PASSWORD).signer("list")


async def test_another_process_sees_rotation_and_retirement(path: Path) -> None:
    """A store that is already open follows what others change, also for signers handed out before."""
    mine, theirs = FileKeyStore.open(path, PASSWORD), FileKeyStore.open(path, PASSWORD)
    held = mine.signer("list")
    theirs.rotate("list")
    new = theirs.promote("list")

    assert mine.signer("list").public_key == new
    with pytest.raises(RetiredKey):
        await held.sign([b"late"])


def make_keys(path: Path, process: int) -> None:
    """Make five keys and ask for one secret that all processes share."""
    store = FileKeyStore.open(path, PASSWORD)
    for number in range(5):
        store.create(f"p{process}/{number}", "Ed25519")
    (path.parent / f"secret{process}").write_bytes(store.secret("shared"))


@pytest.mark.filterwarnings("ignore:.*development.*")
def test_processes_and_threads_that_change_a_store_at_once_lose_nothing(path: Path) -> None:
    """Four processes and a thread make keys; every key is there and everyone got the same secret."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=make_keys, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    store = FileKeyStore.open(path, PASSWORD)
    threads = [threading.Thread(target=store.create, args=(f"thread/{n}", "Ed25519")) for n in range(5)]
    for thread in threads:
        thread.start()
    for process in processes:
        process.join(60)
    for thread in threads:
        thread.join(60)

    names = {entry.name for entry in FileKeyStore.open(path, PASSWORD).list()}
    expected = {f"p{process}/{number}" for process in range(3) for number in range(5)}
    assert names == {"list", *expected, *(f"thread/{n}" for n in range(5))}
    assert {(path.parent / f"secret{n}").read_bytes() for n in range(3)} == {store.secret("shared", create=False)}


def test_a_lock_that_is_never_given_back_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ends with a clear line, and the waiting store is unharmed."""
    store = FileKeyStore.open(path, PASSWORD)
    monkeypatch.setattr(private_files, "_LOCK_WAIT_S", 0.05)

    with private_files.locked(path / "lock"), pytest.raises(KeyStoreError, match="locked"):
        store.create("status", "ES256")
    store.create("status", "ES256")


def test_no_error_or_log_line_carries_a_secret(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Messages of refusals name files and keys, never contents or passwords."""
    caplog.set_level(logging.DEBUG)
    messages = []
    for file in files(path):
        good = file.read_bytes()
        for bad in (good[:-1], bytes(len(good))):
            file.write_bytes(bad)
            with pytest.raises(StoreDamaged) as refused:
                use(path)
            messages.append(str(refused.value))
        file.write_bytes(good)
    with pytest.raises(WrongPassword) as wrong:
        FileKeyStore.open(path, PASSWORD + "!")

    text = " ".join([*messages, str(wrong.value), caplog.text])
    assert PASSWORD not in text
    assert FileKeyStore.open(path, PASSWORD).secret("kek-1").hex() not in text


def use(path: Path) -> None:
    """Open the store and touch each thing in it."""
    store = FileKeyStore.open(path, PASSWORD)
    for entry in store.list():
        store.signer(entry.name)
    store.secret("kek-1", create=False)
