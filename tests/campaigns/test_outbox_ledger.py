"""The ledger of the outbox finds what it is there for."""

from __future__ import annotations

import pytest

from tests.campaigns.outbox_ledger import Change, judge

JOURNAL = {f"{aggregate}{n}": (aggregate, n) for aggregate in "ab" for n in (1, 2, 3)}
RIGHT = [Change(id_, *at) for id_, at in JOURNAL.items()]


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (RIGHT[1:], "lost"),
        ([*RIGHT, Change("c1", "c", 1)], "unaccounted"),
        ([RIGHT[1], RIGHT[0], *RIGHT[2:]], "disordered"),
        ([*RIGHT, Change("x", "a", 3)], "doubled"),
        ([Change("a1", "b", 1), *RIGHT[1:]], "misstated"),
    ],
)
def test_a_fault_is_found(seen: list[Change], kind: str) -> None:
    """A lost event, a phantom, a wrong order, a second id for one change and another content are each reported."""
    assert kind in judge(JOURNAL, seen).faults


def test_repeats_under_the_same_id_are_no_fault() -> None:
    """They are counted."""
    report = judge(JOURNAL, [*RIGHT[:3], *RIGHT])
    assert report.clean
    assert report.figures["repeats"] == 3
