"""The advice of every finding leads to a verdict that passes: a machine carries it out, one alternative at a time."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest

from meshport.compat import RULES, State
from meshport.compat.corpus import Fixture, fixtures
from meshport.compat.finding import Finding
from tests.compat.following.situation import Situation
from tests.compat.following.ways import alternatives, follow

_ROUNDS = 3
_LEVELS = ("BACKWARD", "FORWARD", "FULL")


def broken(rule: str) -> Iterator[Fixture]:
    """Yield the changes that a rule finds something in, each at its own level and at the transitive one."""
    for each in fixtures(rule):
        if each.breaks:
            yield each
            level = each.document.get("level", "FULL")
            if level in _LEVELS and not {"compatibility"} & (each.document.get("after") or {}).get("port", {}).keys():
                yield replace(each, document=each.document | {"level": f"{level}_TRANSITIVE"})


def follow_to_the_end(alternative: str, finding: Finding, situation: Situation) -> None:
    """Follow one alternative of a finding, then the first advice of all that refuses after it, until the gate passes.

    A warning may stand after an advice that changes no file: people agree on something, or tell it to the readers.
    """
    before = deepcopy(situation)
    follow(alternative, finding, situation)
    edited = situation != before
    verdict = situation.judged()
    for _ in range(_ROUNDS):
        if verdict.passes:
            break
        for each in verdict.findings:
            if each.refuses:
                assert (each.rule, each.path) != (finding.rule, finding.path), f"refused again: {each.message}"
                follow(alternatives(each.advice)[0], each, situation)
        verdict = situation.judged()
    assert verdict.passes, [str(each) for each in verdict.findings if each.refuses]
    standing = {(each.rule, each.path) for each in verdict.findings if each.state is State.STANDS}
    assert not edited or (finding.rule, finding.path) not in standing, "found again after the edit"


@pytest.mark.parametrize("rule", RULES)
def test_every_advice_of_a_rule_passes(rule: str) -> None:
    """Whatever alternative of a rule's advice is carried out on any of its fixtures, the gate passes afterwards."""
    followed = 0
    for fixture in broken(rule):
        situation = Situation.of(fixture)
        for finding in situation.judged().findings:
            if finding.rule != rule or finding.state is State.SETTLED:
                continue
            assert "<" not in finding.advice.replace("<address>", ""), finding.advice
            for alternative in alternatives(finding.advice):
                assert ", or " not in alternative, f"{rule}: an alternative begins after '; or ': {alternative}"
                other = deepcopy(situation)
                try:
                    follow_to_the_end(alternative, finding, other)
                except AssertionError as error:
                    raise AssertionError(
                        f"{rule}/{fixture.name} {fixture.document.get('level')}: {alternative}"
                    ) from error
                followed += 1
    assert followed, f"no fixture of {rule} gives an advice to follow"
