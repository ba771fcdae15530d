"""What must hold after every step, each as a function that raises `Broken`; see docs/simulation.md.

Each reads what regions have stored, past their code, and compares it with the account that the run keeps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from tests.simulation.template import GRACE_S, TTL_S
from tests.simulation.world import Head, Told, World
from verifiers.checkpoint import parse_checkpoint
from verifiers.commitment import jws_digest
from verifiers.errors import VerificationError
from verifiers.note import parse_note
from verifiers.peer_view import Watch
from verifiers.receipt import check_receipt

Invariant = Callable[[World], None]

SECOND: Final = timedelta(seconds=1)
"""What whole seconds in tokens and tables leave open."""


class Broken(Exception):
    """An invariant does not hold."""


def _broken(message: str) -> None:
    raise Broken(message)


def one_history_is_accepted(world: World) -> None:
    """No honest region accepts two inconsistent checkpoints of one origin (protocol 29, 30).

    Accepted is what it stored as verified, in this process or an earlier one.
    """
    for code in world.honest:
        for origin, size, root, note in world.looks[code, 0].rows("SELECT origin, size, root, note FROM followed"):
            if not note:
                continue
            head, before = Head(size, bytes(root)), world.accepted.setdefault((code, origin), [])
            if head in before:
                continue
            for other in before:
                if not world.agree(origin, head, other):
                    _broken(f"{code} accepted sizes {other.size} and {size} of {origin}, which do not fit together")
            before.append(head)


def no_two_forks_reach_a_quorum(world: World) -> None:
    """Two forks never both reach a quorum that satisfies k > (n + f) / 2 with f liars among n witnesses (protocol 29).

    Counted against us: liars cosign everything, and every cosignature of an honest witness is found by everybody.
    """
    made = world.template
    signers: dict[str, dict[Head, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (code, origin), heads in world.cosigned.items():
        for head, _ in heads:
            signers[origin][head].add(code)
    for origin, by_head in signers.items():
        liars = len(set(world.liars) - {world.code_of(origin)})
        if 2 * made.quorum <= made.watching + liars:
            continue  # too weak to prevent it: verdicts say so, see `weak_quorums_are_called_weak`
        full = [head for head, by in by_head.items() if len(by) + liars >= made.quorum]
        for head in full:
            for other in full:
                if not world.agree(origin, head, other):
                    _broken(f"sizes {head.size} and {other.size} of {origin} do not fit, and both have a quorum")


def weak_quorums_are_called_weak(world: World) -> None:
    """A verdict by a quorum that prevents no split even without liars says `witness.detect_only` (protocol 29)."""
    made = world.template
    for told in _fresh(world):
        if told.outcome == "valid" and told.by != told.given.code and told.receipt:
            weak = 2 * made.quorum <= made.watching
            if weak != ("witness.detect_only" in told.notes):
                _broken(f"{told.by}: k={made.quorum} of n={made.watching}, and the verdict has the notes {told.notes}")


def witnesses_never_go_back(world: World) -> None:
    """A witness never goes back in size or time, nor signs a head that contradicts its last (C2SP tlog-witness)."""
    for (code, origin), heads in world.cosigned.items():
        checked = world.compared.get((code, origin), 1)
        for (last, then), (head, at) in pairwise(heads[checked - 1 :]):
            if head.size < last.size or at < then:
                _broken(f"the witness of {code} went back from {last.size} at {then} to {head.size} at {at}")
            if not world.agree(origin, last, head):
                _broken(f"the witness of {code} cosigned sizes {last.size} and {head.size} of two histories")
        world.compared[code, origin] = len(heads)
        if not world.looks[code, 0].rows("SELECT 1 FROM witnessed_logs WHERE origin = ?", origin):
            _broken(f"the witness of {code} has forgotten {origin}")


def _take_down_cosignatures(world: World) -> None:
    """Write down what honest witnesses cosigned since the last step."""
    for code in world.honest:
        rows = world.looks[code, 0].rows("SELECT origin, size, root, cosigned_at FROM witnessed_logs")
        for origin, size, root, at in rows:
            seen, before = (Head(size, bytes(root)), at), world.cosigned.setdefault((code, origin), [])
            if not before or before[-1] != seen:
                before.append(seen)


def withdrawn_is_not_valid_for_long(world: World) -> None:
    """No `valid` later than the bound after a revocation, nor past the grace of the type (protocol 30, 31a).

    The list of an honest region tells what holds when it is signed, so it may be believed for its `ttl` or the grace,
    whichever is longer, counted on the two clocks that took the times. A region knows its own at once.
    """
    for told in _fresh(world):
        given = told.given
        if told.outcome != "valid" or given.code in world.liars:
            continue
        allowed = timedelta(seconds=max(TTL_S, GRACE_S[given.kind]))
        if told.list_iat is not None and told.by != given.code:
            age = told.at - datetime.fromtimestamp(told.list_iat, UTC)
            if age > allowed + SECOND:
                _broken(f"{told.by} believed a list of {age} where {allowed} are allowed")
            _check_stated_bound(told)
        if not given.value or given.changed_at is None:
            continue
        if told.by == given.code:
            _broken(f"{told.by} called a licence of its own valid that it had withdrawn")
        if told.at > given.changed_at + allowed + SECOND:
            _broken(f"{told.by} called a licence valid {told.at - given.changed_at} after it was withdrawn")


def _check_stated_bound(told: Told) -> None:
    if told.bound_s is None or told.fetched_at is None:
        _broken(f"{told.by} gave a valid verdict without a bound")
    elif told.at > told.fetched_at + timedelta(seconds=told.bound_s) + SECOND:
        _broken(f"{told.by} gave a valid verdict {told.at - told.fetched_at} after its fetch, bound {told.bound_s} s")


def honest_licences_are_not_called_revoked(world: World) -> None:
    """A lying peer never turns an honest licence `invalid` (protocol 23, 24): only its own region can."""
    for told in _fresh(world):
        given = told.given
        if told.outcome != "invalid" or given.code in world.liars or given.value:
            continue
        if given.ever and told.by != given.code:
            changed = given.changed_at
            if told.list_iat is None or changed is None or told.list_iat <= int(changed.timestamp()):
                continue  # it was withdrawn until a moment ago, and the list at hand still says so
        _broken(f"{told.by} called a good licence of {given.code} invalid: {told.reasons}")


def receipts_stay_good(world: World) -> None:
    """Every receipt ever given still verifies: never `invalid`, `undetermined` only as documented (protocol 12, 16)."""
    for told in _fresh(world):
        wrong = [reason for reason in told.reasons if reason.startswith(("receipt.", "checkpoint.", "log."))]
        if told.receipt and told.given.code not in world.liars and wrong:
            _broken(f"{told.by} did not take a receipt of {told.given.code}: {wrong}")
    checked = world.now_checked
    for number, given in enumerate(world.given):
        if given.code in world.liars:
            continue
        policy = world.node(given.code).region.log_policy
        for text in given.receipts[checked.get(number, 0) :] if not world.ending else given.receipts:
            try:
                opened = check_receipt(text, policy)
            except VerificationError as error:
                _broken(f"a receipt of {given.code} does not hold: {error}")
            digest = jws_digest(given.issued.licence.partition("~")[0].rpartition(".")[0].encode("ascii"))
            if opened.opening.jws != digest or opened.index != given.issued.entry:
                _broken(f"a receipt of {given.code} is that of something else")
            head = Head(opened.checkpoint.size, opened.checkpoint.root)
            if not world.agree(opened.checkpoint.origin, head, head):
                _broken(f"a receipt of {given.code} ends in a head that its log never had")
        checked[number] = len(given.receipts)


def acknowledged_entries_stay(world: World) -> None:
    """An index that was given out keeps its entry, whatever fails afterwards (protocol 2, 11)."""
    for code in world.honest:
        kept = world.acknowledged[code]
        if not kept:
            continue
        start = min(kept)
        stored = world.looks[code, 0].entries_from(start)
        for idx, leaf in kept.items():
            if idx - start >= len(stored) or stored[idx - start] != leaf:
                _broken(f"entry {idx} of {code} was acknowledged and is no longer what it was")


def issuing_goes_on(world: World) -> None:
    """An honest region issues at once, whatever its peers do: nothing of theirs is waited for (protocol 10)."""
    if world.refused:
        _broken(world.refused[0])


def published_heads_fit_the_log(world: World) -> None:
    """An honest region signs one history: it serves heads of its own entries, never a smaller one (protocol 11)."""
    for code in world.honest:
        look = world.looks[code, 0]
        for text in _served(world, code):
            head = parse_checkpoint(parse_note(text).text)
            if look.root_at(head.size) != head.root:
                _broken(f"{code} serves a head of size {head.size} that is not that of its entries")
            if head.size < world.served.get(code, 0):
                _broken(f"{code} serves size {head.size} after {world.served[code]}")
            world.served[code] = head.size


def _served(world: World, code: str) -> Iterator[str]:
    text = world.node(code).region.files.checkpoint()
    if text is not None:
        yield text


def liars_alone_are_accused(world: World) -> None:
    """No honest region's log is called forked, inconsistent or rolled back for good: evidence needs its signature.

    A log may be called rolled back while somebody in between repeats old answers; it is never called forked.
    """
    for code in world.honest:
        rows = world.looks[code, 0].rows("SELECT region, state, detail FROM followed")
        for region, state, detail in rows:
            if region in world.honest and state == Watch.FORKED.value:
                _broken(f"{code} calls the honest log of {region} forked: {detail}")


def _fresh(world: World) -> list[Told]:
    """The verdicts of this step."""
    return world.told[world.judged :]


EVERY_STEP: Final[tuple[Invariant, ...]] = (
    one_history_is_accepted,
    witnesses_never_go_back,
    no_two_forks_reach_a_quorum,
    weak_quorums_are_called_weak,
    withdrawn_is_not_valid_for_long,
    honest_licences_are_not_called_revoked,
    receipts_stay_good,
    acknowledged_entries_stay,
    issuing_goes_on,
    published_heads_fit_the_log,
    liars_alone_are_accused,
)
"""What is checked after every step, in this order."""


def check_step(world: World) -> None:
    """Check everything that must hold after a step. Raises `Broken`, whose message begins with the invariant's name."""
    _take_down_cosignatures(world)
    for invariant in world.invariants:
        try:
            invariant(world)
        except Broken as broken:
            raise Broken(f"{invariant.__name__}: {broken}") from None
    world.judged = len(world.told)
