"""One changed byte anywhere: refused with the reason of the right step, or in a position that is listed here.

Listed means that nobody signs it, and then verdict and content stay exactly the same. All positions are tried; of the
bundle, which is large, every seventh in an ordinary run and all in a long one.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.verifiers.issuer import NOW, Issuer, judge, reason_of
from verifiers.errors import Reason
from verifiers.policy import Policy
from verifiers.status_list import open_status_list
from verifiers.trust_list import open_trust_list
from verifiers.verdict import Outcome, Verdict

# A changed certificate may have a serial number that the library warns of before it is refused.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

REGION = Issuer()
GOOD = REGION.issue(7)
REGION.issue(8)
TRUST = REGION.trust()
STATUS = REGION.status(TRUST)
RECEIPT = REGION.receipt(GOOD.index, GOOD.opening)
POLICY = Policy(root=REGION.pin)
BUNDLE = REGION.bundle(GOOD)


def flips(data: bytes, step: int = 1, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Each place of `data` with its lowest bit turned, and with one bit that differs from place to place."""
    for place in range(start, len(data), step):
        for bit in {0, place % 7 + 1}:
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            yield place, bytes(changed)


def licence(presented: bytes | str) -> Verdict:
    """The verdict about a licence with everything else right."""
    return judge(presented, TRUST, status=[STATUS], receipt=RECEIPT, policy=POLICY)


def with_receipt(data: bytes) -> Verdict:
    """The verdict about the good licence with another receipt."""
    return judge(GOOD.compact, TRUST, status=[STATUS], receipt=data.decode("utf-8", "replace"), policy=POLICY)


def code(presented: bytes | str) -> Verdict:
    """The verdict about a printed code."""
    return judge(presented, TRUST, status=[STATUS], policy=POLICY)


def bundle(presented: bytes) -> Verdict:
    """The verdict about a bundle."""
    return judge(presented, None, policy=POLICY)


TOKEN = {Reason.LICENCE, Reason.TOKEN_TYPE, Reason.LICENCE_SIGNATURE, Reason.KEY_UNKNOWN}
SHOWN = {Reason.DISCLOSURE, Reason.DISCLOSURE_DUPLICATE, Reason.DISCLOSURE_UNREFERENCED}


def check(
    data: bytes,
    judged: Callable[[bytes], Verdict],
    expected: Callable[[int], set[Reason]],
    unauthenticated: set[int] = frozenset(),  # type: ignore[assignment]
    step: int = 1,
    start: int = 0,
) -> None:
    """Try all flips of `data`."""
    good = judged(data).to_json()
    assert good["outcome"] == Outcome.VALID
    for place, changed in flips(data, step, start):
        verdict = judged(changed)
        if verdict.outcome is Outcome.VALID:
            assert place in unauthenticated, f"place {place} ({data[place : place + 20]!r}) is not authenticated"
            assert verdict.to_json() == good
        else:
            assert expected(place) & set(verdict.reasons), f"place {place}: {verdict.reasons}"


def test_no_byte_of_a_licence_can_be_changed() -> None:
    """In the token the signature or the form fails; in the disclosures, those; no position is left out."""
    end = GOOD.compact.index("~")
    last = len(GOOD.compact) - 1

    def expected(place: int) -> set[Reason]:
        if place == last:  # without its last tilde the last disclosure reads as a key binding
            return {Reason.HOLDER_BINDING}
        if place > end:
            return SHOWN
        return TOKEN | {Reason.DISCLOSURE}  # `_sd_alg` and `_sd` are in the token

    check(GOOD.compact.encode(), licence, expected)


def test_no_byte_of_a_receipt_can_be_changed() -> None:
    """Opening, index, path and checkpoint are bound to the licence and to the log's keys."""
    prefixes = ("receipt.", "checkpoint.", "note.", "log.", "entry.")
    family = {reason for reason in Reason if reason.startswith(prefixes)}

    check(RECEIPT.encode(), with_receipt, lambda _: family)


def test_no_byte_of_a_code_can_be_changed_but_its_host() -> None:
    """The host selects no trust and changes no verdict; everything behind the mark is signed."""
    host = range(GOOD.code.index("://") + 3, GOOD.code.index("/V#"))
    reasons = {Reason.CODE, Reason.CODE_SIGNATURE, Reason.KEY_UNKNOWN, Reason.PRESENTED, Reason.LICENCE}

    check(GOOD.code.encode(), code, lambda _: reasons, set(host))


def test_no_byte_of_a_status_list_can_be_changed() -> None:
    """A changed list never opens."""
    reasons = {Reason.STATUS, Reason.STATUS_KEY, Reason.STATUS_SIGNATURE, Reason.TOKEN_TYPE}
    for place, changed in flips(REGION.status_token().encode()):
        reason = reason_of(lambda token: open_status_list(token, TRUST), changed.decode("utf-8", "replace"))
        assert reason in reasons, place


def test_no_byte_of_a_trust_list_can_be_changed() -> None:
    """A changed list never opens."""
    reasons = {Reason.TRUST, Reason.TRUST_SIGNATURE, Reason.TRUST_CERTIFICATE, Reason.ROOT_MISMATCH, Reason.TOKEN_TYPE}

    def opened(token: str) -> object:
        return open_trust_list(token, root_fingerprint=REGION.pin, at=NOW)

    for place, changed in flips(REGION.trust_token().encode()):
        assert reason_of(opened, changed.decode("utf-8", "replace")) in reasons, place


def bundle_freedom() -> set[int]:
    """Where a bundle is not authenticated: the time of export and the host in the code, which decide nothing."""
    text = BUNDLE.decode()
    time = text.index('"exported_at":"') + len('"exported_at":"')
    host = text.index('"code":"') + len('"code":"HTTPS://')
    return {*range(time, time + 20), *range(host, text.index("/V#", host))}


@pytest.mark.parametrize("start", [0, pytest.param(range(1, 7), marks=pytest.mark.long)], ids=["seventh", "others"])
def test_no_byte_of_a_bundle_can_be_changed_but_its_time_of_export(start: int | range) -> None:
    """Whatever part a byte belongs to, that part, or the whole, is refused."""
    freedom = bundle_freedom()
    for first in (start,) if isinstance(start, int) else start:
        check(BUNDLE, bundle, lambda _: set(Reason), freedom, step=7, start=first)
