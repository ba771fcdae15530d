"""Running the application: one process, or several on PostgreSQL. Apart from the commands, which need no web server."""

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.loops.uvloop import uvloop_loop_factory
from uvicorn.supervisors import Multiprocess

from api.app import create_app
from api.composition import open_region
from api.connections import keep_to, listeners, server_options
from api.settings import Settings, environment
from keys.signer import KeyStore

_MOST_PREPARERS = 4
_NOT_STARTED = 3
# A serving process that says nothing for so long hangs, and is replaced. Five seconds, which is usual, is less than one
# needs on a busy machine only to load its packages: it was killed and started again for ever.
_SILENT_S = 30


def run(settings: Settings, store: KeyStore | None = None, opened: Callable[[], None] = lambda: None) -> None:
    """Serve until told to stop; requests under way are finished first. `store` spares one process opening it anew.

    `opened` is called once the address is ours. One process raises what keeps its region from being opened,
    as `Region.open` does; several log it.
    """
    if settings.preparers is None:
        settings = settings.model_copy(update={"preparers": _usual_preparers(settings.workers)})
    if settings.workers > 1:
        os.environ.update(environment(settings))
        named: dict[str, Any] = {"factory": True, "workers": settings.workers, "timeout_worker_healthcheck": _SILENT_S}
        config = uvicorn.Config("api.cli.serving:application", **named, **server_options(settings))
        listening = listeners(config.bind_socket())
        opened()  # each worker opens its own region; what keeps one from it stands in the log
        Multiprocess(config, sockets=listening).run()
        return
    keep_to(settings)
    config = uvicorn.Config("", **server_options(settings))
    # The port first: who is refused it, because the service runs already, must not have taken publishing from it.
    bound = config.bind_socket()
    started = True
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop_loop_factory()) as runner:
        started = runner.run(_serve(settings, store, opened, config, bound))
    if not started:
        sys.exit(_NOT_STARTED)


async def _serve(
    settings: Settings, store: KeyStore | None, opened: Callable[[], None], config: uvicorn.Config, bound: socket.socket
) -> bool:
    region = await open_region(settings, store=store)
    try:
        config.app = _settled(create_app(settings, region, closes=True))
        opened()
    except BaseException:
        await region.close()
        raise
    server = uvicorn.Server(config)
    await server.serve(listeners(bound))
    return server.started


def _usual_preparers(workers: int) -> int:
    """Return how many preparers each serving process gets where nobody said: one a core but one, at most four in all.

    That core is for what appends and answers, and for the database.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1, _MOST_PREPARERS) // workers


def application() -> object:
    """Make the application of one worker process from the environment."""
    settings = Settings()
    keep_to(settings)
    return _settled(create_app(settings))


def _settled(app: FastAPI) -> FastAPI:
    """Keep what lives as long as the process out of garbage collections, and collect less often: a tenth of a call."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    return app
