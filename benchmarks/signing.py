"""The ceiling of issuing: processes that only build and sign SD-JWT VCs of ten fields, nothing stored, nothing sent."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.offline import FIELDS
from tests.verifiers.issuer import Issuer

SECONDS = 2.0


def per_s(processes: int) -> float:
    """Return licences built and signed a second by `processes` processes together."""
    with ProcessPoolExecutor(processes) as pool:
        return sum(pool.map(_loop, range(processes)))


def _loop(number: int) -> float:
    issuer = Issuer()
    issuer.sign_licence(issuer.face(number, fields=FIELDS))
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < SECONDS:
        for place in range(50):
            issuer.sign_licence(issuer.face(1000 * number + place, fields=FIELDS))
        done += 50
    return done / (time.perf_counter() - began)
