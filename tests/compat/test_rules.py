"""The table of rules: each has a purpose, a manual page and fixtures, and its fixtures are judged as they say."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

import pytest

from meshport.compat import RULES, Contract, Direction, Outcome, Past, Rule, Scope, Verdict
from meshport.compat.contract import Found
from meshport.compat.corpus import Fixture, contract_of, fixtures
from tests.compat.contracts import judge_change

EVERY = [each for rule in RULES for each in fixtures(rule)]


def judged(fixture: Fixture) -> Verdict:
    """Return the engine's verdict on a fixture."""
    return judge_change(Past(contract_of(fixture.before), fixture.versions), fixture.after, fixture.gone)


def unproven(rules: Iterable[Rule]) -> list[str]:
    """Return what rules lack: a purpose, a manual page, a fixture that breaks, one that keeps."""
    lacking = []
    for rule in rules:
        of_rule = fixtures(rule.id)
        lacking += [f"{rule.id} has no purpose"] * (not rule.purpose)
        lacking += [f"{rule.id} has no manual page"] * (len(rule.manual.split("\n\n")) < 2)
        lacking += [f"{rule.id} breaks nobody"] * (not rule.breaks)
        lacking += [f"{rule.id} has no fixture that breaks"] * (not any(each.breaks for each in of_rule))
        lacking += [f"{rule.id} has no fixture that keeps"] * (all(each.breaks for each in of_rule))
    return lacking


def test_every_rule_is_documented_and_has_fixtures() -> None:
    """Every row of the table has a purpose, a manual page, and fixtures of both kinds."""
    assert unproven(RULES.values()) == []


def test_a_rule_without_manual_or_fixtures_is_found() -> None:
    """The test above fails for a row without a manual page or fixtures."""

    def undocumented(_: Contract) -> list[Found]:
        return []

    hasty = Rule("HASTY", "", (Direction.FORWARD,), Scope.DECLARATION, undocumented)
    assert [each.removeprefix("HASTY has no ") for each in unproven([hasty])] == [
        "purpose",
        "manual page",
        "fixture that breaks",
        "fixture that keeps",
    ]


def test_every_folder_of_fixtures_belongs_to_a_rule() -> None:
    """Every folder of fixtures belongs to a rule, also after a rule is renamed."""
    folder = resources.files("meshport.compat").joinpath("fixtures")
    assert {each.name for each in folder.iterdir()} <= set(RULES)


def test_ids_are_words_of_one_form() -> None:
    """Rule ids are words in capitals, which scripts match."""
    assert all(rule.id.replace("_", "").isalpha() and rule.id.isupper() for rule in RULES.values())
    assert all(RULES[key].id == key for key in RULES)


@pytest.mark.parametrize("fixture", EVERY, ids=lambda each: f"{each.rule}/{each.name}")
def test_a_fixture_is_judged_as_it_says(fixture: Fixture) -> None:
    """The whole table finds in a fixture exactly the rules that it names, its own among them if it breaks."""
    verdict = judged(fixture)
    assert {each.rule for each in verdict.findings} == fixture.finds, [str(each) for each in verdict.findings]
    assert (fixture.rule in fixture.finds) is fixture.breaks
    assert all(each.advice for each in verdict.findings), "a finding without advice"
    refused = any(each.refuses for each in verdict.findings)
    assert (verdict.outcome is Outcome.BREAKING) is refused
