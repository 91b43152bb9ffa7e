"""Pipelines: the input stream and the operators that are applied to its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.process.logic.nested import lowered, lowered_after, lowered_before
from meshport.process.logic.operators import Aggregate, Deduplicate, Grouping, Join, JoinStream, Operator


@dataclass(frozen=True)
class Pipeline:
    """A processor's logic.

    Attributes:
        input: the stream that is read.
        operators: applied in order; at most one of them is an `Aggregate`, an `Apply` or a `JoinStream`.
        lateness: how much earlier than the watermark of its partition an event may be. It applies where event time
            matters, in windows, de-duplication and joins of streams (`Pipeline.timed`).
        repartition: `always` re-keys the records of an aggregate or an apply even where the grouping's key contains the
            input's record key, for an input whose producers do not all put a key into the same partition.
        before: the operators before the grouping, lowered to fields of the record itself (`meshport.process.logic.nested`).
        grouping: the operator that groups; None where none does.
        after: the operators after the grouping, lowered as well.
    """

    input: Address
    operators: tuple[Operator, ...]
    lateness: timedelta = timedelta(days=1)
    repartition: Literal["when-needed", "always"] = "when-needed"
    before: tuple[Operator, ...] = field(init=False, repr=False, compare=False)
    grouping: Grouping | None = field(init=False, repr=False, compare=False)
    after: tuple[Operator, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Split the operators at the grouping.

        Raises:
            ProcessError: there are two groupings, or records are de-duplicated after one.
        """
        groupings = [index for index, each in enumerate(self.operators) if isinstance(each, Grouping)]
        if len(groupings) > 1:
            raise ProcessError(
                "a pipeline groups once; found " + " and ".join(type(self.operators[at]).__name__ for at in groupings),
                hint="build the second on a product of its own",
            )
        at = groupings[0] if groupings else len(self.operators)
        grouping = next((each for each in self.operators if isinstance(each, Grouping)), None)
        after = self.operators[at + 1 :]
        if any(isinstance(each, Deduplicate) for each in after):
            raise ProcessError("records are de-duplicated after the grouping", hint="put `deduplicate` before it")
        object.__setattr__(self, "before", (*lowered(self.operators[:at]), *lowered_before(grouping)))
        object.__setattr__(self, "grouping", grouping)
        object.__setattr__(self, "after", (*lowered_after(grouping), *lowered(after)))

    @property
    def timed(self) -> bool:
        """Whether lateness applies: there are windows, duplicates to remember, or partners to wait for."""
        windowed = isinstance(self.grouping, Aggregate) and self.grouping.window is not None
        return windowed or self.stream is not None or any(isinstance(each, Deduplicate) for each in self.before)

    @property
    def stream(self) -> Address | None:
        """The other stream of a join of streams; None without one."""
        return self.grouping.stream if isinstance(self.grouping, JoinStream) else None

    @property
    def tables(self) -> tuple[Address, ...]:
        """The compacted products that are joined, each once."""
        return tuple(dict.fromkeys(each.table for each in self.operators if isinstance(each, Join)))

    @property
    def joined(self) -> tuple[Address, ...]:
        """The joined products, streams included, each once."""
        return tuple(dict.fromkeys((*self.tables, *([] if self.stream is None else [self.stream]))))
