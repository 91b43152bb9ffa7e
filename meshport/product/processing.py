"""How a derived product is built, as its product.yaml declares it: a list of operators, or Python.

These models hold the declaration only; `meshport.process` runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticKnownError

from meshport.address import Address
from meshport.product.aggregation import AGGREGATION_FORMS, Aggregation, AggregationKind
from meshport.product.duration import format_duration, parse_duration

_CALLABLE: Final = re.compile(r"[\w./-]+\.py:[A-Za-z_]\w*")

_Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[0-9]+(ms|s|m|h|d)$",
            "patternErrorMessage": "a length of time is a number and one of ms, s, m, h, d: 30s, 1h, 365d",
        }
    ),
]
_Address = Annotated[
    Address,
    BeforeValidator(lambda value: Address.parse(value) if isinstance(value, str) else value),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]


def _aggregation(value: object) -> Aggregation:
    if isinstance(value, Aggregation):
        return value
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return Aggregation.parse(value)


def _callable(text: str) -> str:
    if not _CALLABLE.fullmatch(text):
        raise ValueError(f"{text!r} names no Python function; write <file>.py:<name>, relative to the product's folder")
    return text


def _state(text: str) -> str:
    if text.endswith(".avsc"):
        return text
    try:
        known = isinstance(json.loads(text), dict | list | str)
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{text[:60]!r} names no Avro schema; write <file>.avsc, relative to the project")
    return text


_Aggregation = Annotated[
    Aggregation,
    PlainValidator(_aggregation),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^\s*({'|'.join(get_args(AggregationKind))})\([^()]*\)\s*$",
            "patternErrorMessage": f"use one of {AGGREGATION_FORMS}",
        }
    ),
]

PythonCallable = Annotated[str, AfterValidator(_callable)]
"""`<file>.py:<name>`, relative to the product's folder."""


class _StepModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class DeclaredWindow(_StepModel):
    """Event-time windows of one kind.

    Attributes:
        tumbling: the size of windows that do not overlap, aligned to the Unix epoch in UTC.
        hopping: the size of windows that overlap; a new one begins at each multiple of `every`.
        every: the hop of hopping windows.
        session: the inactivity gap that ends a session.
    """

    tumbling: _Duration | None = None
    hopping: _Duration | None = None
    every: _Duration | None = None
    session: _Duration | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in ("tumbling", "hopping", "session") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"a window is one of tumbling, hopping or session; found {', '.join(kinds) or 'none of them'}"
            )
        if (self.hopping is None) != (self.every is None):
            raise ValueError("hopping windows need both their length (`hopping`) and their hop (`every`)")
        if not getattr(self, kinds[0]) or (self.every is not None and not self.every):
            raise ValueError(f"a {kinds[0]} window of no length holds no event")
        if self.hopping and self.every and self.every > self.hopping:
            raise ValueError(
                "hopping windows that begin less often than they end would skip events; make `every` the shorter one"
            )
        return self


class AggregateStep(_StepModel):
    """An aggregate of the records of each key over event-time windows.

    A result holds the fields of `by`, `window_start` and `window_end` (timestamps, where there is a window), and one field
    for each value.

    Attributes:
        by: the fields that make the key; `shot.team.id` within a record becomes `id`. Where they are not the input's record
            key, the input is re-keyed.
        window: the windows of event time; without them, one running total for each key.
        values: output field to aggregation: `count()`, `sum(cents)`, `mean(shot.xg)`.
        emit: `update` emits a record at each change; `batch` one for each record key that a batch of events changed, the last,
            for a compacted output; `close` one when the window can no longer change.
    """

    by: tuple[str, ...] = Field(min_length=1)
    window: DeclaredWindow | None = None
    values: dict[str, _Aggregation] = Field(min_length=1)
    emit: Literal["update", "batch", "close"] = "update"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.emit == "close" and self.window is None:
            raise ValueError("a running total never closes; give it a window, or emit: update")
        return self


