"""The ceiling of issuing: processes that only build and sign SD-JWT VCs of ten fields, nothing stored, nothing sent."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.offline import FIELDS
from tests.verifiers.issuer import Issuer

SECONDS = 1.0


def per_s(processes: int) -> float:
    """Return licences built and signed a second by `processes` processes together."""
    with ProcessPoolExecutor(processes) as pool:
        return sum(pool.map(_loop, range(processes)))


def micros_each() -> float:
    """Return the CPU microseconds that building and signing one licence takes."""
    issuer = Issuer()
    issuer.sign_licence(issuer.face(0, fields=FIELDS))
    began, done = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        for place in range(50):
            issuer.sign_licence(issuer.face(done + place, fields=FIELDS))
        done += 50
    return 1e6 * (time.process_time() - began) / done


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
