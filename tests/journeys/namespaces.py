"""A network namespace for each region, all on one bridge: links that can really be cut. Needs Linux, root and `ip`."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_IP_S = 20
_OURS = re.compile(r"^(?:elicence-|elb)(\d+)(?:-\d+)?$")
_KNOCK = f"""
import socket, sys
probe = socket.socket()
probe.settimeout(5)
sys.exit(probe.connect_ex((sys.argv[1], 9)) not in (0, {errno.ECONNREFUSED}))
"""


class NoNamespaces(Exception):
    """This machine does not let us make namespaces that reach each other; says why."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace: its name, its address on the bridge, and the end of its link that stays outside."""

    name: str
    address: str
    link: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words that run a command inside."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Take the link down: what is sent is lost, in both directions."""
        _ip("link", "set", self.link, "down")

    def heal(self) -> None:
        """Put the link up again."""
        _ip("link", "set", self.link, "up")


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """Make `count` namespaces that reach each other and us, for the block. Raises `NoNamespaces`."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise NoNamespaces("they take Linux and root")
    if shutil.which("ip") is None:
        raise NoNamespaces("there is no `ip` here (iproute2)")
    _sweep()
    try:
        yield _made(count)
    finally:
        _remove(os.getpid())


def _made(count: int) -> list[Namespace]:
    ours, net = os.getpid(), _free_net()
    bridge = f"elb{ours}"
    _ip("link", "add", bridge, "type", "bridge")
    _ip("addr", "add", f"{net}.254/24", "dev", bridge)
    _ip("link", "set", bridge, "up")
    found = []
    for number in range(1, count + 1):
        each = Namespace(f"elicence-{ours}-{number}", f"{net}.{number}", f"elv{ours}n{number}")
        _ip("netns", "add", each.name)
        _ip("link", "add", each.link, "type", "veth", "peer", "name", "eth0", "netns", each.name)
        _ip("link", "set", each.link, "master", bridge, "up")
        _ip("-n", each.name, "addr", "add", f"{each.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", each.name, "link", "set", device, "up")
        found.append(each)
    for here, there in zip(found, [*found[1:], found[0]], strict=True):
        knock = [*here.prefix, sys.executable, "-I", "-S", "-c", _KNOCK, there.address]
        if subprocess.run(knock, capture_output=True, timeout=_IP_S, check=False).returncode:
            raise NoNamespaces("packets do not get from one to another; a packet filter may forbid it")
    return found


def _sweep() -> None:
    """Remove what runs that were killed left behind: their process is gone, its number is in the names."""
    listed = [line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()]
    links = [line.split(": ")[1].partition("@")[0] for line in _ip("-o", "link", "show", "type", "bridge").splitlines()]
    for owner in {int(match[1]) for match in map(_OURS.match, [*listed, *links]) if match}:
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            _remove(owner)


def _remove(owner: int) -> None:
    """Remove the namespaces and the bridge of a run, and end what still runs inside."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0] if line.strip() else ""
        if name.startswith(f"elicence-{owner}-"):
            for pid in _ip("netns", "pids", name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", name)  # its link goes with it
    if f" elb{owner}:" in _ip("-o", "link", "show", "type", "bridge"):
        _ip("link", "del", f"elb{owner}")


def _free_net() -> str:
    """The first three numbers of addresses that nobody has here."""
    taken = _ip("-o", "addr", "show")
    first = os.getpid() % 250
    nets = [f"10.77.{1 + (first + step) % 250}" for step in range(250)]
    return next(net for net in nets if f" {net}." not in taken)


def _ip(*words: str) -> str:
    """Run `ip` and return what it prints. Raises `NoNamespaces`."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=_IP_S, check=False)
    if done.returncode:
        raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
