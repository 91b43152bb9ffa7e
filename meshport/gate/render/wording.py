"""What every rendering says in the same words: who breaks, where, and what counts against nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meshport.address import Address
from meshport.compat.finding import Direction, Finding, Part, ReaderVerdict, RollOut, Severity, State, Verdict
from meshport.gate.run import GateRun

_WHO: Final = {
    Direction.BACKWARD: "new readers on stored events",
    Direction.FORWARD: "today's readers on new events",
    Direction.CONTRACT: "whoever relies on what was promised",
}
_ROLL_OUT: Final = {
    RollOut.READERS: "readers deploy first, then producers",
    RollOut.PRODUCERS: "producers deploy first, then readers",
    RollOut.ANY: "producers and readers deploy in any order",
}
_FILES: Final = {Part.SCHEMA: "the schema", Part.PORT: "the port in product.yaml", Part.PRODUCT: "product.yaml"}


def label(finding: Finding) -> str:
    """`error` and `warning` for what speaks against a candidate, else the state that takes it away."""
    return finding.severity.value if finding.state is State.STANDS else finding.state.value


def change(finding: Finding) -> str:
    """The change as waivers name it: `RULE at path`."""
    return f"{finding.rule} at {finding.path}" if finding.path else finding.rule


def where(finding: Finding) -> str:
    """`file:line` as editors and terminals open it; the part in words where there is no file."""
    if finding.file is None:
        return _FILES[finding.part]
    return finding.file if finding.line is None else f"{finding.file}:{finding.line}"


def who(finding: Finding) -> str:
    """Who would break, and against which versions."""
    whom = " and ".join(_WHO[each] for each in finding.directions)
    return f"{whom} ({numbered(finding.versions)})" if finding.versions else whom


def roll_out(finding: Finding) -> str | None:
    """Who deploys first, in a sentence."""
    return _ROLL_OUT[finding.roll_out] if finding.roll_out else None


def numbered(versions: Sequence[int]) -> str:
    """`version 3`, `versions 3, 2, 1`, and of a long history its ends: `versions 20 to 1`."""
    if len(versions) == 1:
        return f"version {versions[0]}"
    if len(versions) > 3 and versions[0] - versions[-1] == len(versions) - 1:
        return f"versions {versions[0]} to {versions[-1]}"
    return f"versions {', '.join(map(str, versions))}"


def why_excused(verdict: Verdict, finding: Finding) -> str | None:
    """Why a finding does not count against the candidate; None where it does."""
    match finding.state:
        case State.SETTLED:
            return "settled: what is published breaks in this way already"
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
    """Which of the fields that a reader declares are hit; `reads everything` for one that declares none."""
    if not reader.fields:
        return "reads everything"
    paths = [breaks.partition(" ")[2] for breaks in reader.breaks]
    hit = [field for field in reader.fields if any(_touch(path, field) for path in paths)]
    if not hit:  # the contract around the schema: no field of its own is hit
        return "by " + ", ".join(reader.breaks)
    return "reads " + ", ".join(f"`{field}`" for field in hit)


def broken(verdict: Verdict, finding: Finding | None = None) -> list[ReaderVerdict]:
    """The readers that the candidate breaks, or that one finding breaks."""
    if finding is None:
        return [reader for reader in verdict.readers if reader.breaks]
    name = " ".join(filter(None, (finding.rule, finding.path)))
    return [reader for reader in verdict.readers if name in reader.breaks]


def reader_lines(verdict: Verdict) -> list[str]:
    """A line for each reader that breaks, the last with how many stay whole."""
    hit = broken(verdict)
    whole = len(verdict.readers) - len(hit)
    if not hit:
        known = "the reader that is known stays" if whole == 1 else f"the {whole} readers that are known stay"
        return [f"{known} whole"] if whole else []
    lines = [f"breaks {short(reader.address)} (owner {reader.owner}): {reads(reader)}" for reader in hit]
    if whole:
        lines[-1] += f"; {whole} other{'s' if whole > 1 else ''} whole"
    return lines


def summary(run: GateRun) -> str:
    """The last line: how many contracts, and what became of them."""
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
    """An address as people type it, without its scheme."""
    return address.key


def _touch(path: str, field: str) -> bool:
    return not path or f"{path}.".startswith(f"{field}.") or f"{field}.".startswith(f"{path}.")
