"""The verdict on one output port: every rule is called, then findings are marked as settled, waived or unread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from meshport.address import Address
from meshport.catalog import Reader, Waiver
from meshport.compat.comparison import Comparison
from meshport.compat.contract import Change, Contract, Found, Version
from meshport.compat.finding import (
    Direction,
    Finding,
    Outcome,
    Part,
    ReaderVerdict,
    Severity,
    State,
    Verdict,
)
from meshport.compat.forms import locate, preceding_fields
from meshport.compat.history import comparisons, merge, reach
from meshport.compat.projection import project
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules import avro
from meshport.compat.rules.advice import typed
from meshport.compat.table import RULES, rules_of
from meshport.errors import SchemaError
from meshport.product import Compatibility, Product, Protection
from meshport.product.declared_state import step_path
from meshport.schema import Schema
from meshport.seen_readers import UndeclaredReader

_Raw = tuple[Rule, Direction, int | None, Found]
_Key = tuple[str, str]
_AVRO: Final = frozenset(rule.id for rule in avro.RULES)


@dataclass(frozen=True)
class Past:
    """A port as its readers know it.

    Attributes:
        contract: the present contract.
        versions: every schema that it had, oldest first; the last one is the contract's.
        readers: every known reader.
        waivers: every waiver that was ever recorded for it.
        unused: whether its topic holds no event and no consumer group reads it; False where that is not known.
        levels: further compatibility levels that a change is held to, as a registry of schemas has set them.
        undeclared: who was seen to read it, and is not declared; they change no verdict, and are named in one that breaks.
    """

    contract: Contract
    versions: tuple[Version, ...]
    readers: tuple[Reader, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    unused: bool = False
    levels: frozenset[Compatibility] = frozenset()
    undeclared: tuple[UndeclaredReader, ...] = ()


def judge_port(past: Past, after: Contract | None, product: Product | None, *, today: date) -> Verdict:
    """Return the verdict on an existing port.

    The levels before and after the change both hold, so that a change cannot lower its level and break with it at once.

    Args:
        past: what its readers rely on.
        after: the port after the change; None if it is removed.
        product: the product after the change; None if it is removed.
        today: the day (UTC), which decides whether a waiver holds.

    Raises:
        SchemaError: two schemas cannot be compared, which must never count as compatible.
    """
    before = past.contract
    waivers = tuple(each for each in past.waivers if each.holds(today))
    level = _level(after or before)
    if after == before:
        return Verdict(
            address=before.address,
            outcome=Outcome.UNCHANGED,
            level=level,
            readers=_readers(past.readers, {}),
            waivers=waivers,
            judged_on=today,
        )
    levels = {_level(before), level, *past.levels}
    reached = reach(past.versions, levels) if after else []
    raw = list(_changes(Change(before, after, product, today, past.versions)))
    if after:
        for version in reached:
            for comparison in comparisons(after.schema, version, levels, newest=version is reached[0]):
                raw += ((rule, comparison.direction, version.number, each) for rule, each in _compared(comparison))
        raw += _declared(after)
    found = {(each.rule, each.path): each for each in merge(raw)}
    found = _settle(found, past, levels, today)
    if past.unused and not past.readers:
        found = {key: _mark_unused(each) for key, each in found.items()}
    broken = _broken(found, past, after, levels)
    found = _mark_waived_and_unread(found, past, broken, waivers)
    current = after or before
    findings = tuple(_with_pointer(each, current, today, past.versions) for each in _ordered(found.values()))
    return Verdict(
        address=before.address,
        outcome=Outcome.BREAKING if any(each.refuses for each in findings) else Outcome.COMPATIBLE,
        level=level,
        versions=tuple(version.number for version in reached),
        findings=findings,
        readers=_readers(past.readers, broken),
        also_read_by=past.undeclared if any(_may_break_others(each) for each in findings) else (),
        waivers=waivers,
        judged_on=today,
    )


def judge_new(contract: Contract, *, today: date, readers: Sequence[Reader] = ()) -> Verdict:
    """Return the verdict on a new port: `new`, unless its declaration is unsound by itself.

    Args:
        contract: the port.
        today: the day (UTC).
        readers: the readers that it will have.
    """
    findings = tuple(_with_pointer(each, contract, today) for each in _ordered(merge(_declared(contract))))
    return Verdict(
        address=contract.address,
        outcome=Outcome.BREAKING if any(each.refuses for each in findings) else Outcome.NEW,
        level=_level(contract),
        findings=findings,
        readers=_readers(readers, {}),
        judged_on=today,
    )


def refused_schema(address: Address, level: Compatibility, error: SchemaError, *, today: date) -> Verdict:
    """Return the verdict on a port whose schema was refused when it was parsed, for a reason that is a rule of the gate.

    Args:
        address: of the port, its major given.
        level: of the port.
        error: its `rule` names the rule.
        today: the day (UTC).

    Raises:
        SchemaError: `error` itself if it names no rule: the input is wrong in itself.
    """
    rule = RULES.get(error.rule or "")
    if rule is None:
        raise error
    finding = Finding(
        rule=rule.id, severity=rule.severity, directions=rule.breaks, message=error.message, advice=error.hint or ""
    )
    return Verdict(address=address, outcome=Outcome.BREAKING, level=level, findings=(finding,), judged_on=today)


# --- the calls of the rules


def _changes(change: Change) -> Iterator[_Raw]:
    for rule in rules_of(Scope.CHANGE):
        yield from ((rule, rule.breaks[0], None, each) for each in rule.handler(change))


def _declared(contract: Contract) -> Iterator[_Raw]:
    for rule in rules_of(Scope.DECLARATION):
        yield from ((rule, rule.breaks[0], None, each) for each in rule.handler(contract))


def _compared(comparison: Comparison) -> Iterator[tuple[Rule, Found]]:
    """Yield what one comparison finds; where Avro itself refuses a path, Meshport's rules report nothing more of it."""
    if comparison.reader.fingerprint == comparison.writer.fingerprint:
        return
    refused: set[str] = set()
    errors = False
    for rule in rules_of(Scope.RESOLUTION):
        for each in rule.handler(comparison):
            if rule.id in _AVRO:
                refused.add(each.path)
            elif each.path in refused:
                continue
            errors = errors or rule.severity is Severity.ERROR
            yield rule, each
    if not errors:
        for rule in rules_of(Scope.PROOF):
            yield from ((rule, each) for each in rule.handler(comparison))


