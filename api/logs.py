"""Structured log lines: one JSON object a line on standard error, without personal data.

A line names the route's pattern, never the address as called, the refusal's code, never its facts, and the client,
never the officer or the holder. Whatever else is passed is dropped, so a careless call cannot leak.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

ALLOWED = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "route",
        "method",
        "status",
        "ms",
        "code",
        "client",
        "size",
        "count",
        "process",
        "error",
        "where",
        "seconds",
        "list",
        "seq",
        "port",
        "version",
        "what",
        "reason",
        "idx",
        "stage",
    }
)
"""Names a line may have; a test logs every other kind of thing and looks for it."""


def _only_allowed(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in line.items() if name in ALLOWED}


def _error_class(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name an exception and the place it came from; its text may quote what somebody sent."""
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["error"] = type(error).__name__
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            line["where"] = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
    return line


def configure(level: str) -> None:
    """Log at `level` and above, here and in the libraries, as JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _error_class,
            _only_allowed,
            structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line, default=str).decode()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries may put statements with their parameters into messages, so only their warnings come through, by name.
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(getattr(logging, level), logging.WARNING))


class _Forward(logging.Handler):
    """Passes on that a library warned, and where, without its message."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library",
            where=f"{record.name}:{record.lineno}",
            error=record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None,
        )
