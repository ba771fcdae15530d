"""The page's reader of printed codes against Python's: same bytes, same meaning, same refusals."""

import base64
import datetime as dt
import random
from typing import Any

import pytest
from playwright.async_api import Page

from verifiers.code import CodePayload, build_code, cut_name, parse_code, sig_structure
from verifiers.encoding import b32_encode
from verifiers.errors import Malformed

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SEED = 20261121
NAMES = ("示例甲", "示例食品有限公司", "示例" * 9, "Example Ltd", "é" * 18, "\ufeff示例", "示例𠮷", "A")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
READ = """async (fragments) => {
  const { readCode, Refused } = await import("/pages/static_code.js");
  const text = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return fragments.map((fragment) => {
    try {
      const { kid, signed, signature, facts } = readCode(fragment);
      return { kid: text(kid), signed: text(signed), signature: text(signature), facts };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return error.code;
    }
  });
}"""


def random_payload(chance: random.Random) -> CodePayload:
    """Return a payload with every field at its edges now and then."""
    first = dt.date(2000, 1, 1)
    serial = "".join(chance.choices(ALPHABET, k=chance.choice([1, 2, 10, 16, 39, 40])))
    name, cut = cut_name(chance.choice(NAMES))
    return CodePayload(
        type_number=chance.choice([0, 1, 65535, chance.randrange(65536)]),
        issuer_number=chance.randrange(65536),
        version=chance.choice([1, 2, 999]),
        valid_from=first + dt.timedelta(chance.choice([0, 9821, 65534])),
        valid_until=chance.choice([None, first, first + dt.timedelta(chance.randrange(65535))]),
        list_number=chance.randrange(65536),
        status_idx=chance.choice([0, 2**32 - 1, chance.randrange(2**32)]),
        serial=chance.choice([serial, "0" * len(serial), "Z" * len(serial)]),
        name=name,
        name_cut=cut,
        several_holders=chance.random() < 0.5,
    )


def random_code(chance: random.Random) -> bytes:
    """Return a code that is right in everything but that nobody signed it."""
    return build_code(random_payload(chance), chance.randbytes(8), chance.randbytes(64))


def facts_of(payload: CodePayload) -> dict[str, Any]:
    """Return what the page's reader makes of a payload."""
    return {
        "type": payload.type_number, "issuer": payload.issuer_number, "version": payload.version,
        "validFrom": payload.valid_from.isoformat(),
        "validUntil": None if payload.valid_until is None else payload.valid_until.isoformat(),
        "list": payload.list_number, "index": payload.status_idx, "serial": payload.serial, "name": payload.name,
        "nameCut": payload.name_cut, "severalHolders": payload.several_holders,
    }  # fmt: skip


def as_python_reads(cose: bytes) -> dict[str, Any] | str:
    """Return what Python makes of a code, in the script's words, or the reason why it refuses."""
    try:
        code = parse_code(cose)
    except Malformed as refused:
        return str(refused.reason)
    assert code.sig_structure == sig_structure(code.payload, code.kid)
    return {
        "kid": code.kid.hex(), "signed": code.sig_structure.hex(), "signature": code.signature.hex(),
        "facts": facts_of(code.payload),
    }  # fmt: skip


def tampered(chance: random.Random) -> list[bytes]:
    """Return codes with one byte changed at every place, cut, lengthened, or with another frame."""
    cose = random_code(chance)
    changed = []
    for place in range(len(cose)):
        masks = (0x01, 0x80, chance.randrange(1, 256))
        changed += [cose[:place] + bytes((cose[place] ^ mask,)) + cose[place + 1 :] for mask in masks]
    changed += [cose[:length] for length in range(0, len(cose), 7)]
    changed += [cose + b"\x00", cose[1:], bytes(200), b"", cose[:17] + cose[18:]]
    return changed


async def read_in_page(page: Page, pages: str, fragments: list[str]) -> Any:
    """Return what the page's reader makes of each fragment."""
    await page.goto(f"{pages}/V")
    return await page.evaluate(READ, fragments)


async def test_the_page_reads_two_hundred_random_codes_as_python_does(page: Page, pages: str) -> None:
    """Every field at its edges, names of every script, open-ended or not."""
    chance = random.Random(SEED)
    codes = [random_code(chance) for _ in range(200)]

    read = await read_in_page(page, pages, [b32_encode(code) for code in codes])

    assert read == [as_python_reads(code) for code in codes]
    assert all(isinstance(each, dict) for each in read)


async def test_the_page_refuses_exactly_what_python_refuses(page: Page, pages: str) -> None:
    """A changed byte gives another reading or a refusal, on both sides the same."""
    chance = random.Random(SEED + 1)
    codes = [code for _ in range(6) for code in tampered(chance)]

    read = await read_in_page(page, pages, [b32_encode(code) for code in codes])

    differing = [
        (code.hex(), ours, theirs)
        for code, theirs in zip(codes, read, strict=True)
        if (ours := as_python_reads(code)) != theirs
    ]
    assert differing == []
    assert read.count("code.malformed") > 100


async def test_the_page_reads_base32_in_one_form_only(page: Page, pages: str) -> None:
    """Small letters, padding, white space, foreign digits and stray bits are not another way to write a code."""
    code = b32_encode(random_code(random.Random(SEED + 2)))
    stray = code[:-1] + ("B" if code[-1] != "B" else "C")
    fragments = [code.lower(), code + "=", f" {code}", code[:-1] + "1", code[:-1] + "0", code + "A" * 1024, "示例"]

    read = await read_in_page(page, pages, [*fragments, stray])

    assert read[: len(fragments)] == ["code.malformed"] * len(fragments)
    # Where the last character carries spare bits a change in them is refused; where not, it is another signature.
    spare = len(base64.b32decode(code + "=" * (-len(code) % 8))) * 8 % 5
    assert (read[-1] == "code.malformed") or spare == 0
