"""Operators of a pipeline.

An operator is a plain value. The declared steps of product.yaml and a product's own Python make the same ones:

    def pipeline() -> list[Operator]:
        return [
            Filter(lambda order: order["cents"] > 0),
            Aggregate(by=("customer_id",), window=Tumbling(timedelta(hours=1)), values={"orders": "count()"}),
        ]

Where an operator names a field, `customer.id` names one within a record; see `meshport.process.logic.nested`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, cast

from meshport.address import Address
from meshport.errors import ProcessError, SchemaError
from meshport.expression.expression import Expression
from meshport.process.logic.event_time import duration_micros
from meshport.product.aggregation import AGGREGATION_FORMS, Aggregation
from meshport.product.field_path import last_name
from meshport.schema import Schema, parse_schema

Record = Mapping[str, Any]
Function = str | Expression | Callable[[Record], Any]
"""An expression or its text, or a Python function of the record."""


class Occurrence(NamedTuple):
    """A record as the function of an `Apply` receives it.

    Attributes:
        data: the record.
        time: event time.
        id: the CloudEvents `id` of the event that it was made from.
        source: the CloudEvents `source` of that event.
        key: the values of the `by` fields.
    """

    data: dict[str, Any]
    time: datetime
    id: str
    source: str
    key: tuple[Any, ...]


@dataclass(frozen=True)
class Select:
    """Keeps these fields, in this order; one within a record under the last name of its path."""

    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse two fields of one name.

        Raises:
            ProcessError: there are two.
        """
        _refuse_same_names(self.fields)


@dataclass(frozen=True)
class Rename:
    """Renames fields: old name to new name."""

    names: Mapping[str, str]


@dataclass(frozen=True)
class Drop:
    """Drops fields."""

    fields: tuple[str, ...]


@dataclass(frozen=True)
class Filter:
    """Keeps the records for which the test is true."""

    test: Function

    def __post_init__(self) -> None:
        """Compile the expression."""
        object.__setattr__(self, "test", _function(self.test))


@dataclass(frozen=True)
class Derive:
    """Adds fields: name to an expression or a function of the record before this step."""

    fields: Mapping[str, Function]

    def __post_init__(self) -> None:
        """Compile the expressions."""
        object.__setattr__(self, "fields", {name: _function(each) for name, each in self.fields.items()})


