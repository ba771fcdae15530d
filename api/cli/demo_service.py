"""The service the demo talks to: a process of its own on a free port, with example data, ended when the demo ends."""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import jwt

from api.cli import example_region
from api.cli.http_client import ServiceClient
from api.cli.service import create_region, example_settings
from api.composition import open_region
from api.settings import Settings, environment

IDENTITY_ISSUER = "https://identity.example"
_START_S = 60
_STOP_S = 30
_FIRST_PORT, _LAST_PORT = 16_384, 32_767
_PORT_ATTEMPTS = 100


class DemoService:
    """The running service: its address, clients by name, and an identity platform's stand-in that signs for holders."""

    def __init__(self, settings: Settings, folder: Path, http: httpx.Client) -> None:
        self.settings = settings
        self.http = http
        self.folder = folder

    def client(self, name: str) -> ServiceClient:
        """Return one of the example clients."""
        return ServiceClient.from_file(
            self.http, name, self.folder / "client-keys" / f"{name}.jwk.json", self.settings.base_url
        )

    def identity_token(self, id_type: str, number: str) -> str:
        """Sign, as the identity platform would, that the person behind a phone is this one."""
        jwk = json.loads((self.folder / "identity-platform.jwk.json").read_text())
        claims = {
            "iss": IDENTITY_ISSUER,
            "aud": self.settings.base_url,
            "exp": int(time.time()) + 600,
            "id_type": id_type,
            "id": number,
            "jti": secrets.token_urlsafe(8),
        }
        return jwt.encode(claims, jwt.PyJWK(jwk).key, algorithm="ES256")


class ServiceProcess:
    """The service in a process of its own; can be ended, killed and started again.

    `prefix` are words before the command, such as those that run it in a network namespace.
    """

    def __init__(self, settings: Settings, folder: Path, prefix: tuple[str, ...] = ()) -> None:
        self.settings = settings
        self._prefix = prefix
        self._log = folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it says that it is ready. Raises `RuntimeError` when it does not get there."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*self._prefix, sys.executable, "-m", "api.cli", "serve"],
                env=os.environ | environment(self.settings),
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as an operator would, and wait."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it at once, as a power failure would (SIGKILL)."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_S
        address = f"http://{self.settings.host}:{self.settings.port}"
        with httpx.Client(base_url=address, timeout=5) as http:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    status = http.get("/readyz").status_code
                except httpx.TransportError:
                    status = 0  # not listening yet
                if status == 200:
                    return
                time.sleep(0.05)
        message = f"the service did not get ready; see {self._log}"
        raise RuntimeError(message)


def prepared(folder: Path, *, grace_s: int | None = None, **changes: object) -> Settings:
    """Make a fresh region with example data and an identity platform's stand-in below `folder`; not served yet.

    `changes` replace settings, such as those of another `ExampleRegion`; `grace_s` as in `example_region.seed`.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    example_region.write_key(folder / "identity-platform.jwk.json")
    jwk = json.loads((folder / "identity-platform.jwk.json").read_text())
    jwks = folder / "identity-platform.jwks.json"
    jwks.write_text(json.dumps({"keys": [{name: value for name, value in jwk.items() if name != "d"}]}))
    defaults: dict[str, object] = {
        "base_url": f"http://127.0.0.1:{port}",
        "port": port,
        "identity_issuer": IDENTITY_ISSUER,
        "identity_jwks": jwks,
    }
    settings = example_settings(folder, **(defaults | changes))
    asyncio.run(_make(settings, folder, grace_s))
    return settings


@contextmanager
def running(folder: Path) -> Iterator[DemoService]:
    """Make a fresh region below `folder`, serve it in another process for the block, and end that process."""
    settings = prepared(folder)
    process = ServiceProcess(settings, folder)
    process.start()
    try:
        with httpx.Client(base_url=settings.base_url, timeout=60) as http:
            yield DemoService(settings, folder, http)
    finally:
        process.stop()


async def _make(settings: Settings, folder: Path, grace_s: int | None) -> None:
    await create_region(settings)
    region = await open_region(settings)
    try:
        await example_region.seed(region, folder, grace_s=grace_s)
    finally:
        await region.close()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses right now; raises `OSError` when a hundred are taken.

    It is drawn from below those that systems hand out to connections (32768 and up on Linux), so that none of the
    thousands that are opened meanwhile takes it before the service does.
    """
    for _ in range(_PORT_ATTEMPTS):
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = f"none of {_PORT_ATTEMPTS} ports was free"
    raise OSError(message)
