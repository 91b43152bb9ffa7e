"""The log of a command that looks at the same things again and again."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from meshport.cli.log_lines import without_repeats


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Write the log of a test to a text."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


def warn(port: str, created: float) -> None:
    """Log a warning as of a time (Unix time in seconds)."""
    record = logging.makeLogRecord({"name": "tests", "levelno": logging.WARNING, "msg": "%s is away", "args": (port,)})
    record.created = created
    logging.getLogger("tests").handle(record)


def test_a_message_is_written_once_an_hour(written: io.StringIO) -> None:
    """The same message is left out until an hour has passed since it was written; another one is written, as are all later."""
    with without_repeats():
        for port, created in (("a", 0.0), ("a", 10.0), ("b", 20.0), ("a", 3599.0), ("a", 3600.0), ("a", 3610.0)):
            warn(port, created)
    assert written.getvalue().splitlines() == ["a is away", "b is away", "a is away"]
    warn("a", 3620.0)
    assert written.getvalue().splitlines()[3:] == ["a is away"]


def test_what_is_kept_to_compare_is_bounded(written: io.StringIO) -> None:
    """After a thousand messages a repeated one is written once more, so that memory has a bound."""
    with without_repeats():
        for number in range(1001):
            warn(str(number), 0.0)
        warn("0", 1.0)
        warn("1000", 1.0)
    assert written.getvalue().splitlines()[1001:] == ["0 is away"]
