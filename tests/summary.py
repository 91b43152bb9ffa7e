"""The summary of a session: which servers ran, and how many of the tests that need them passed.

A worker of pytest-xdist writes no summary: at its end it sends its notes to the controller, which does.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

__all__ = ["note", "pytest_sessionfinish", "pytest_terminal_summary", "pytest_testnodedown"]

# A section of the summary, and the mark of the tests that it counts.
_MARKS = {"Kafka": "kafka", "PostgreSQL": "postgres"}
_ENDS = ("passed", "failed", "error", "skipped")

_notes = pytest.StashKey[dict[str, list[str]]]()


def note(config: pytest.Config, section: str, line: str) -> None:
    """Add a line to a section of the summary, once."""
    lines = config.stash.setdefault(_notes, {}).setdefault(section, [])
    if line not in lines:
        lines.append(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker: send the notes to the controller. In the controller: fail where a whole module was skipped.

    `make test` requires everything; a module is skipped as a whole where an extra of the library cannot be imported.
    """
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["notes"] = session.config.stash.get(_notes, {})
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [each for each in reporter.stats.get("skipped", ()) if isinstance(each, pytest.CollectReport)]
    if skipped and os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for each in skipped:
            note(session.config, "Skipped modules fail this run", each.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the controller: take the notes of a worker that has ended, if it sent any."""
    for section, lines in getattr(node, "workeroutput", {}).get("notes", {}).items():
        for line in lines:
            note(node.config, section, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the sections."""
    notes = config.stash.get(_notes, {})
    for section in dict.fromkeys((*_MARKS, *notes)):
        lines = list(notes.get(section, ()))
        if mark := _MARKS.get(section):
            ended = {end: _marked(terminalreporter, end, mark) for end in _ENDS}
            if not (tests := set[str]().union(*ended.values())):
                continue
            lines = lines or ["servers of the tests' own, or none"]
            lines.append(f"{len(ended['passed'])} of {len(tests)} tests that need {section} passed")
        terminalreporter.section(section)
        for line in lines:
            terminalreporter.write_line(line)


def _marked(reporter: pytest.TerminalReporter, end: str, mark: str) -> set[str]:
    return {report.nodeid for report in reporter.stats.get(end, ()) if mark in getattr(report, "keywords", ())}