class JoinStep(_StepModel):
    """A join with a compacted product: with the row of the event's key as it was at the event's time.

    With `within` it is a join with another stream: it emits a record for each pair of events of one key whose event times are
    no further apart, in either order, with the later of the two times. Such a step groups; a process has at most one. The
    events of both streams within `lateness` and `within` are its state, one or two kilobytes each: the default lateness of
    a day may be too much.

    Attributes:
        table: the other product, keyed by one field: compacted, or with `within` one that keeps events.
        on: the event's field that holds that key.
        within: how far apart in event time the two events of a pair may be.
        take: output field to the field of the row, or of the other event.
        missing: what becomes of an event without a row: `quarantine`, `keep` with nulls, or `drop`. With `within`: `drop`,
            the default there, or `keep` once no partner can come.
    """

    table: _Address = Field(alias="with")
    on: str
    within: _Duration | None = None
    take: dict[str, str] = Field(min_length=1)
    missing: Literal["quarantine", "keep", "drop"] = "quarantine"

    @model_validator(mode="before")
    @classmethod
    def _default(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("within") is not None and "missing" not in given:
            return {**given, "missing": "drop"}
        return given

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.within is not None and self.missing == "quarantine":
            raise ValueError(
                "an event without a partner is no mistake: one may come until `within` has passed; make it missing: drop, "
                "or keep"
            )
        return self


class DeduplicateStep(_StepModel):
    """Drops events that were seen before.

    Attributes:
        by: the fields that identify an event; empty means its CloudEvents source and id.
        within: how long (event time) an event is remembered.
    """

    by: tuple[str, ...] = ()
    within: _Duration


class ApplyStep(_StepModel):
    """Calls a Python function of (state, event) for each record, with a state for each key.

    Attributes:
        function: `<file>.py:<name>`, relative to the product's folder: `(state, event) -> (state, records)`. The state is None
            at first and plain JSON data after that.
        by: the fields that make the key.
        state: the Avro schema of the state: a file (`schemas/shop/totals.state.avsc`), relative to the project, or its text,
            which takes the file's position once the product is read from its project. By default the state has no schema.
    """

    function: PythonCallable
    by: tuple[str, ...] = Field(min_length=1)
    state: Annotated[str, AfterValidator(_state)] | None = None


class Step(_StepModel):
    """One operator; exactly one of the attributes is given.

    Attributes:
        select: keep these fields, in this order; `shot.xg` within a record becomes `xg`.
        rename: old name to new name.
        filter: an expression; events for which it is false are dropped.
        derive: new field to expression.
        flatten: a field that holds a list; makes one record for each item, which replaces the list.
        join: add fields of another product's row or event.
        deduplicate: drop events that were seen before.
        aggregate: one result for each key, or each key and window.
        apply: call a Python function for each record, with a state for each key.
    """

    select: tuple[str, ...] | None = None
    rename: dict[str, str] | None = None
    filter: str | None = None
    derive: dict[str, str] | None = None
    flatten: str | None = None
    join: JoinStep | None = None
    deduplicate: DeduplicateStep | None = None
    aggregate: AggregateStep | None = None
    apply: ApplyStep | None = None

    @property
    def operator(self) -> str:
        """The name of the operator that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def groups(self) -> bool:
        """Whether it groups records by a key, which a process does at most once."""
        joins = self.join is not None and self.join.within is not None
        return joins or self.aggregate is not None or self.apply is not None

    @model_validator(mode="after")
    def _one_operator(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a step is one operator; found {', '.join(given) or 'none'}")
        return self


class Processing(_StepModel):
    """How a derived product's default port is built.

    Attributes:
        engine: `batch` runs it in micro-batches with Kafka transactions, `faust` event by event.
        input: the stream that is read; by default the first input port.
        lateness: how much earlier than the watermark of its partition an event may be; events beyond it go to the late
            topic. A day by default, as in Kafka Streams' windows before KIP-633: with `emit: update` it costs state, not
            latency.
        repartition: `always` re-keys the records of an aggregate or an apply even where the input is keyed by its fields.
            Needed where producers with another partitioner than murmur2 write to the input; it costs a topic and a read.
        steps: operators, applied in order.
        python: `<file>.py:<name>`, relative to the product's folder: a function that returns the operators instead, for logic
            with Python functions in it.
    """

    engine: Literal["batch", "faust"] = "batch"
    input: _Address | None = None
    lateness: _Duration = timedelta(days=1)
    repartition: Literal["when-needed", "always"] = "when-needed"
    steps: tuple[Step, ...] = ()
    python: PythonCallable | None = None

    @property
    def applied(self) -> ApplyStep | None:
        """The `apply` step, where there is one."""
        return next((step.apply for step in self.steps if step.apply is not None), None)

    def with_state(self, text: str) -> Self:
        """Return a copy whose `apply` step has this text as the schema of its state."""
        steps = tuple(
            step
            if step.apply is None
            else step.model_copy(update={"apply": step.apply.model_copy(update={"state": text})})
            for step in self.steps
        )
        return self.model_copy(update={"steps": steps})

    @property
    def addresses(self) -> Iterator[Address]:
        """The addresses that the declaration names."""
        if self.input:
            yield self.input
        for step in self.steps:
            if step.join:
                yield step.join.table

    @model_validator(mode="after")
    def _steps_or_python(self) -> Self:
        if bool(self.steps) == bool(self.python):
            raise ValueError("process is either `steps` or `python`; give one of the two")
        groupings = [step.operator for step in self.steps if step.groups]
        if len(groupings) > 1:
            raise ValueError(
                f"a process groups once; found {' and '.join(groupings)}; build the second on a product of its own"
            )
        return self
