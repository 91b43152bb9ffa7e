"""The verdicts as annotations of a pull request: GitHub's workflow commands, one on each line.

Escaped is exactly what the runner unescapes: `%`, CR and LF in a message, also `:` and `,` in a property. A semicolon is
not: the runner would show it as `%3B`. A step shows its first ten errors, warnings and notices each, so they are written
in that order, and the summary is the first notice.
"""

from __future__ import annotations

from typing import Final

from meshport.compat.finding import Finding, Severity, State, Verdict
from meshport.gate.render import wording
from meshport.gate.run import GateRun

_DATA: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})
_LEVELS: Final = ("error", "warning", "notice")


def render(run: GateRun) -> str:
    """Return a command for each finding, then the summary and the notes as notices."""
    commands = {level: list[str]() for level in _LEVELS}
    for evidence in run.evidence:
        level = "notice" if evidence.passes else "error"
        title = f"stored events of {wording.short(evidence.address)}"
        commands[level].append(_command(level, str(evidence), title=title))
    commands["notice"].insert(0, _command("notice", f"{wording.summary(run)} (against {run.against})", title=_TITLE))
    for verdict, finding in run.findings():
        level = _level(finding)
        commands[level].append(_annotation(level, verdict, finding))
    commands["notice"] += (_command("notice", note, title=_TITLE) for note in run.notes)
    return "\n".join(line for level in _LEVELS for line in commands[level])


_TITLE: Final = "Meshport gate"


def _level(finding: Finding) -> str:
    if finding.state is not State.STANDS:
        return "notice"
    return "error" if finding.severity is Severity.ERROR else "warning"


def _annotation(level: str, verdict: Verdict, finding: Finding) -> str:
    lines = [finding.message, f"{wording.short(verdict.address)}: {_consequence(verdict, finding)}"]
    if finding.state is State.STANDS:
        if hit := wording.broken(verdict, finding):
            lines += (f"breaks {wording.short(each.address)} ({each.owner}): {wording.reads(each)}" for each in hit)
        if finding.severity is Severity.ERROR:
            lines += wording.undeclared_lines(verdict)
        if finding.advice:
            lines.append(f"do: {finding.advice}")
        if order := wording.roll_out(finding):
            lines.append(f"roll-out: {order}")
    where = {} if finding.file is None else {"file": finding.file}
    if finding.file is not None and finding.line is not None:
        where["line"] = str(finding.line)
    return _command(level, "\n".join(lines), **where, title=wording.change(finding))


def _consequence(verdict: Verdict, finding: Finding) -> str:
    return wording.why_excused(verdict, finding) or (
        f"breaks {wording.who(finding)}" if finding.severity is Severity.ERROR else f"touches {wording.who(finding)}"
    )


def _command(level: str, message: str, **properties: str) -> str:
    given = ",".join(f"{name}={text.translate(_PROPERTY)}" for name, text in properties.items())
    return f"::{level} {given}::{message.translate(_DATA)}"
