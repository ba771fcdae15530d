"""A headless Chromium for all browser tests, the pages alone, and a whole served region."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright

from api.cli.demo_service import DemoService, running
from api.page_routes import router
from tests.browser import chromium as browsers

NAVIGATION_MS = 20_000


@pytest.fixture(scope="session")
def chromium() -> str:
    """Give the path of a Chromium, or skip with a line that says why there is none."""
    try:
        return browsers.find()
    except browsers.NoChromium as missing:
        pytest.skip(f"no Chromium: {missing}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Run one Chromium, with a profile of its own that is thrown away."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=list(browsers.FLAGS))
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Give an empty page with nothing remembered; an error in a page's own script fails the test."""
    context = await browser.new_context(locale="zh-CN")
    context.set_default_timeout(NAVIGATION_MS)
    opened = await context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    await context.close()
    assert errors == []


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve `app` on a free port of this machine for the block, in a thread; gives its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, loop="asyncio", timeout_graceful_shutdown=3))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def pages() -> Iterator[str]:
    """Serve the pages alone, without a region behind them."""
    app = FastAPI()
    app.include_router(router)
    with serving(app) as address:
        yield address


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoService]:
    """Serve a region with the example data in a process of its own."""
    with running(tmp_path_factory.mktemp("region")) as served:
        yield served
