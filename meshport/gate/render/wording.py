"""The words that all renderings share: who breaks, where, and why a finding does not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meshport.address import Address
from meshport.compat.finding import Direction, Finding, Part, ReaderVerdict, RollOut, Severity, State, Verdict
from meshport.gate.run import GateRun

_WHO: Final = {
    Direction.BACKWARD: "new readers on stored events",
    Direction.FORWARD: "today's readers on new events",
    Direction.CONTRACT: "readers that rely on its promises",
}
_ROLL_OUT: Final = {
    RollOut.READERS: "readers deploy first, then producers",
    RollOut.PRODUCERS: "producers deploy first, then readers",
    RollOut.ANY: "producers and readers deploy in any order",
}
_MOST_UNDECLARED: Final = 10
_FILES: Final = {Part.SCHEMA: "the schema", Part.PORT: "the port in product.yaml", Part.PRODUCT: "product.yaml"}


def label(finding: Finding) -> str:
    """Return `error` or `warning` for a finding that counts against the candidate, else its state."""
    return finding.severity.value if finding.state is State.STANDS else finding.state.value


def change(finding: Finding) -> str:
    """Return the change as waivers name it: `RULE at path`."""
    return f"{finding.rule} at {finding.path}" if finding.path else finding.rule


def where(finding: Finding) -> str:
    """Return `file:line` as editors and terminals open it, or the part in words if there is no file."""
    if finding.file is None:
        return _FILES[finding.part]
    return finding.file if finding.line is None else f"{finding.file}:{finding.line}"


def who(finding: Finding) -> str:
    """Return who would break, and against which versions."""
    whom = " and ".join(_WHO[each] for each in finding.directions)
    return f"{whom} ({numbered(finding.versions)})" if finding.versions else whom


def roll_out(finding: Finding) -> str | None:
    """Return which side deploys first, as a sentence."""
    return _ROLL_OUT[finding.roll_out] if finding.roll_out else None


def numbered(versions: Sequence[int]) -> str:
    """Return `version 3`, `versions 3, 2, 1`, or the ends of a long history: `versions 20 to 1`."""
    if len(versions) == 1:
        return f"version {versions[0]}"
    if len(versions) > 3 and versions[0] - versions[-1] == len(versions) - 1:
        return f"versions {versions[0]} to {versions[-1]}"
    return f"versions {', '.join(map(str, versions))}"


def why_excused(verdict: Verdict, finding: Finding) -> str | None:
    """Return why a finding does not count against the candidate; None if it counts."""
    match finding.state:
        case State.SETTLED:
            return "settled: what is published breaks in this way already"
        case State.UNUSED:
            return "the port has no event and no reader, so that nothing breaks"
        case State.UNREAD:
            return "unread: the port protects declared readers, and none of them reads it"
        case State.WAIVED:
            held = next((each for each in verdict.waivers if each.id == finding.waiver), None)
            if held is None:
                return f"waived by waiver {finding.waiver}"
            return f"waived until {held.until} by {held.approver} (waiver {held.id}): {held.reason}"
        case State.STANDS:
            return None


def reads(reader: ReaderVerdict) -> str:
    """Return which of a reader's declared fields break; `reads everything` for a reader that declares none."""
    if not reader.fields:
        return "reads everything"
    paths = [breaks.partition(" ")[2] for breaks in reader.breaks]
    hit = [field for field in reader.fields if any(_touch(path, field) for path in paths)]
    if not hit:  # a finding of the contract around the schema: no declared field breaks
        return "by " + ", ".join(reader.breaks)
    return "reads " + ", ".join(f"`{field}`" for field in hit)


def broken(verdict: Verdict, finding: Finding | None = None) -> list[ReaderVerdict]:
    """Return the readers that the candidate breaks, or that one finding breaks."""
    if finding is None:
        return [reader for reader in verdict.readers if reader.breaks]
    name = " ".join(filter(None, (finding.rule, finding.path)))
    return [reader for reader in verdict.readers if name in reader.breaks]


def reader_lines(verdict: Verdict) -> list[str]:
    """Return a line for each reader that breaks; the last one counts the readers that do not."""
    hit = broken(verdict)
    whole = len(verdict.readers) - len(hit)
    if not hit:
        known = "the reader that is known stays" if whole == 1 else f"the {whole} readers that are known stay"
        return [f"{known} whole"] if whole else []
    lines = [f"breaks {short(reader.address)} (owner {reader.owner}): {reads(reader)}" for reader in hit]
    if whole:
        lines[-1] += f"; {whole} other{'s' if whole > 1 else ''} whole"
    return lines


def undeclared_lines(verdict: Verdict) -> list[str]:
    """Return a line for each reader that is not declared and may break too; beyond ten, a line that counts the others."""
    lines = [f"also {each}" for each in verdict.also_read_by[:_MOST_UNDECLARED]]
    if more := len(verdict.also_read_by) - len(lines):
        lines.append(f"also read or asked for by {more} more that are not declared")
    return lines


def summary(run: GateRun) -> str:
    """Return the last line: the number of contracts, and the number of each outcome."""
    counts = run.counts
    total, breaking = counts["total"], [each for each in run.verdicts if not each.passes]
    rest = [f"{counts[word]} {word}" for word in ("unchanged", "compatible", "new") if counts[word]]
    contracts = f"{total} contract{'' if total == 1 else 's'}"
    if breaking:
        one = len(breaking) == 1
        words = (
            ("breaks its readers", "break their readers")
            if any(map(broken, breaking))
            else ("is refused", "are refused")
        )
        head = f"{len(breaking)} of {contracts} {words[0] if one else words[1]}"
    elif not run.passes:
        head = "stored events cannot be read with the candidate"
    elif total:
        head = f"{contracts} {'passes' if total == 1 else 'pass'}"
    else:
        head = "no contract to judge"
    stands = [finding for _, finding in run.findings(State.STANDS) if finding.severity is Severity.WARNING]
    if stands:
        rest.append(f"{len(stands)} warning{'s' if len(stands) > 1 else ''}")
    return f"{head}; {', '.join(rest)}" if rest else head


def short(address: Address) -> str:
    """Return an address without its scheme, as people type it."""
    return address.key


def _touch(path: str, field: str) -> bool:
    return not path or f"{path}.".startswith(f"{field}.") or f"{field}.".startswith(f"{path}.")
