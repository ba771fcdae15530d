"""Dynamic codes: minted on a phone without anybody's help, and redeemed at windows over HTTP, each use made durable."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import orjson

from api.cli.demo_service import DemoService
from api.cli.example_region import definition, departments_of
from benchmarks import over_http, requests
from benchmarks.load import Load, request, run
from verifiers.dynamic_code import HANDLE_LENGTH, KEY_LENGTH, mint
from verifiers.encoding import b64u_decode

MATTER = "EXAMPLE-SX-BENCH"
SECONDS = 1.0

# Sixteen at a time: WebCrypto answers from other threads, and a call costs more than what it computes.
_MINTING = f"""
const mint = await minter("https://ledger.example", new Uint8Array({HANDLE_LENGTH}), new Uint8Array({KEY_LENGTH}));
const began = performance.now();
let done = 0;
while (performance.now() - began < {1000 * SECONDS}) {{
  await Promise.all(Array.from({{length: 16}}, () => mint(1.8e9 + 30 * done++)));
}}
console.log(1000 * done / (performance.now() - began));
"""

Prepared = tuple[str, bytes, bytes]
"""Base, handle and key of a presentation, as the phone has them."""


def minted_per_s() -> float:
    """Mint codes as a phone does, in Python; codes a second of a core."""
    handle, key, at = os.urandom(HANDLE_LENGTH), os.urandom(KEY_LENGTH), datetime.now(UTC)
    began, done = time.thread_time(), 0
    while time.thread_time() - began < SECONDS:
        for _ in range(500):
            mint("https://ledger.example", handle, key, at)
        done += 500
    return done / (time.thread_time() - began)


def minted_in_javascript_per_s() -> float | None:
    """Mint codes as a phone does, in JavaScript; codes a second by the clock, `None` where there is no Node.js."""
    node = shutil.which("node")
    if node is None:
        return None
    script = resources.files("api").joinpath("pages", "dynamic_code.js").read_text("utf-8") + _MINTING
    command = [node, "--input-type=module"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


def add_matter(service: DemoService) -> None:
    """Register a matter that needs a diploma and asks nobody's credit, which would be another entry of the log."""
    body = definition("construction-safety-certificate", "matters")
    department = next(each.id for each in departments_of(service.settings.region) if each.slug == "education")
    credit = {"purpose": body["credit"]["purpose"], "policy": "none"}
    body |= {"code": MATTER, "department": department, "credit": credit}
    service.client("operator").post("/v1/matters", body, operator=over_http.OPERATOR)


def presentations(service: DemoService, first: int, holders: int, each: int) -> list[Prepared]:
    """Issue a diploma to each of `holders` people and let each prepare `each` presentations of it."""
    phone, found = service.client("holder-app"), []
    for number, licence in enumerate(over_http.issued(service, holders, first), first):
        holder = requests.person(number)
        token = service.identity_token(holder["id_type"], holder["id"])
        body = {"licences": [{"licence": licence["id"]}], "purpose": "基准测试"}
        for _ in range(each):
            one = phone.post("/v1/codes", body, subject_token=token)
            found.append((one["base"], b64u_decode(one["handle"]), b64u_decode(one["key"])))
    return found


def redeem(service: DemoService, prepared: Sequence[Prepared]) -> Load:
    """Redeem each presentation once over 64 connections: verdict, fields, a record of the look, use made durable."""
    headers = over_http.authorised(service.client("education-window"))

    def scan(base: str, handle: bytes, key: bytes) -> bytes:
        code = mint(base, handle, key, datetime.now(UTC))
        asked: dict[str, Any] = {"code": code, "matter": MATTER, "purpose": "基准测试"}
        return request("POST", "/v1/scans", orjson.dumps(asked), headers)

    load = run(service.settings.port, (scan(*each) for each in prepared), over_http.CONNECTIONS)
    refused = {status: count for status, count in load.statuses.items() if status >= 300}
    if refused:
        message = f"scans were refused: {refused}"
        raise RuntimeError(message)
    return load
