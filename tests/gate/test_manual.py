"""`gate rules` and `gate explain`: made from the table of rules and their fixtures."""

import pytest

from meshport.cli.output import USAGE, exit_code
from meshport.compat.corpus import Fixture
from meshport.compat.finding import Direction, Severity
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.avro import missing_default
from meshport.compat.table import RULES
from meshport.errors import GateError
from meshport.gate import manual

FIELD = {"name": "note", "type": "string"}
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "customer", "type": "string"}, {"name": "cents", "type": "long"}],
}
GROWN = ORDER | {"fields": [*ORDER["fields"], FIELD]}
HELD = ORDER | {"fields": [*ORDER["fields"], FIELD | {"default": ""}]}
EXAMPLES = [
    Fixture(
        "ADDED",
        "without",
        {
            "title": "A field comes without a default",
            "verdict": "breaks",
            "before": {"schema": ORDER},
            "after": {"schema": GROWN},
            "finds": ["ADDED"],
        },
    ),
    Fixture(
        "ADDED",
        "with",
        {
            "title": "A field comes with a default",
            "verdict": "keeps",
            "level": "BACKWARD",
            "before": {"schema": ORDER},
            "after": {"schema": HELD},
            "finds": [],
        },
    ),
    Fixture(
        "ADDED",
        "without_two",
        {
            "title": "All fields come anew",
            "verdict": "breaks",
            "before": {"schema": ORDER | {"fields": []}},
            "after": {"schema": GROWN},
            "finds": ["ADDED"],
        },
    ),
]
ADDED = Rule("ADDED", "what is new can be read", (Direction.BACKWARD,), Scope.RESOLUTION, missing_default)

PAGE = """\
ADDED
what is new can be read

severity  error: a waiver lets it pass
breaks    new readers on stored events (backward)
looks at  a reader's schema and a writer's, in each direction of the level

A reader's field is not written, and the reader's schema has no default for it.

Avro fills a field that is missing in the bytes with the default of the reader's schema. Without a
default there is no value, and decoding fails. Backward, this is a new field without a default:
older events cannot be read. Forward, it is a field that was removed although today's readers have
no default for it.

A new field passes if it has a default. A removal takes two steps: first give the field a default
and let the readers take that version, then remove it. A transitive level goes on protecting readers
of the versions without the default, so that the second step needs a waiver, once no such reader
runs. Otherwise keep the field, or publish a new major.

Breaks: A field comes without a default
         {"name": "customer", "type": "string"},
  -      {"name": "cents", "type": "long"}
  +      {"name": "cents", "type": "long"},
  +      {"name": "note", "type": "string"}
       ]

Breaks too: All fields come anew

Keeps: A field comes with a default (BACKWARD)
         {"name": "customer", "type": "string"},
  -      {"name": "cents", "type": "long"}
  +      {"name": "cents", "type": "long"},
  +      {"name": "note", "type": "string", "default": ""}
       ]"""


@pytest.fixture
def one_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of one rule with three fixtures."""
    monkeypatch.setattr(manual, "RULES", {"ADDED": ADDED})
    monkeypatch.setattr(manual, "fixtures", lambda rule: EXAMPLES if rule == "ADDED" else [])


@pytest.mark.usefixtures("one_rule")
def test_a_page() -> None:
    """A page has purpose, facts, prose, and one change that breaks and one that does not, each as a short diff."""
    assert manual.explain("ADDED") == PAGE


@pytest.mark.usefixtures("one_rule")
def test_a_row_names_its_fixtures() -> None:
    """A row of the table names the examples of each kind."""
    (row,) = manual.rules_table()
    assert (row.id, row.severity) == ("ADDED", Severity.ERROR)
    assert (len(row.breaking), row.keeping) == (2, ("A field comes with a default",))


def test_the_table_is_the_engines() -> None:
    """Every rule of the engine has a row, in the engine's order."""
    assert [row.id for row in manual.rules_table()] == list(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_page(rule: str) -> None:
    """A page begins with its rule and has the prose of the handler, no wider than 100 columns."""
    lines = manual.explain(rule).splitlines()
    assert lines[:2] == [rule, RULES[rule].purpose]
    prose = manual.page(RULES[rule])
    assert prose in manual.explain(rule)
    assert prose.split() == RULES[rule].manual.split()
    assert max(map(len, prose.splitlines())) <= 100


def test_a_declaration_is_shown_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of scope DECLARATION shows the candidate, not a change."""
    rule = Rule("ADDED", "x", (Direction.CONTRACT,), Scope.DECLARATION, missing_default, severity=Severity.WARNING)
    monkeypatch.setattr(manual, "RULES", {"ADDED": rule})
    monkeypatch.setattr(manual, "fixtures", lambda _: EXAMPLES[:1])
    page = manual.explain("ADDED")
    assert "severity  warning: reported, never refused" in page
    assert 'Warns: A field comes without a default\n  {\n    "type": "record",' in page


def test_words_in_any_case() -> None:
    """A rule is found by its id in any case, with hyphens or underscores."""
    assert manual.rule_named("type-mismatch").id == "TYPE_MISMATCH"


def test_an_unknown_rule() -> None:
    """An unknown id is bad usage, and the error names the nearest rule."""
    with pytest.raises(GateError, match="no rule of the gate") as caught:
        manual.explain("TYPE_MISSMATCH")
    assert caught.value.hint == "did you mean TYPE_MISMATCH?"
    assert exit_code(caught.value) == USAGE


def test_an_unknown_rule_near_to_none() -> None:
    """If no rule is near, the hint names the command that lists them."""
    with pytest.raises(GateError) as caught:
        manual.explain("???")
    assert caught.value.hint == "`meshport gate rules` lists them"