# --- findings that do not count against the candidate


def _settle(found: dict[_Key, Finding], past: Past, levels: set[Compatibility], today: date) -> dict[_Key, Finding]:
    """Mark the findings that the newest version has already: against the versions before it, by itself, or over its history."""
    newest, before = past.versions[-1], past.contract
    known: dict[int | None, set[_Key]] = {None: set()}
    if any(not each.versions for each in found.values()):
        raw = [*_declared(before), *_changes(Change(before, before, before.product, today, past.versions))]
        known[None] = {(rule.id, each.path) for rule, _, _, each in raw}
    settled = dict(found)
    for key, each in found.items():
        for number in each.versions:
            if number not in known and number != newest.number:
                version = next(one for one in past.versions if one.number == number)
                known[number] = {
                    (rule.id, one.path)
                    for comparison in comparisons(newest.schema, version, levels)
                    for rule, one in _compared(comparison)
                }
        if all(key in known.get(number, ()) for number in each.versions or (None,)):
            settled[key] = each.model_copy(update={"state": State.SETTLED})
    return settled


def _mark_unused(finding: Finding) -> Finding:
    """Mark a finding about what events and readers rely on; an unsound schema and the topic itself stay as they are."""
    rule = RULES[finding.rule]
    if finding.state is not State.STANDS or rule.scope is Scope.DECLARATION or rule.holds_unused:
        return finding
    return finding.model_copy(update={"state": State.UNUSED})


def _mark_waived_and_unread(
    found: dict[_Key, Finding], past: Past, broken: dict[Reader, set[_Key]], waivers: Sequence[Waiver]
) -> dict[_Key, Finding]:
    """Mark what is waived, and on a port that protects declared readers only, what none of them reads."""
    declared = past.contract.port.protects is Protection.DECLARED
    read = set().union(*broken.values()) if broken else set()
    marked = dict(found)
    for key, each in found.items():
        if each.state is not State.STANDS or each.severity is not Severity.ERROR:
            continue
        rule = RULES[each.rule]
        waiver = next((one for one in waivers if rule.waivable and (one.rule, one.path) == key), None)
        if waiver is not None:
            marked[key] = each.model_copy(update={"state": State.WAIVED, "waiver": waiver.id})
        elif declared and rule.scope in {Scope.RESOLUTION, Scope.PROOF} and key not in read:
            marked[key] = each.model_copy(update={"state": State.UNREAD})
    return marked


# --- the readers that break


def _may_break_others(finding: Finding) -> bool:
    """Return whether a finding may break a reader that is not declared, a waived one too."""
    excused = finding.state in {State.SETTLED, State.UNUSED}
    return finding.severity is Severity.ERROR and not excused and RULES[finding.rule].scope is not Scope.DECLARATION


