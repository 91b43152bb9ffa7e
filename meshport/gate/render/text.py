"""The verdicts for people: what breaks, where, why, for whom, what to do, and a summary in the last line.

Lines are plain text with a style each. `styled` returns both, for a terminal; `render` returns the text only, so that a
pipe, `NO_COLOR` and a log get the same words.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Final

from rich.text import Text

from meshport.catalog import Waiver
from meshport.compat.finding import Finding, Outcome, Severity, State, Verdict
from meshport.gate.render import wording
from meshport.gate.run import GateRun

WIDTH: Final = 100
"""The maximum width in columns; a longer line is harder to read on any terminal."""

_Line = tuple[str, str]
_STYLES: Final = {"error": "bold red", "warning": "yellow"}
_LABEL: Final = 9  # of the longest label, `warning`, with its indent
_GAP: Final = 2


def render(run: GateRun, *, width: int = WIDTH) -> str:
    """Return the verdicts as plain text.

    Args:
        run: what was judged.
        width: the columns at which lines are broken; a single word may be longer.
    """
    return styled(run, width=width).plain


def styled(run: GateRun, *, width: int = WIDTH) -> Text:
    """Return the same text with its colours, for rich.

    Args:
        run: what was judged.
        width: the columns at which lines are broken.
    """
    lines = list(_run(run, width))
    return Text("\n").join(Text(line, style) for line, style in lines)


def finding_lines(verdict: Verdict, finding: Finding, *, width: int = WIDTH) -> list[str]:
    """Return one finding as plain lines, for the text of a failure in a test report."""
    return [line for line, _ in _finding(verdict, finding, width)]


def _run(run: GateRun, width: int) -> Iterator[_Line]:
    for verdict in run.verdicts:
        if verdict.outcome is Outcome.UNCHANGED and not verdict.findings:
            continue
        yield from _verdict(verdict, width)
    for evidence in run.evidence:
        style = "" if evidence.passes else "red"
        for line in str(evidence).splitlines():
            yield printable(line), style
    for note in run.notes:
        yield from _wrapped(note, width, "note: ", "dim")
    style = "bold green" if run.passes else "bold red"
    yield from _wrapped(run.against, width, "against ", "dim")
    yield wording.summary(run), style


def _verdict(verdict: Verdict, width: int) -> Iterator[_Line]:
    address = wording.short(verdict.address)
    held = f"held to {verdict.level}"
    if verdict.versions:
        held += f" against {wording.numbered(verdict.versions)}"
    if not verdict.passes:
        words, style = "breaks its readers" if wording.broken(verdict) else "is refused", "bold red"
    elif verdict.outcome is Outcome.NEW:
        words, style = "is new: there is nothing to compare it with", "green"
    else:
        waived = any(finding.state is State.WAIVED for finding in verdict.findings)
        words, style = "passes by waiver" if waived else "is compatible", "green"
    yield from _wrapped(f"{address} {words}, {held}", width, "", style)
    for finding in verdict.findings:
        yield from _finding(verdict, finding, width)
    for waiver in verdict.waivers:
        if not any(finding.waiver == waiver.id for finding in verdict.findings):
            yield from _wrapped(_unneeded(waiver), width, "  ", "dim")
    hit = bool(wording.broken(verdict))
    if hit or verdict.findings:
        for line in wording.reader_lines(verdict):
            yield from _wrapped(line, width, "  ", "red" if hit and not verdict.passes else "")
    for line in wording.undeclared_lines(verdict):
        yield from _wrapped(line, width, "  ", "yellow")
    if verdict.findings:
        yield "", ""


def _finding(verdict: Verdict, finding: Finding, width: int) -> Iterator[_Line]:
    label = wording.label(finding)
    style = _STYLES.get(label, "dim")
    indent = " " * (_LABEL + _GAP)
    yield from _wrapped(wording.change(finding), width, f"  {label:<{_LABEL}}", style)
    yield from _wrapped(wording.where(finding), width, indent, "cyan")
    yield from _wrapped(finding.message, width, indent, "")
    why_excused = wording.why_excused(verdict, finding)
    if why_excused is not None:
        yield from _wrapped(why_excused, width, indent, style)
    if why_excused is not None and finding.state is not State.WAIVED:
        return  # the candidate is not the cause, so there is nothing to do
    yield from _sides(finding, width, indent)
    if finding.severity is Severity.ERROR:
        yield from _wrapped(wording.who(finding), width, f"{indent}breaks ", "")
    if why_excused is not None:
        return
    if finding.advice:
        yield from _wrapped(finding.advice, width, f"{indent}do: ", "bold")
    if order := wording.roll_out(finding):
        yield from _wrapped(order, width, f"{indent}roll-out: ", "")


def _sides(finding: Finding, width: int, indent: str) -> Iterator[_Line]:
    """Yield both sides on one line if both exist and fit; the message describes the change already, and JSON has it in full."""
    if finding.before is None or finding.after is None:
        return
    before, after = (json.dumps(side, ensure_ascii=False, default=str) for side in (finding.before, finding.after))
    line = printable(f"{indent}{before} -> {after}")
    if len(line) <= width:
        yield line, ""


def _unneeded(waiver: Waiver) -> str:
    change = f"{waiver.rule} at {waiver.path}" if waiver.path else waiver.rule
    return f"waiver {waiver.id} holds until {waiver.until} but nothing needs it: {change}, by {waiver.approver}"


def _wrapped(words: str, width: int, lead: str, style: str) -> Iterator[_Line]:
    """Yield words as lines of at most the width; the first begins with the lead, the others are indented by its length."""
    blank = " " * len(lead)
    safe = printable(" ".join(words.split()))
    lines = textwrap.wrap(safe, max(width - len(lead), 20), break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines or [""]):
        yield (blank if number else lead) + line, style


def printable(text: str) -> str:
    """Return text with every character escaped that could move the cursor, colour a terminal or reverse the reading direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
