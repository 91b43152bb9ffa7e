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
_LONGEST_EXAMPLE: Final = 24  # lines
_WHO: Final = {
    Direction.BACKWARD: "new readers on stored events (backward)",
    Direction.FORWARD: "today's readers on new events (forward)",
    Direction.CONTRACT: "readers that rely on its promises (contract)",
}
_LOOKS_AT: Final = {
    Scope.RESOLUTION: "a reader's schema and a writer's, in each direction of the level",
    Scope.DECLARATION: "the candidate by itself; also of new ports",
    Scope.CHANGE: "the whole contract before and after",
    Scope.PROOF: "generated events that are written with one schema and read with the other",
}


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule in the table that `gate rules` prints.

    Attributes:
        id: of the rule.
        severity: `error` or `warning`.
        breaks: the sides that a change would break.
        purpose: what the rule keeps, in one line.
        breaking: titles of the fixtures whose change the rule refuses or warns of.
        keeping: titles of the fixtures whose change it passes.
    """

    id: str
    severity: Severity
    breaks: tuple[Direction, ...]
    purpose: str
    breaking: tuple[str, ...]
    keeping: tuple[str, ...]


def rules_table() -> list[RuleSummary]:
    """Return every rule, in the order in which they are called."""
    return [_row(rule) for rule in RULES.values()]


def rule_named(rule_id: str) -> Rule:
    """Return the rule with an id, in upper or lower case.

    Raises:
        GateError: no rule has this id; the hint names the nearest.
    """
    word = rule_id.strip().upper().replace("-", "_")
    if word in RULES:
        return RULES[word]
    meant = nearest(word, list(RULES))
    raise GateError(
        f"{rule_id!r} is no rule of the gate",
        rule=word,
        hint=f"did you mean {meant}?" if meant else "`meshport gate rules` lists them",
    )


def explain(rule_id: str) -> str:
    """Return the manual of one rule: what it keeps, who breaks without it, what to do, and an example of each kind.

    Raises:
        GateError: no rule has this id; the hint names the nearest.
    """
    rule = rule_named(rule_id)
    examples = fixtures(rule.id)
    sections = [f"{rule.id}\n{rule.purpose}", _facts(rule), page(rule)]
    for breaks, heading in ((True, "Breaks" if rule.severity is Severity.ERROR else "Warns"), (False, "Keeps")):
        sections += _examples(heading, [each for each in examples if each.breaks is breaks], rule.scope)
    return "\n\n".join(sections)


def page(rule: Rule) -> str:
    """Return the prose of the manual: the docstring of the rule's handler, its paragraphs filled."""
    paragraphs = inspect.cleandoc(rule.manual).split("\n\n")
    return "\n\n".join(_filled(each) for each in paragraphs)


def _row(rule: Rule) -> RuleSummary:
    shown = fixtures(rule.id)
    breaking, keeping = (tuple(each.title for each in shown if each.breaks is breaks) for breaks in (True, False))
    return RuleSummary(rule.id, rule.severity, rule.breaks, rule.purpose, breaking, keeping)


def _facts(rule: Rule) -> str:
    waiver = "a waiver lets it pass" if rule.waivable else "no waiver lets it pass"
    severity = (
        f"{rule.severity}: {waiver}" if rule.severity is Severity.ERROR else f"{rule.severity}: reported, never refused"
    )
    facts = [
        ("severity", severity),
        *(("breaks" if not number else "", _WHO[each]) for number, each in enumerate(rule.breaks)),
        ("looks at", _LOOKS_AT[rule.scope]),
    ]
    return "\n".join(f"{name:<10}{text}" for name, text in facts)


def _filled(paragraph: str) -> str:
    """Return a paragraph filled to the manual's width, with hanging list items and code blocks kept as they are."""
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
    """Yield the smallest change of a kind as an example, and the titles of the others."""
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
    """Return a fixture's title, with its level if that is not the default, FULL."""
    level = str(fixture.document.get("level", "FULL"))
    return fixture.title if level == "FULL" else f"{fixture.title} ({level})"


def _shown(fixture: Fixture, scope: Scope) -> Iterator[str]:
    """Yield a change as a diff of the schema or descriptor; a declaration as it is."""
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
    """Return JSON in which everything that fits on a line is on one, so that a field of a schema is a line of the diff."""
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
    """Return whether a list contains objects only, such as a record's fields or a product's ports."""
    return bool(value) and all(isinstance(each, dict) for each in value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
