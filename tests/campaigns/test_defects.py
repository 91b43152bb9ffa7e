"""The ledger reports every planted defect of a processor, and nothing where there is none."""

from __future__ import annotations

import random

import pytest

from tests.campaigns.defects import DEFECTS, planted
from tests.campaigns.ledger import judge
from tests.campaigns.memory import Scene, by_columns, cut_off, killed, moved


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_caught(name: str) -> None:
    """The ledger reports a planted defect as one of the kinds of fault that it causes."""
    defect = DEFECTS[name]
    with planted(name, random.Random(1)):
        evidence = defect.scene(random.Random(1))
    assert judge(evidence).faults.keys() & defect.shows


@pytest.mark.parametrize("scene", [killed, by_columns, cut_off, moved], ids=lambda scene: scene.__name__)
def test_without_a_defect_all_is_well(scene: Scene) -> None:
    """In the scenes of the defects, the ledger reports no fault of the unchanged processor."""
    assert judge(scene(random.Random(1))).faults == {}


def test_there_are_enough() -> None:
    """There are at least twenty defects."""
    assert len(DEFECTS) >= 20
