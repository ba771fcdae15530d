"""Asking one witness for its cosignature: C2SP tlog-witness from the log's side.

Everything a witness says is somebody else's word. A line counts when it holds under a key the policy names; a size it
claims is tried, never believed; and an answer that makes no sense costs one try and is told to the operator.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.clock import Clock
from ledger.outside import Answer, Outside, Unreachable
from ledger.public_files import PublicFiles
from ledger.tile_files import hash_reader
from verifiers import note
from verifiers.add_checkpoint import format_request, origin_hash
from verifiers.checkpoint import Checkpoint, LogPolicy, message, open_checkpoint
from verifiers.errors import SignatureFailed, VerificationError
from verifiers.merkle import prove_consistency
from verifiers.note import Note, SignatureLine, check_lines, format_note, parse_lines
from verifiers.witness_policy import PolicyWitness

TRIES: Final = 3
"""Requests in one round: a witness that names another size twice is not worth a third proof."""

ANSWER_MAX: Final = 64 * 1024
"""Longest answer: some post-quantum lines of 3.3 kB each."""

PROOFS_KEPT: Final = 256
_MEDIA_TYPE: Final = "text/plain; charset=utf-8"
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?\Z")
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


class WitnessFailed(Exception):
    """The witness gave no cosignature; `detail` says why, `lied` that it sent a line that fails under its own key."""

    def __init__(self, detail: str, *, lied: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.lied = lied


class WitnessAhead(WitnessFailed):
    """The witness says it cosigned a tree of `size` leaves, more than what it was shown."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it says that it has seen {size} entries")
        self.size = size


@dataclass(frozen=True, slots=True)
class Cosigned:
    """What a witness gave for a checkpoint: its good lines, and our clock less its own (seconds) as they arrived."""

    lines: tuple[SignatureLine, ...]
    skew_s: int


class Proofs:
    """Consistency proofs out of the published tiles, each computed once for all witnesses that need it."""

    def __init__(self, files: PublicFiles) -> None:
        self._files = files
        self._known: OrderedDict[tuple[int, int], asyncio.Future[list[bytes]]] = OrderedDict()

    async def between(self, old: int, new: int) -> list[bytes]:
        """Return the proof from `old` to `new` leaves. Raises `TreeMismatch` where a tile is missing."""
        if old in (0, new):
            return []
        proof = self._known.get((old, new))
        if proof is None or (proof.done() and proof.exception() is not None):
            # A future of its own, so that one caller who is called off does not call off the others.
            proof = asyncio.ensure_future(asyncio.to_thread(self._prove, old, new))
            self._known[old, new] = proof
            while len(self._known) > PROOFS_KEPT:
                self._known.popitem(last=False)
        return await asyncio.shield(proof)

    def _prove(self, old: int, new: int) -> list[bytes]:
        return prove_consistency(old, new, hash_reader(self._files, new))


class WitnessCalls:
    """Calls to witnesses of one log. `policy` needs the log's own keys only."""

    def __init__(self, outside: Outside, proofs: Proofs, clock: Clock, policy: LogPolicy) -> None:
        self._outside = outside
        self._proofs = proofs
        self._clock = clock
        self._policy = policy

    async def cosign(
        self, witness: PolicyWitness, head: Checkpoint, signed: str, old: int, learnt: Callable[[int], None]
    ) -> Cosigned:
        """Ask `witness`, which cosigned size `old` last, for cosignatures of `head`, signed by us as the note `signed`.

        `learnt` is told every size it names. Raises `WitnessFailed`, `WitnessAhead`, or `Unreachable`.
        """
        for _ in range(TRIES):
            proof = await self._proofs.between(old, head.size)
            answer = await self._outside.post(
                f"{witness.url}/add-checkpoint",
                format_request(old, proof, signed),
                media_type=_MEDIA_TYPE,
                limit=ANSWER_MAX,
            )
            if answer.status == 200:
                return self._checked(witness, head, answer.body)
            if answer.status != 409:
                raise WitnessFailed(f"it answered {answer.status}")
            size = _named_size(answer)
            learnt(min(size, head.size))
            if size > head.size:
                raise WitnessAhead(size)
            if size == old:
                raise WitnessFailed("it refuses to go on from the size it names itself")
            old = size
        raise WitnessFailed(f"it named another size {TRIES} times")

    async def proves(self, address: str, size: int) -> int | None:
        """Return the size of a checkpoint of more than `size` leaves that our own keys signed, if the witness at
        `address` shows one.

        This is what no liar can make up: either we have forgotten it, or somebody else has our keys.
        """
        url = f"{address}/{origin_hash(self._policy.origin)}/checkpoint"
        try:
            answer = await self._outside.get(url, limit=note.MAX_BYTES)
            opened = open_checkpoint(answer.body, self._policy) if answer.status == 200 else None
        except (Unreachable, VerificationError):
            return None
        return None if opened is None or opened.size <= size else opened.size

    def _checked(self, witness: PolicyWitness, head: Checkpoint, body: bytes) -> Cosigned:
        now = self._clock.now().timestamp()
        try:
            lines = parse_lines(body.decode("utf-8"))
            found = Note(head.to_text(), lines)
            signatures = check_lines(found, witness.keys, message)
        except UnicodeDecodeError:
            raise WitnessFailed("its answer is no text") from None
        except SignatureFailed as error:
            raise WitnessFailed(f"its cosignature fails: {error.detail}", lied=True) from None
        except VerificationError as error:
            raise WitnessFailed(f"its answer is malformed: {error.detail}") from None
        times = [each.timestamp for each in signatures if each.timestamp]
        if len(times) < len(signatures) or not times:
            raise WitnessFailed("no cosignature by a key of the policy, or one without a time")
        if max(times) > _LAST_SECOND:
            raise WitnessFailed("it signed after the year 9999", lied=True)
        known = {(key.name, key.key_id) for key in witness.keys}
        good = tuple(line for line in lines if (line.name, line.key_id) in known)
        return Cosigned(good, int(now - max(times)))


def note_of(signed: str, lines: list[SignatureLine]) -> str:
    """Return the note `signed` with `lines` after its own."""
    own = note.parse_note(signed)
    return format_note(own.text, [*own.lines, *lines])


def _named_size(answer: Answer) -> int:
    match = _SIZE.match(answer.body)
    if match is None:
        raise WitnessFailed("it answered 409 without a size")
    return int(match[1])
