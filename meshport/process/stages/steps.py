"""The operators of an input before the grouping: what one event becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from meshport.address import Address
from meshport.process.logic.operators import Deduplicate, Operator
from meshport.process.logic.records import EventRecord
from meshport.process.logic.transform import Lookup, Transform
from meshport.process.state.deduplication import Deduplication
from meshport.process.state.rows import StateRows


class SourceSteps:
    """The operators of an input: runs of stateless ones, and the de-duplications between them.

    Args:
        operators: those before the grouping.
        tables: the joined tables.
        rows: the state of the partition, in which the de-duplications keep what they have seen.

    Attributes:
        deduplications: in the order of the operators.
    """

    def __init__(self, operators: Sequence[Operator], tables: Mapping[Address, Lookup], rows: StateRows) -> None:
        self._rows = rows
        self._steps = _steps(operators, tables)
        self.deduplications: Final = [step for step in self._steps if isinstance(step, Deduplication)]
        for step in self.deduplications:
            step.watch(rows)

    def records(self, record: EventRecord) -> list[EventRecord]:
        """Return the records that an event becomes, numbered from 0; changes of the state are left pending."""
        records = [record]
        for step in self._steps:
            if isinstance(step, Deduplication):
                records = [each for each in records if step.admit(each, self._rows)]
            else:
                records = [each._replace(record=made) for each in records for made in step(each.record, each.time)]
                records = [each._replace(number=number) for number, each in enumerate(records)]
        return records

    def advance(self, horizon: int | None) -> None:
        """Delete what no event can repeat from a horizon on; see `Watermark.horizon`."""
        for step in self.deduplications:
            step.advance(horizon, self._rows)


def _steps(operators: Sequence[Operator], tables: Mapping[Address, Lookup]) -> list[Transform | Deduplication]:
    """Return runs of stateless operators, each as one transform, and the de-duplications between them."""
    steps: list[Transform | Deduplication] = []
    run: list[Operator] = []
    deduplications = sum(isinstance(each, Deduplicate) for each in operators)
    number = 0
    for each in operators:
        if isinstance(each, Deduplicate):
            if run:
                steps.append(Transform(run, tables))
                run = []
            steps.append(Deduplication(each, number if deduplications > 1 else None))
            number += 1
        else:
            run.append(each)
    if run:
        steps.append(Transform(run, tables))
    return steps
