"""The lines of stderr: for people, or one JSON object each for what collects logs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

__all__ = ["VARIABLE", "JsonLog", "LineForm", "TextLog", "json_line", "log_to_stderr", "without_repeats"]

VARIABLE: Final = "MESHPORT_LOG_FORMAT"
_FACTS: Final = "facts"
_MOST_KEPT: Final = 1_000
# What logging itself puts into a record, and what it leaves there.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _FACTS}


class LineForm(StrEnum):
    """The form of the lines."""

    TEXT = "text"
    JSON = "json"


class TextLog(logging.Formatter):
    """A line of the log: the time in UTC (ISO 8601), level, logger and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's names
        """Return the time of a record, to the millisecond: 2026-03-01T12:00:00.250Z."""
        return _instant(record.created)


class JsonLog(logging.Formatter):
    """A line of the log as JSON: time, level, logger, message, the current trace, and the facts of what is reported.

    Facts are what a record was logged with as `extra`: of an event its topic, partition and offset.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        given = {name: each for name, each in vars(record).items() if name not in _STANDARD}
        facts = {**getattr(record, _FACTS, {}), **given}
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return json_line(record.levelname, record.name, record.getMessage(), facts, at=record.created)


def json_line(level: str, logger: str, message: str, facts: Mapping[str, Any], *, at: float | None = None) -> str:
    """Return one line of JSON; a fact never takes the place of the line's own fields."""
    moment = datetime.now(UTC).timestamp() if at is None else at
    own = {"time": _instant(moment), "level": level.lower(), "logger": logger, "message": message, **_trace()}
    return json.dumps({**own, **{name: each for name, each in facts.items() if name not in own}}, default=str)


def log_to_stderr(form: LineForm) -> None:
    """Have the log of this process written to stderr in a form, from its warnings on."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLog() if form is LineForm.JSON else TextLog())
    logging.basicConfig(level=logging.WARNING, handlers=[lines])


class _Repeats(logging.Filter):
    """Passes a message on once, and again when it comes `every_s` seconds after it was last passed on, or later."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self._every_s = every_s
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be written."""
        message = record.name, record.getMessage()
        last = self._passed.get(message)
        if last is not None and record.created - last < self._every_s:
            return False
        if len(self._passed) >= _MOST_KEPT:
            self._passed.clear()
        self._passed[message] = record.created
        return True


@contextmanager
def without_repeats(every_s: float = 3600.0) -> Iterator[None]:
    """Have the log leave out messages that it had lately, for a command that looks at the same things every some seconds.

    Args:
        every_s: seconds after which the same message is written again.
    """
    repeats = {each: _Repeats(every_s) for each in logging.getLogger().handlers}
    for handler, of_handler in repeats.items():
        handler.addFilter(of_handler)
    try:
        yield
    finally:
        for handler, of_handler in repeats.items():
            handler.removeFilter(of_handler)


def _trace() -> dict[str, str]:
    """Return the ids of the current trace; nothing is imported in a process that traces nothing."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from meshport.event.trace import log_fields  # noqa: PLC0415 - see above

    return log_fields()


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
