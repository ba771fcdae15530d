"""Running the application: one process, or several on PostgreSQL. Apart from the commands, which need no web server."""

import gc
import os
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from api.app import create_app
from api.connections import keep_to, listeners, server_options
from api.settings import Settings, environment
from keys.signer import KeyStore

_MOST_PREPARERS = 4
_NOT_STARTED = 3
# A serving process that says nothing for so long hangs, and is replaced. Five seconds, which is usual, is less than one
# needs on a busy machine only to load its packages: it was killed and started again for ever.
_SILENT_S = 30


def run(settings: Settings, store: KeyStore | None = None) -> None:
    """Serve until told to stop; requests under way are finished first. `store` spares one process opening it anew."""
    if settings.preparers is None:
        settings = settings.model_copy(update={"preparers": _usual_preparers(settings.workers)})
    if settings.workers > 1:
        os.environ.update(environment(settings))
        named: dict[str, Any] = {"factory": True, "workers": settings.workers, "timeout_worker_healthcheck": _SILENT_S}
        config = uvicorn.Config("api.cli.serving:application", **named, **server_options(settings))
        Multiprocess(config, sockets=listeners(config.bind_socket())).run()
        return
    keep_to(settings)
    config = uvicorn.Config(_settled(create_app(settings, store=store)), **server_options(settings))
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=listeners(config.bind_socket()))
    if not server.started:
        sys.exit(_NOT_STARTED)


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
