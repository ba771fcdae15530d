"""`/V` in a real browser: the verdict on a printed code, and nothing of the code over the wire."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page

from api.cli.demo_service import DemoService
from tests.browser import desk
from tests.browser.conftest import serving
from tests.browser.wire import Wire
from verifiers.encoding import b32_decode, b32_encode

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PATIENCE_S = 20


class Checker:
    """The check page, opened through a proxy that keeps what is sent."""

    def __init__(self, page: Page, address: str, wire: Wire) -> None:
        self.page = page
        self.address = address
        self.wire = wire

    async def verdict(self, fragment: str) -> tuple[str, list[str]]:
        """Open the page with a fragment; gives outcome and reasons."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.address}/V#{fragment}")
        return await self.shown()

    async def shown(self) -> tuple[str, list[str]]:
        """Return outcome and reasons that the page shows."""
        box = self.page.locator("#verdict[data-outcome]")
        await box.wait_for()
        outcome = await box.get_attribute("data-outcome")
        return outcome or "", (await box.get_attribute("data-reasons") or "").split()


@pytest_asyncio.fixture(loop_scope="session")
async def checker(page: Page, service: DemoService) -> AsyncIterator[Checker]:
    """Give the check page before the recording proxy."""
    wire = Wire(service.settings.base_url)
    with serving(wire.app) as address:
        yield Checker(page, address, wire)


@pytest.fixture(scope="session")
def fragment(service: DemoService) -> str:
    """Give what stands behind the `#` of a good licence's code."""
    licence = desk.issue_diploma(service)["id"]
    return desk.printed_code(service, licence).partition("#")[2]


async def test_a_printed_code_is_valid_and_shows_what_is_printed(checker: Checker, fragment: str) -> None:
    """Outcome, printed facts and every step, in Chinese and English."""
    assert await checker.verdict(fragment) == ("valid", [])

    fields = await checker.page.locator("#fields").inner_text()
    assert all(text in fields for text in ("示例甲", "示例省教育厅", "长期"))
    assert "Valid" in await checker.page.locator("#word").inner_text()
    assert await checker.page.locator("#steps dt").count() == 8
    assert len(await checker.page.locator("#root").inner_text()) == 64


async def test_nothing_of_the_code_leaves_the_page(checker: Checker, fragment: str) -> None:
    """No request carries the code or any part of it, and all go to the page's own site."""
    asked: list[str] = []
    checker.page.on("request", lambda request: asked.append(request.url))

    assert (await checker.verdict(fragment))[0] == "valid"

    assert any("/trust-list" in each for each in checker.wire.sent)
    assert any("/status-lists/" in each for each in checker.wire.sent)
    pieces = [fragment[start : start + 16] for start in range(0, len(fragment) - 16, 8)]
    assert [piece for piece in pieces for each in checker.wire.sent if piece in each] == []
    assert {url for url in asked if not url.startswith((checker.address, "data:", "about:"))} == set()


async def test_the_page_may_fetch_from_its_own_site_only(checker: Checker, fragment: str) -> None:
    """Its policy names no other source, allows no form and no frame."""
    answer = await checker.page.goto(f"{checker.address}/V#{fragment}")

    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("place", [20, 60, 120, -3])
async def test_a_changed_character_makes_a_code_invalid(checker: Checker, fragment: str, place: int) -> None:
    """Wherever it is changed, the code no longer holds."""
    changed = list(fragment)
    changed[place] = "A" if changed[place] != "A" else "B"

    outcome, reasons = await checker.verdict("".join(changed))

    assert outcome == "invalid"
    assert reasons[0] in {"code.malformed", "code.signature", "key.unknown"}


async def test_an_unknown_key_is_named(checker: Checker, fragment: str) -> None:
    """A code of somebody whom the region's trust list does not name."""
    cose = b32_decode(fragment)

    assert await checker.verdict(b32_encode(cose[:8] + bytes(8) + cose[16:])) == ("invalid", ["key.unknown"])


async def test_a_link_without_a_code_judges_nothing(checker: Checker) -> None:
    """No outcome where nothing was presented; rubbish is malformed."""
    assert await checker.verdict("") == ("none", [])
    assert await checker.verdict("hello") == ("invalid", ["code.malformed"])


async def test_another_code_in_the_same_page_is_judged_anew(checker: Checker, fragment: str) -> None:
    """A phone that scans a second code may reuse the tab."""
    await checker.verdict("HELLO")

    await checker.page.evaluate("(code) => { location.hash = code; }", fragment)
    await checker.page.locator("#verdict[data-outcome=valid]").wait_for()


async def test_without_a_network_the_page_cannot_tell(checker: Checker, fragment: str) -> None:
    """Missing lists make a verdict undetermined, never valid."""
    await checker.verdict("")
    await checker.page.context.set_offline(True)

    await checker.page.evaluate("(code) => { location.hash = code; }", fragment)
    await checker.page.locator("#verdict[data-outcome=undetermined]").wait_for()

    assert (await checker.shown())[1] == ["trust.missing"]


async def test_a_phone_with_a_wrong_clock_does_not_say_valid(checker: Checker, fragment: str) -> None:
    """Far ahead the lists are out of date, far behind the clock itself is."""
    await checker.page.clock.set_fixed_time(dt.datetime.now(dt.UTC) + dt.timedelta(days=3650))
    ahead = await checker.verdict(fragment)
    await checker.page.clock.set_fixed_time(dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    behind = await checker.verdict(fragment)

    assert ahead[0] == "undetermined" and {"trust.expired", "status.stale"} <= set(ahead[1])
    assert behind == ("undetermined", ["clock.behind"])


async def test_a_licence_that_was_taken_back_is_invalid_within_seconds(checker: Checker, service: DemoService) -> None:
    """The same printed code turns once the status list says so."""
    licence = desk.issue_diploma(service)["id"]
    code = desk.printed_code(service, licence).partition("#")[2]
    before = await checker.verdict(code)

    desk.annul(service, licence)
    after = before
    for _ in range(PATIENCE_S * 2):
        after = await checker.verdict(code)
        if after[0] != "valid":
            break
        await asyncio.sleep(0.5)

    assert before == ("valid", [])
    assert after[0] == "invalid" and after[1][0] in {"status.revoked", "status.suspended"}


async def test_the_page_behind_a_dynamic_code_discloses_nothing(checker: Checker) -> None:
    """It asks for nothing but its style and says what to do instead."""
    await checker.page.goto(f"{checker.address}/C/AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYUCULBO")

    assert [each.split("\n")[0].split(" ")[1].replace(checker.address, "") for each in checker.wire.sent] == [
        "/C/AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYUCULBO", "/pages/style.css",
    ]  # fmt: skip
    assert "有权限的办事窗口" in await checker.page.locator("main").inner_text()
