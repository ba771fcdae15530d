"""Files for their owner's eyes only: permissions checked before reading, whole or not at all when written.

POSIX only: modes, owners, `O_NOFOLLOW` and `flock` are what the promises rest on.
"""

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keys.errors import BadPermissions, KeyStoreError, StoreDamaged

# The index of a store with a thousand keys has about 2 MB.
FILE_BYTES_MAX = 16 * 1024 * 1024
TEMPORARY_PREFIX = ".new-"
_LOCK_WAIT_S = 30.0
_LOCK_POLL_S = 0.02


def check_directory(path: Path) -> None:
    """Return if `path` is a directory of ours, mode 0700, no symbolic link. Raises `BadPermissions`."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise KeyStoreError(f"there is no key store at {path}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise BadPermissions(f"{path} is a symbolic link or no directory")
    _check_owner_only(found, path, "chmod 700")


def make_directory(path: Path) -> None:
    """Make the directory `path`, mode 0700, unless it is there; then check it. Raises `BadPermissions`."""
    with reporting(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_directory(path)


def read(path: Path) -> bytes:
    """The bytes of a regular file of ours, mode 0600, no symbolic link.

    Raises `BadPermissions`, and `StoreDamaged` if the file is missing or absurdly long.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StoreDamaged(f"{path} is missing") from None
    except OSError as error:
        raise BadPermissions(f"{path} cannot be opened, or is a symbolic link: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadPermissions(f"{path} is no regular file")
        _check_owner_only(found, path, "chmod 600")
        with reporting(path):
            data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise StoreDamaged(f"{path} is too long")
    return data


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path`, mode 0600, so that after a crash the file is the old one or the new one, never a mixture.

    Raises `KeyStoreError` when the disk refuses; the old file then stands.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    with reporting(path):
        try:
            # A crash up to the rename leaves a temporary file, which `sweep` removes.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        # Until the directory is on disk too, a power cut may bring back the old name.
        _sync_directory(path.parent)


def erase(path: Path) -> None:
    """Overwrite `path` with zeros and remove it; nothing happens if it is gone. Raises `KeyStoreError`."""
    with reporting(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(os.fstat(descriptor).st_size))
            file.flush()
            os.fsync(descriptor)
        path.unlink()
        _sync_directory(path.parent)


def sweep(directory: Path) -> None:
    """Remove what writers that died left behind; call it under the lock."""
    with reporting(directory):
        for leftover in directory.glob(f"{TEMPORARY_PREFIX}*"):
            leftover.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` against other threads and processes; the kernel frees it when its holder dies.

    Raises `KeyStoreError` if somebody else holds it for half a minute.
    """
    with reporting(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise KeyStoreError("another process keeps the key store locked") from None
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into `KeyStoreError`, with the path and never the content."""
    try:
        yield
    except OSError as error:
        raise KeyStoreError(f"{path}: {error.strerror or 'input or output failed'}") from error


def _check_owner_only(found: os.stat_result, path: Path, remedy: str) -> None:
    if found.st_uid != os.geteuid():
        raise BadPermissions(f"{path} belongs to another user; run as its owner")
    if found.st_mode & 0o077:
        raise BadPermissions(f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}); {remedy} it")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