@dataclass(frozen=True)
class Flatten:
    """Makes one record for each item of a list.

    Attributes:
        items: the field that holds the list, which each item replaces (null and [] make no record); or a function from
            the record to the records that replace it.
    """

    items: str | Callable[[Record], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class Join:
    """Takes fields from the row of a compacted product, as it was at the event's time.

    Attributes:
        table: the compacted product.
        on: the record's field that holds the table's key.
        take: new field to the row's field.
        missing: what becomes of a record without a row: `quarantine` its event, `keep` it with nulls, or `drop` it.
    """

    table: Address
    on: str
    take: Mapping[str, str]
    missing: Literal["quarantine", "keep", "drop"] = "quarantine"


@dataclass(frozen=True)
class JoinStream:
    """Joins with another stream: it makes a record of each pair of one key whose event times are within a window.

    Both streams are re-keyed by that key. A pair is emitted once, in either order of its events, with the later of their
    times; an event that is late in its own partition makes no pairs. The join is the pipeline's grouping: operators before
    it apply to the record of the input, operators after it to the joined record.

    Attributes:
        stream: the other stream, keyed by one field.
        on: the record's field that holds that key. A record without a value there has no partner.
        within: how far apart in event time the two may be, in either direction.
        take: new field to the other event's field.
        missing: what becomes of a record without a partner, once none can come: `drop` it, or `keep` it with nulls.
    """

    stream: Address
    on: str
    within: timedelta
    take: Mapping[str, str]
    missing: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        """Refuse a join that cannot be run.

        Raises:
            ProcessError: `missing` is neither `drop` nor `keep`, no field is taken, or `within` is negative.
        """
        if self.missing not in {"drop", "keep"}:
            raise ProcessError(
                f"a join of streams cannot {self.missing} what has no partner: one may come until the window has passed",
                hint="missing: drop, or keep",
            )
        if self.within < timedelta() or not self.take:
            raise ProcessError(
                f"a join within {self.within} that takes {', '.join(self.take) or 'nothing'}",
                hint="name fields of the other stream, and a length of time",
            )

    @property
    def by(self) -> tuple[str, ...]:
        """The fields that make the key."""
        return (self.on,)


@dataclass(frozen=True)
class Deduplicate:
    """Drops a record that was seen before.

    Attributes:
        within: two records are duplicates only if their event times are no further apart.
        by: the fields that identify a record; empty means its event's source and id.
    """

    within: timedelta
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tumbling:
    """Windows of one size that do not overlap, aligned to the Unix epoch in UTC."""

    size: timedelta

    def starts(self, time: int) -> tuple[int, ...]:
        """Return the starts of the windows that contain a time (all in microseconds)."""
        return (time - time % duration_micros(self.size),)


@dataclass(frozen=True)
class Hopping:
    """Windows of one size that overlap: a new one begins at each multiple of `every`."""

    size: timedelta
    every: timedelta

    def starts(self, time: int) -> tuple[int, ...]:
        """Return the starts of the windows that contain a time, earliest first (all in microseconds)."""
        hop, last = duration_micros(self.every), time - time % duration_micros(self.every)
        return tuple(range(last - (duration_micros(self.size) - 1 - time % hop) // hop * hop, last + 1, hop))


@dataclass(frozen=True)
class Session:
    """Session windows: records of one key that are no further apart than the gap are in one window.

    `window_start` is the time of the first record, `window_end` that of the last one.
    """

    gap: timedelta


Window = Tumbling | Hopping | Session


@dataclass(frozen=True)
class Aggregate:
    """Aggregates the records of each key, by window of event time or over all time.

    A result holds the fields of `by`, `window_start` and `window_end` (where there is a window), then the values. A field
    of `by` within a record has the last name of its path there.

    Attributes:
        by: the fields that make the key.
        values: output field to aggregation; a text, `count()` or `<kind>(<field>)`, is parsed.
        window: None means one running total for each key.
        emit: `update` emits a record at each change, `batch` one for each record key that a batch of events changed (the
            last one; the output is compacted), `close` one when the window can no longer change.
    """

    by: tuple[str, ...]
    values: Mapping[str, Aggregation | str]
    window: Window | None = None
    emit: Literal["update", "batch", "close"] = "update"

    def __post_init__(self) -> None:
        """Parse the aggregations, and refuse an aggregate that cannot be run.

        Raises:
            ProcessError: there is no key, an aggregation is unknown, or a running total has `emit='close'`.
        """
        _refuse_no_key(self.by)
        parsed = {name: _aggregation(each) for name, each in self.values.items()}
        object.__setattr__(self, "values", parsed)
        if self.emit == "close" and self.window is None:
            raise ProcessError("a running total never closes", hint="give it a window, or emit='update'")
        _refuse_same_names((*self.by, *self.values))

    @property
    def aggregations(self) -> Mapping[str, Aggregation]:
        """The output fields and their aggregations, in order."""
        return cast("Mapping[str, Aggregation]", self.values)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The fields that the aggregations read, each once."""
        return tuple(dict.fromkeys(each.field for each in self.aggregations.values() if each.field is not None))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fields of the result, in order."""
        return (*map(last_name, self.by), *(("window_start", "window_end") if self.window else ()), *self.values)


@dataclass(frozen=True)
class Apply:
    """Calls a Python function of (state, occurrence) for each record, with a state for each key.

    Attributes:
        function: `(state, occurrence) -> (state, records)`. The state is None at first and plain data after that (see
            `meshport.process.logic.lossless_json`); a state of None is forgotten. The function must depend on its
            arguments alone: after a crash it is called again with the same ones.
        by: the fields that make the key.
        state: the Avro schema of the state, or its text. A state that does not fit it is refused, with its event, and a
            state that an older version stored is read by Avro's schema resolution. None: any plain data.
    """

    function: Callable[[Any, Occurrence], tuple[Any, Iterable[dict[str, Any]]]]
    by: tuple[str, ...]
    state: Schema | str | None = None

    def __post_init__(self) -> None:
        """Refuse a function without a key, and parse the schema.

        Raises:
            ProcessError: there is no key, or the text is no schema.
        """
        _refuse_no_key(self.by)
        if isinstance(self.state, str):
            try:
                object.__setattr__(self, "state", parse_schema(self.state, source="the schema of the state"))
            except SchemaError as error:
                raise ProcessError(error.message, hint=error.hint) from error

    @property
    def schema(self) -> Schema | None:
        """The schema of the state; None where none is declared."""
        return self.state if isinstance(self.state, Schema) else None


Operator = Select | Rename | Drop | Filter | Derive | Flatten | Join | JoinStream | Deduplicate | Aggregate | Apply
Grouping = Aggregate | Apply | JoinStream
"""An operator that groups records by a key."""


def _function(given: Function) -> Function:
    return Expression(given) if isinstance(given, str) else given


def _aggregation(given: Aggregation | str) -> Aggregation:
    try:
        return given if isinstance(given, Aggregation) else Aggregation.parse(given)
    except ValueError as error:
        raise ProcessError(f"{given!r} is no aggregation", hint=f"use one of {AGGREGATION_FORMS}") from error


def _refuse_same_names(paths: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(last_name(path), path)
        if other != path:
            raise ProcessError(
                f"{other!r} and {path!r} are both named {last_name(path)!r} in the result",
                hint=f"name one of them first: `derive: {{other_{last_name(path)}: {path}}}`",
            )


def _refuse_no_key(by: Any) -> None:
    if not isinstance(by, tuple) or not by:
        raise ProcessError(f"`by` is {by!r}", hint="name the fields that make the key: by=('customer_id',)")
