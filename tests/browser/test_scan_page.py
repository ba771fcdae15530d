"""The window's scan page: a keyboard-wedge scanner, and a camera in front of a printed code."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from api import qr_codes
from api.cli import demo_people as people
from api.cli.demo_service import DemoService
from tests.browser import chromium as browsers
from tests.browser import desk

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FAKE_CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
FRAME = (1280, 720)


@dataclass(frozen=True)
class Window:
    """The scan page of a clerk who has entered everything but the code."""

    page: Page

    async def outcome(self) -> str:
        """Wait for the answer to a scan and return its outcome."""
        box = self.page.locator("#verdict[data-outcome]")
        await box.wait_for()
        return await box.get_attribute("data-outcome") or ""


async def sat_down(page: Page, service: DemoService) -> Window:
    """Open the scan page and fill in who is asking, and for what."""
    await page.goto(f"{service.settings.base_url}/scan")
    await page.get_by_label("访问令牌").fill(service.client("market-window").token())
    await page.get_by_label("经办人").fill("示例窗口员")
    await page.get_by_label("事项").fill(people.FOOD_MATTER)
    await page.get_by_label("用途").fill("示例核验")
    return Window(page)


@pytest_asyncio.fixture(loop_scope="session")
async def window(page: Page, service: DemoService) -> Window:
    """Give the scan page, ready for a code."""
    return await sat_down(page, service)


@pytest.fixture(scope="session")
def code(service: DemoService) -> str:
    """Give the text of a good licence's printed code."""
    return desk.printed_code(service, desk.issue_diploma(service)["id"])


async def test_a_scanner_that_types_gets_a_verdict(window: Window, code: str) -> None:
    """Characters and a final Enter are all a keyboard-wedge scanner sends."""
    await window.page.locator("#code").focus()
    await window.page.keyboard.type(code)
    await window.page.keyboard.press("Enter")

    assert await window.outcome() == "valid"
    assert "示例甲" in await window.page.locator("#fields").inner_text()
    assert await window.page.locator("#code").input_value() == ""


async def test_the_field_is_ready_for_the_next_code(window: Window, code: str) -> None:
    """The scanner needs no mouse between two people."""
    await window.page.locator("#code").focus()
    for _ in range(2):
        await window.page.keyboard.type(code)
        await window.page.keyboard.press("Enter")
        assert await window.outcome() == "valid"
        await expect(window.page.locator("#code")).to_be_focused()
        await expect(window.page.locator("#code")).to_have_value("")


async def test_a_changed_code_is_never_valid(window: Window, code: str) -> None:
    """A code that does not hold is invalid or refused, with the reason in words."""
    changed = code[:-9] + ("A" if code[-9] != "A" else "B") + code[-8:]

    await window.page.locator("#code").fill(changed)
    await window.page.keyboard.press("Enter")

    assert await window.outcome() in {"invalid", "problem"}
    assert await window.page.locator("#why").inner_text() != ""


async def test_nothing_is_sent_before_the_clerk_is_named(page: Page, service: DemoService, code: str) -> None:
    """Without token, officer, matter and purpose the page asks for them."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    await page.goto(f"{service.settings.base_url}/scan")

    await page.locator("#code").fill(code)
    await page.keyboard.press("Enter")

    assert await page.evaluate("document.activeElement.id") == "token"
    assert "POST" not in asked


async def test_a_wrong_token_is_told(window: Window, code: str) -> None:
    """The service's refusal is shown, not a verdict."""
    await window.page.get_by_label("访问令牌").fill("wrong")
    await window.page.locator("#code").fill(code)
    await window.page.keyboard.press("Enter")

    assert await window.outcome() == "problem"


async def test_a_network_that_is_down_is_told(window: Window, code: str) -> None:
    """No answer is no verdict."""
    await window.page.context.set_offline(True)
    await window.page.locator("#code").fill(code)
    await window.page.keyboard.press("Enter")

    assert await window.outcome() == "problem"
    assert "网络不可用" in await window.page.locator("#why").inner_text()


def film(text: str, file: Path) -> None:
    """Write what a camera sees that is held before a printed code: some empty frames, then the code a little askew."""
    symbol = Image.open(io.BytesIO(qr_codes.png(text, "print", 7))).convert("RGB")
    table = Image.new("RGB", FRAME, (214, 208, 198))
    paper = table.copy()
    turned = symbol.rotate(4, expand=True, fillcolor=(255, 255, 255), resample=Image.Resampling.BICUBIC)
    paper.paste(turned, ((FRAME[0] - turned.width) // 2, (FRAME[1] - turned.height) // 2))
    with file.open("wb") as film:
        for frame in [table] * 3 + [paper] * 6:
            frame.save(film, "JPEG", quality=80)


@pytest_asyncio.fixture(loop_scope="session")
async def camera(chromium: str, service: DemoService, code: str, tmp_path: Path) -> AsyncIterator[Window]:
    """Give the scan page in a browser whose camera looks at the printed code."""
    film(code, tmp_path / "camera.mjpeg")
    seen = f"--use-file-for-fake-video-capture={tmp_path / 'camera.mjpeg'}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*browsers.FLAGS, *FAKE_CAMERA, seen])
        context = await browser.new_context(permissions=["camera"])
        yield await sat_down(await context.new_page(), service)
        await browser.close()


async def test_a_camera_before_a_printed_code_gets_a_verdict(camera: Window) -> None:
    """The page films, the frame is read, the code is scanned, the camera is let go."""
    await camera.page.get_by_role("button", name="摄像头").click()

    assert await camera.outcome() == "valid"
    assert await camera.page.locator("#view").is_hidden()
    assert "示例甲" in await camera.page.locator("#fields").inner_text()


async def test_a_machine_without_a_camera_says_so(window: Window) -> None:
    """The clerk learns that the scanner is the way."""
    await window.page.get_by_role("button", name="摄像头").click()

    assert await window.outcome() == "problem"
    assert "摄像头不可用" in await window.page.locator("#why").inner_text()
