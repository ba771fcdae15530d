"""A Chromium to test the pages with: the system's own, or, for root on Debian, its package."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

INSTALL_S = 180
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoChromium(Exception):
    """There is none, and none could be installed."""


def find() -> str:
    """Return the path of a Chromium, installing one where that is ours to do. Raises `NoChromium`."""
    return _installed() or _install()


def _installed() -> str | None:
    names = (os.environ.get("ELICENCE_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _install() -> str:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoChromium("install the system's chromium package, or set ELICENCE_CHROMIUM")
    # Test processes run side by side; one of them installs, the others wait for it.
    with (Path(tempfile.gettempdir()) / "elicence-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := _installed():
            return found
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            _apt(command, environment)
    found = _installed()
    if found is None:
        raise NoChromium("the chromium package brought no chromium")
    return found


def _apt(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            ["apt-get", "--quiet=2", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        raise NoChromium(f"apt-get {command[0]} took longer than {INSTALL_S} s") from None
    if done.returncode:
        raise NoChromium(f"apt-get {command[0]} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