def _broken(
    found: dict[_Key, Finding], past: Past, after: Contract | None, levels: set[Compatibility]
) -> dict[Reader, set[_Key]]:
    """Return the errors that reach each reader: a comparison is repeated with the schema cut down to the fields that it reads."""
    errors = {
        key: each for key, each in found.items() if each.severity is Severity.ERROR and each.state is not State.SETTLED
    }
    numbers = {number for each in errors.values() for number in each.versions}
    versions = [each for each in past.versions if each.number in numbers]
    by_fields: dict[tuple[str, ...], set[_Key]] = {}
    broken: dict[Reader, set[_Key]] = {}
    for reader in past.readers:
        if reader.fields not in by_fields:
            by_fields[reader.fields] = (
                set().union(*(_compared_for(reader.fields, after, version, levels) for version in versions))
                if after is not None
                else set()
            )
        around = {key for key, each in errors.items() if not each.versions and _reaches(each, reader)}
        broken[reader] = by_fields[reader.fields] | around
    return broken


def _compared_for(fields: tuple[str, ...], after: Contract, version: Version, levels: set[Compatibility]) -> set[_Key]:
    keys: set[_Key] = set()
    for each in comparisons(after.schema, version, levels):
        comparison = Comparison(project(each.reader, fields), each.writer, each.direction)
        keys |= {(rule.id, one.path) for rule, one in _compared(comparison) if rule.severity is Severity.ERROR}
    return keys


def _reaches(finding: Finding, reader: Reader) -> bool:
    """Return whether a finding of the contract around the schema, or of one schema by itself, stops a reader."""
    stops = RULES[finding.rule].stops
    if finding.part is Part.SCHEMA and finding.path and reader.fields:
        return any(_touch(finding.path, field) for field in reader.fields)
    return stops is Stops.EVERY_READER or (stops is Stops.UNPINNED and reader.reads.major is None)


def _touch(path: str, field: str) -> bool:
    return f"{path}.".startswith(f"{field}.") or f"{field}.".startswith(f"{path}.")


def _readers(readers: Iterable[Reader], broken: dict[Reader, set[_Key]]) -> tuple[ReaderVerdict, ...]:
    return tuple(
        ReaderVerdict(
            address=reader.address,
            owner=reader.owner,
            fields=reader.fields,
            breaks=tuple(" ".join(filter(None, key)) for key in sorted(broken.get(reader, ()))),
        )
        for reader in readers
    )


# --- order, pointers and advice of the findings


def _level(contract: Contract) -> Compatibility:
    return contract.product.compatibility(contract.port)


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    order = {rule: position for position, rule in enumerate(RULES)}
    return sorted(
        findings, key=lambda each: (not each.refuses, each.severity is not Severity.ERROR, order[each.rule], each.path)
    )


def _with_pointer(finding: Finding, contract: Contract, today: date, versions: Sequence[Version] = ()) -> Finding:
    """Return a finding with the pointer to the nearest value that the contract's file has, and with advice that can be typed."""
    if finding.part is Part.SCHEMA:
        known = {version.number: version.schema for version in versions}
        earlier = known[finding.versions[0]] if finding.versions else contract.schema
        pointer = _pointer(finding.path, contract.schema, earlier)
    else:
        index = contract.product.output_ports.index(contract.port)
        start = ["outputPorts", str(index)] if finding.part is Part.PORT else []
        pointer = "".join(f"/{key}" for key in (*start, *_keys(contract.product, finding.path)))
    return finding.model_copy(update={"pointer": pointer, "advice": typed(finding, contract, today)})


def _pointer(path: str, schema: Schema, earlier: Schema) -> str:
    """Return the pointer to a field, or if it is removed, to the field before it, where a reviewer looks for the change."""
    pointer, found = locate(schema.form, path)
    if path and (not pointer or found["name"] != path.rpartition(".")[2]):
        for preceding in preceding_fields(earlier.form, path):
            sibling, field = locate(schema.form, preceding)
            if sibling and field["name"] == preceding.rpartition(".")[2]:
                return sibling
    return pointer


def _keys(product: Product, path: str) -> list[str]:
    """Return the keys and indices of the descriptor that a finding's path leads to; the path names the items of lists."""
    first, *rest = path.split(".") if path else [""]
    match first:
        case "slaProperties":
            names = [level.property for level in product.sla_properties]
        case "outputPorts":
            names = [f"{port.name}@{port.major}" for port in product.output_ports]
        case "process":
            return [str(key) for key in step_path(product.process, ".".join(rest))] if rest else [first]
        case _:
            return path.split(".") if path else []
    return [first, str(names.index(rest[0]))] if rest and rest[0] in names else [first]
