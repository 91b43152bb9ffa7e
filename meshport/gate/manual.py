"""The gate's manual, made from the table of rules and their fixtures: `gate rules` and `gate explain RULE`."""

from __future__ import annotations

import difflib
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshport.address import nearest
from meshport.compat.corpus import Fixture, fixtures
from meshport.compat.finding import Direction, Severity
from meshport.compat.rule import Rule, Scope
from meshport.compat.table import RULES
from meshport.errors import GateError

_WIDTH: Final = 100
_LONGEST_EXAMPLE: Final = 24  # lines; more is no example
_WHO: Final = {
    Direction.BACKWARD: "new readers on stored events (backward)",
    Direction.FORWARD: "today's readers on new events (forward)",
    Direction.CONTRACT: "whoever relies on what was promised (contract)",
}
_LOOKS_AT: Final = {
    Scope.RESOLUTION: "a reader's schema beside a writer's, in each direction that the level holds",
    Scope.DECLARATION: "the candidate by itself; new ports too",
    Scope.CHANGE: "the whole contract before and after",
    Scope.PROOF: "generated events, written with one schema and read with the other",
}


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule in the table that people see.

    Attributes:
        id: of the rule.
        severity: `error` or `warning`.
        breaks: who would break without it.
        purpose: what it keeps, in one line.
        breaking: the fixtures that show a change which it refuses or warns of, by their titles.
        keeping: those that show one which it lets pass.
    """

    id: str
    severity: Severity
    breaks: tuple[Direction, ...]
    purpose: str
    breaking: tuple[str, ...]
    keeping: tuple[str, ...]


def rules_table() -> list[RuleSummary]:
    """Every rule, in the order in which they are asked."""
    return [_row(rule) for rule in RULES.values()]


def rule_named(rule_id: str) -> Rule:
    """The rule of an id, in whatever case it is typed.

    Raises:
        GateError: there is none; the hint names the nearest.
    """
    word = rule_id.strip().upper().replace("-", "_")
    if word in RULES:
        return RULES[word]
    meant = nearest(word, list(RULES))
    raise GateError(
        f"{rule_id!r} is no rule of the gate",
        hint=f"did you mean {meant}?" if meant else "`meshport gate rules` lists them",
    )


def explain(rule_id: str) -> str:
    """The manual of one rule: what it keeps, who breaks without it, what to do, and a change of each kind.

    Raises:
        GateError: there is no such rule; the hint names the nearest.
    """
    rule = rule_named(rule_id)
    examples = fixtures(rule.id)
    sections = [f"{rule.id}\n{rule.purpose}", _facts(rule), page(rule)]
    for breaks, heading in ((True, "Breaks" if rule.severity is Severity.ERROR else "Warns"), (False, "Keeps")):
        sections += _examples(heading, [each for each in examples if each.breaks is breaks], rule.scope)
    return "\n\n".join(sections)


def page(rule: Rule) -> str:
    """The prose of the manual: the docstring of the rule's handler, its paragraphs filled."""
    paragraphs = inspect.cleandoc(rule.manual).split("\n\n")
    return "\n\n".join(_filled(each) for each in paragraphs)


def _row(rule: Rule) -> RuleSummary:
    shown = fixtures(rule.id)
    breaking, keeping = (tuple(each.title for each in shown if each.breaks is breaks) for breaks in (True, False))
    return RuleSummary(rule.id, rule.severity, rule.breaks, rule.purpose, breaking, keeping)


def _facts(rule: Rule) -> str:
    waiver = "a waiver lets it pass" if rule.waivable else "no waiver lets it pass"
    severity = (
        f"{rule.severity}: {waiver}" if rule.severity is Severity.ERROR else f"{rule.severity}: told, never refused"
    )
    facts = [
        ("severity", severity),
        *(("breaks" if not number else "", _WHO[each]) for number, each in enumerate(rule.breaks)),
        ("looks at", _LOOKS_AT[rule.scope]),
    ]
    return "\n".join(f"{name:<10}{text}" for name, text in facts)


def _filled(paragraph: str) -> str:
    """A paragraph at the manual's width; the items of a list hang, a block of code keeps its lines."""
    if paragraph.startswith("- "):
        items = paragraph[2:].split("\n- ")
        return "\n".join(_fill(each, "- ", "  ") for each in items)
    return paragraph if paragraph.startswith(" ") else _fill(paragraph)


def _fill(text: str, first: str = "", hanging: str = "") -> str:
    words = " ".join(text.split())
    return textwrap.fill(
        words, _WIDTH, initial_indent=first, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _examples(heading: str, of_kind: list[Fixture], scope: Scope) -> Iterator[str]:
    """The smallest change of a kind as an example, and what the others are called."""
    if not of_kind:
        return
    shown = {each.name: list(_shown(each, scope)) for each in of_kind}
    first = min(of_kind, key=lambda each: len(shown[each.name]))
    lines = shown[first.name]
    if len(lines) > _LONGEST_EXAMPLE:
        lines = [*lines[:_LONGEST_EXAMPLE], f"... {len(lines) - _LONGEST_EXAMPLE} more lines"]
    yield "\n".join((f"{heading}: {_titled(first)}", *(f"  {line}" for line in lines)))
    others = [f"{heading} too: {_titled(each)}" for each in of_kind if each is not first]
    if others:
        yield "\n".join(others)


def _titled(fixture: Fixture) -> str:
    """Its title, with the level where that is not the one which most sources have."""
    level = str(fixture.document.get("level", "FULL"))
    return fixture.title if level == "FULL" else f"{fixture.title} ({level})"


def _shown(fixture: Fixture, scope: Scope) -> Iterator[str]:
    """A change as a diff of what changed, schema or descriptor; a declaration as it stands."""
    if scope is Scope.DECLARATION:
        given = fixture.document.get("after") or {}
        for name in ("schema", "port", "product"):
            if name in given:
                yield from _laid_out(given[name])
        return
    before, after = (_laid_out({"product": side[0], "schema": side[1]}) for side in (fixture.before, fixture.after))
    for number, form in enumerate(fixture.earlier, 1):
        yield f"version {number}: {_compact(form)}"
    for line in difflib.unified_diff(before, after, n=1, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield line


def _laid_out(value: Any, lead: str = "", tail: str = "") -> list[str]:
    """JSON in which whatever fits a line has one: a field of a schema is a line of the diff."""
    text = _compact(value)
    record = "fields" in value if isinstance(value, dict) else isinstance(value, list) and _objects(value)
    if not isinstance(value, dict | list) or (not record and len(lead) + len(text) <= _WIDTH - 4):
        return [f"{lead}{text}{tail}"]
    indent = " " * (len(lead) - len(lead.lstrip()) + 2)
    opened, closed = ("{", "}") if isinstance(value, dict) else ("[", "]")
    named = list(value.items()) if isinstance(value, dict) else [(None, each) for each in value]
    lines = [f"{lead}{opened}"]
    for number, (name, each) in enumerate(named, 1):
        comma = "," if number < len(named) else ""
        lines += _laid_out(each, indent + (f"{_compact(name)}: " if name is not None else ""), comma)
    return [*lines, f"{indent[2:]}{closed}{tail}"]


def _objects(value: list[Any]) -> bool:
    """Whether it is a list of objects, such as a record's fields or a product's ports."""
    return bool(value) and all(isinstance(each, dict) for each in value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
