"""All scenarios of the behaviour suite."""

from __future__ import annotations

from tests.process import behaviour_joins, behaviour_versions
from tests.process.behaviour import SCENARIOS, Outcome, Scenario

__all__ = ["SCENARIOS", "Outcome", "Scenario"]

assert behaviour_joins.LIKES  # the scenarios of a module are registered when it is imported
assert behaviour_versions.MANY
