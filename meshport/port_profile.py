"""Models of what the events of a port look like, as the observer reports it and a registry's API sends it.

A profile is made of a bounded sample of the newest events. What is sensitive is masked where the events are read, so that neither
the registry nor its database ever has it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meshport.product.input_port import AddressText

MASK: Final = "•••"
"""What stands in a sample for a value that is not shown."""
MOST_PROFILED: Final = 100
"""Fields of one profile."""
MOST_SAMPLES: Final = 5
"""Events of one profile."""
LONGEST_VALUE: Final = 200
"""Characters of a text that is shown; of a longer one the beginning."""

EdgeText = Annotated[str, Field(max_length=64)]
"""A number, or an instant as RFC 3339 text."""


class _Profile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TopValue(_Profile):
    """A frequent value of a field.

    Attributes:
        value: as text.
        count: events of the sample that have it, about.
    """

    value: str = Field(max_length=LONGEST_VALUE + 1)
    count: int = Field(ge=0)


class Histogram(_Profile):
    """How often numbers or instants are in ranges of one width.

    Attributes:
        edges: of the ranges, lowest first, one more than there are ranges; of instants RFC 3339 text. A range includes its lower
            edge, the last one both.
        counts: values in each range, about.
    """

    edges: tuple[EdgeText, ...] = Field(default=(), max_length=50)
    counts: tuple[int, ...] = Field(default=(), max_length=50)


class FieldProfile(_Profile):
    """What the values of one field look like.

    Attributes:
        path: of the field; within a record its path, with dots.
        classification: how sensitive the field is: its own, that of a record around it, or the product's.
        masked: whether its values are not shown because of that. Range, frequent values and histogram are empty then.
        values: that are not null; a list counts with each of its items.
        nulls: events in which it is null, or a record around it is.
        distinct: different values, about.
        minimum: the lowest number or instant; None for other types.
        maximum: the highest one.
        top: the most frequent values, most frequent first.
        histogram: of numbers and instants; empty for other types.
    """

    path: str = Field(max_length=1000)
    classification: str
    masked: bool = False
    values: int = Field(ge=0)
    nulls: int = Field(ge=0)
    distinct: int = Field(ge=0)
    minimum: EdgeText | None = None
    maximum: EdgeText | None = None
    top: tuple[TopValue, ...] = Field(default=(), max_length=20)
    histogram: Histogram = Histogram()


class SampleEvent(_Profile):
    """An event of the sample.

    Attributes:
        id: of the event.
        time: when the fact happened.
        partition: of its record.
        offset: of its record.
        data: as JSON data, with `MASK` for what is not shown; None for a tombstone.
    """

    id: str = Field(max_length=1000)
    time: AwareDatetime
    partition: int
    offset: int
    data: Any = None


class PortProfile(_Profile):
    """What the events of a port look like.

    Attributes:
        address: of the port, with its major.
        taken_at: when.
        events: in the sample that the fields are profiled by, tombstones included.
        first: the earliest time of an event in it; None for no events.
        last: the latest time.
        fields: in the contract's order, at most `MOST_PROFILED`.
        samples: the newest events, newest first, at most `MOST_SAMPLES`.
    """

    address: AddressText
    taken_at: AwareDatetime
    events: int = Field(ge=0)
    first: datetime | None = None
    last: datetime | None = None
    fields: tuple[FieldProfile, ...] = Field(default=(), max_length=MOST_PROFILED)
    samples: tuple[SampleEvent, ...] = Field(default=(), max_length=MOST_SAMPLES)
