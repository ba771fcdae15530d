"""What else a region leans on, each with a seam of its own: its key store, its folder of files, its witness."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keys.errors import KeyStoreError
from keys.signer import KeyStore, Signer
from ledger.outside import Answer, Unreachable
from tests.faults.faults import Fault, Saboteur, Step
from tests.ledger.witnesses import Road, Witness
from tests.verifiers.log_world import ed25519
from verifiers.note import KeyType

_SIGNING = {"log-ed25519": Step.SIGN, "status": Step.STATUS_SIGN, "list": Step.TRUST_SIGN}
WITNESS_NAME = "a.witness.example"


class Keys:
    """A key store whose keys may fail; every checkpoint that was signed is written down, seen by anybody or not."""

    def __init__(self, store: KeyStore, saboteur: Saboteur, signed: Path) -> None:
        self._store = store
        self._saboteur = saboteur
        self._signed = signed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def signer(self, name: str) -> Signer:
        """Open a signer of the store."""
        return _Signer(self._store.signer(name), self._saboteur, self._signed)


class _Signer:
    def __init__(self, inner: Signer, saboteur: Saboteur, signed: Path) -> None:
        self._inner = inner
        self._saboteur = saboteur
        self._signed = signed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        """Sign, and keep what log keys signed."""
        signatures = await self._inner.sign(messages)
        if self._inner.name == "log-ed25519":
            with self._signed.open("ab", buffering=0) as file:
                file.writelines(json.dumps(each.decode()).encode() + b"\n" for each in messages)
        step = _SIGNING.get(self._inner.name)
        return self._saboteur.around(step, lambda: signatures, lambda _: KeyStoreError("the token does not answer"))


def sabotage_files(saboteur: Saboteur, root: Path) -> None:
    """Fail where a published file gets its name; what happens before, the system calls' own test fails."""
    system: Any = os
    replace = os.replace

    def faulty(source: Any, target: Any, **named: Any) -> None:
        def failing(number: int) -> Exception:
            return OSError(number, os.strerror(number), str(target))

        saboteur.around(_file_step(Path(target), root), lambda: replace(source, target, **named), failing)

    system.replace = faulty


def _file_step(target: Path, root: Path) -> Step | None:
    if not target.is_relative_to(root):
        return None
    first = target.relative_to(root).parts[0]
    return {
        "tile": Step.TILES,
        "checkpoint": Step.CHECKPOINT,
        "status-lists": Step.STATUS_FILE,
        "trust-list": Step.TRUST_FILE,
        "checkpoint.witnessed": Step.SHOWN,
    }.get(first)


class LastingWitness(Witness):
    """A witness that remembers in a file, so that it outlives the process that asks it: it would find every fork."""

    def __init__(self, file: Path) -> None:
        super().__init__(WITNESS_NAME, (ed25519(WITNESS_NAME, 1, KeyType.ED25519_COSIGNATURE),))
        self._file = file
        if file.exists():
            known = json.loads(file.read_text())
            self.size, self.root = known["size"], bytes.fromhex(known["root"])

    def honest(self, body: bytes) -> Answer:
        """Answer, and remember first."""
        answer = super().honest(body)
        kept = {"size": self.size, "root": self.root.hex()}
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(kept))
        new.rename(self._file)
        if answer.status not in (200, 409):
            self._file.with_suffix(".accusation").write_text(f"{answer.status}\n{body.decode()}")
        return answer


class FaultyRoad(Road):
    """The way to the witness, which may break before the question or before the answer."""

    def __init__(self, saboteur: Saboteur, *witnesses: Witness) -> None:
        super().__init__(*witnesses)
        self._saboteur = saboteur

    async def post(self, url: str, body: bytes, **named: Any) -> Answer:
        """Ask for a cosignature."""
        half = self._saboteur.fault in (Fault.HALF, Fault.KILLED)
        given = await super().post(url, body, **named) if half else None

        def failing(number: int) -> Exception:
            return Unreachable("the witness has no room" if number == errno.ENOSPC else "the line is cut")

        self._saboteur.around(Step.ASK, lambda: None, failing)
        return given if given is not None else await super().post(url, body, **named)
