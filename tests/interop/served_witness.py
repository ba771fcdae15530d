"""Our witness on a port of its own, for programs that others wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.api.service import Service, service_on


@asynccontextmanager
async def served_witness(database_url: str, folder: Path) -> AsyncIterator[tuple[Service, str]]:
    """Serve a region for the block, and give the address of its witness."""
    async with service_on(database_url, folder) as service:
        transport: Any = service.http._transport
        server = uvicorn.Server(uvicorn.Config(transport.app, port=0, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield service, f"http://127.0.0.1:{port}/witness"
        finally:
            server.should_exit = True
            await serving
