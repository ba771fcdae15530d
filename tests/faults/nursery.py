"""A process that has loaded everything and starts one child a case, which costs milliseconds instead of a second.

`python -m tests.faults.nursery` reads one JSON line a case from its input: `{"do": NAME, "url": …, "folder": …, …}`.
It answers with `{"pid": …}` when the child is there and `{"status": …}` (as `waitpid` gives it) when it has ended.
A child with `"gate": FILE` waits until that named pipe is opened for writing, so that a tracer can be attached before.
Children write what they have to say into their folder, and what they print into `NAME.log` there.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class Nursery:
    """The nursery's own process, seen from outside; close it when done."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults.nursery"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        assert json.loads(self._out.readline()) == {"ready": True}

    def begin(self, do: str, url: str, folder: Path, **more: Any) -> int:
        """Start a child and return its process id."""
        self._in.write(json.dumps({"do": do, "url": url, "folder": str(folder), **more}) + "\n")
        return int(json.loads(self._out.readline())["pid"])

    def end(self) -> int:
        """Wait for the child that was begun; return its exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(json.loads(self._out.readline())["status"])

    def live(self, do: str, url: str, folder: Path, **more: Any) -> int:
        """Let a child live, from its birth to its end."""
        self.begin(do, url, folder, **more)
        return self.end()

    def sound(self, do: str, url: str, folder: Path, **more: Any) -> None:
        """Let a child live that must end well."""
        code = self.live(do, url, folder, **more)
        assert code == 0, (folder / f"{do}.log").read_text()[-6000:]

    def close(self) -> None:
        """End the process."""
        self._in.close()
        self._process.wait(30)
        self._out.close()


def child(case: dict[str, Any]) -> None:
    """Be the child: do what the case says and never return."""
    folder = Path(case["folder"])
    code = 1
    try:
        log = os.open(folder / f"{case['do']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        if case.get("gate"):
            Path(case["gate"]).read_bytes()
        asyncio.run(_do(case, folder))
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it was, it must not run on as a second nursery
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _do(case: dict[str, Any], folder: Path) -> None:
    from tests.faults import appended, judging, subject

    place = subject.Place(case["url"], folder)
    match case["do"]:
        case "prepare":
            await subject.prepare(place)
        case "suffer":
            await subject.suffer(place, case.get("step"), case.get("fault"))
        case "repeat":
            await subject.repeat(place)
        case "append":
            await appended.append(place, case["names"], dies_when_refused=case.get("dies", False))
        case "afterwards":
            await appended.append(place, [subject.LATE])
            await subject.count(place)
            await appended.append(place, subject.BATCH)
            judging.judge(place)
        case "judge":
            judging.judge(place, case.get("shown"))


def main() -> None:
    """Start children as told, one at a time."""
    warnings.simplefilter("ignore")
    # Loaded here, once; nothing of it starts a thread before it is used.
    from tests.faults import appended, judging, subject  # noqa: F401

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(case)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    main()
