"""The check of a schema against the versions of a subject that has no product, as Avro and Confluent's registry do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from meshport.compat.comparison import Comparison
from meshport.compat.contract import Found, Version
from meshport.compat.finding import Direction, Finding
from meshport.compat.rule import Rule
from meshport.compat.rules import avro
from meshport.product import Compatibility
from meshport.schema import Schema

_TRANSITIVE: Final = "_TRANSITIVE"
# The check ends with so many reasons. More would only be repeated for further fields and versions.
MOST_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """The result of a check of one schema.

    Attributes:
        level: the level that was checked.
        versions: numbers of the versions that it was compared with, newest first; empty for a new subject. The oldest
            ones are missing where the newer ones gave `MOST_FINDINGS` reasons.
        findings: the reasons against the schema, the first `MOST_FINDINGS` of them.
    """

    level: Compatibility
    versions: tuple[int, ...]
    findings: tuple[Finding, ...]

    @property
    def compatible(self) -> bool:
        """Whether there is no finding."""
        return not self.findings


def check_history(candidate: Schema, versions: Sequence[Version], level: Compatibility) -> HistoryReport:
    """Check a schema against a history by the levels of Confluent's registry.

    Args:
        candidate: the schema that would be the next version.
        versions: the history, oldest first. A level that is not transitive compares with the last one only.
        level: the level to check.

    Raises:
        SchemaError: the checker cannot compare a schema, which must never count as compatible.
    """
    reached = reach(versions, [level])
    found: list[tuple[Rule, Direction, int, Found]] = []
    compared: list[int] = []
    for version in reached:
        compared.append(version.number)
        for comparison in comparisons(candidate, version, [level]):
            if comparison.resolution:
                for rule in avro.RULES:
                    found += ((rule, comparison.direction, version.number, each) for each in rule.handler(comparison))
        if len(found) >= MOST_FINDINGS:
            break
    return HistoryReport(level, tuple(compared), merge(found[:MOST_FINDINGS]))


def reach(versions: Sequence[Version], levels: Iterable[Compatibility]) -> list[Version]:
    """Return the versions that the strictest of some levels compares with, newest first."""
    held = [level for level in levels if level is not Compatibility.NONE]
    if not held:
        return []
    return list(reversed(versions if any(level.endswith(_TRANSITIVE) for level in held) else versions[-1:]))


def comparisons(
    candidate: Schema, version: Version, levels: Iterable[Compatibility], *, newest: bool = True
) -> Iterator[Comparison]:
    """Yield a candidate's comparison with one version, in each direction that one of some levels requires."""
    asking = frozenset(levels)
    words = {level.removesuffix(_TRANSITIVE) for level in asking}
    if words & {"BACKWARD", "FULL"}:
        yield Comparison(candidate, version.schema, Direction.BACKWARD, asking, newest)
    if words & {"FORWARD", "FULL"}:
        yield Comparison(version.schema, candidate, Direction.FORWARD, asking, newest)


def merge(found: Iterable[tuple[Rule, Direction, int | None, Found]]) -> tuple[Finding, ...]:
    """Return one finding for each rule and path with all its directions and versions, in the order of their first occurrence."""
    merged: dict[tuple[str, str, str], Finding] = {}
    for rule, direction, number, each in found:
        key = (rule.id, each.part, each.path)
        numbers = () if number is None else (number,)
        if known := merged.get(key):
            merged[key] = known.model_copy(
                update={
                    "directions": tuple(dict.fromkeys((*known.directions, direction))),
                    "versions": tuple(sorted({*known.versions, *numbers}, reverse=True)),
                }
            )
        else:
            merged[key] = Finding(
                rule=rule.id,
                severity=rule.severity,
                directions=(direction,),
                part=each.part,
                path=each.path,
                before=each.before,
                after=each.after,
                message=each.message,
                advice=each.advice,
                roll_out=each.roll_out,
                versions=numbers,
            )
    return tuple(merged.values())
