"""A test of the tests: whatever is wrong with a processor, the ledger says so."""

from __future__ import annotations

import random

import pytest

from tests.campaigns.defects import DEFECTS, planted
from tests.campaigns.ledger import judge
from tests.campaigns.memory import Scene, by_columns, cut_off, killed, moved


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_caught(name: str) -> None:
    """A planted defect is named as one of the kinds of fault that it is."""
    defect = DEFECTS[name]
    with planted(name, random.Random(1)):
        evidence = defect.scene(random.Random(1))
    assert judge(evidence).faults.keys() & defect.shows


@pytest.mark.parametrize("scene", [killed, by_columns, cut_off, moved], ids=lambda scene: scene.__name__)
def test_without_a_defect_all_is_well(scene: Scene) -> None:
    """In the scenes in which defects are caught, the processor as it is does no harm."""
    assert judge(scene(random.Random(1))).faults == {}


def test_there_are_enough() -> None:
    """The defects are as many as were promised."""
    assert len(DEFECTS) >= 20
