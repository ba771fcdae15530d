"""Offline verification on one core: whole licences of ten fields with a status list, beside bare signature checks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from keys.public_key import PublicKey
from tests.verifiers.issuer import NOW, Issued, Issuer
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.policy import Policy
from verifiers.status_list import open_status_list
from verifiers.trust_list import open_trust_list
from verifiers.verification import verify

LICENCES = 200
FIELDS = {f"field_{number}": f"示例内容{number}" for number in range(10)}
SECONDS = 1.0


@cache
def _world() -> tuple[Issuer, list[Issued]]:
    """Make a region whose type takes licences without a receipt, and licences that all differ."""
    issuer = Issuer(receipt_rule="optional")
    return issuer, [issuer.issue(number, fields=FIELDS) for number in range(LICENCES)]


def _rate(once: Callable[[int], object]) -> float:
    """Call `once` with rising numbers for a second of CPU time, after a short warm-up; calls a second of a core."""
    for number in range(20):
        once(number)
    began = time.thread_time()
    done = 0
    while time.thread_time() - began < SECONDS:
        for number in range(done, done + 50):
            once(number)
        done += 50
    return done / (time.thread_time() - began)


def raw_checks_per_s() -> float:
    """Check ES256 signatures and nothing else."""
    issuer, _ = _world()
    message = b"x" * 1000
    name = "list"
    signature = issuer.sign(name, message)
    key: PublicKey = issuer.public(name)
    return _rate(lambda _: key.check(message, signature))


def warm_per_s() -> float:
    """Verify licences while trust list and status list stay open."""
    issuer, licences = _world()
    trust = issuer.trust()
    status = issuer.status(trust)
    return _rate(lambda number: verify(licences[number % LICENCES].compact, trust=trust, status=[status], at=NOW))


def cold_per_s() -> float:
    """Verify licences, opening the trust list and the status list again for every one."""
    issuer, licences = _world()
    token, listed = issuer.trust_token(), issuer.status_token()

    def once(number: int) -> None:
        trust = open_trust_list(token, root_fingerprint=issuer.pin, at=NOW)
        status = open_status_list(listed, trust)
        verify(licences[number % LICENCES].compact, trust=trust, status=[status], at=NOW)

    return _rate(once)


def receipt_per_s() -> float:
    """Verify licences with receipts under one checkpoint that was checked before."""
    issuer, licences = _world()
    trust = issuer.trust()
    status = issuer.status(trust)
    checkpoint = issuer.checkpoint()
    receipts = [issuer.receipt(each.index, each.opening, checkpoint=checkpoint) for each in licences]
    kept = CheckpointCache()
    return _rate(
        lambda number: verify(
            licences[number % LICENCES].compact,
            trust=trust,
            status=[status],
            receipt=receipts[number % LICENCES],
            at=NOW,
            policy=Policy(),
            cache=kept,
        )
    )
