"""How a derived product is built, as its product.yaml declares it: a list of the field's operators, or Python.

These are words only; `meshport.process` gives them their meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, Literal, Self

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
from meshport.product.aggregation import Aggregation
from meshport.product.duration import format_duration, parse_duration

_CALLABLE: Final = re.compile(r"[\w./-]+\.py:[A-Za-z_]\w*")

_Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(ms|s|m|h|d)$"}),
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
    WithJsonSchema({"type": "string"}),
]

PythonCallable = Annotated[str, AfterValidator(_callable)]
"""`<file>.py:<name>`, relative to the product's folder."""


class _Words(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class DeclaredWindow(_Words):
    """Event-time windows of one kind.

    Attributes:
        tumbling: length of windows that follow one another without overlap, aligned to the Unix epoch in UTC.
        hopping: length of windows that overlap; a new one begins at each multiple of `every`.
        every: the hop of hopping windows.
        session: the gap of silence that ends a session.
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


class AggregateStep(_Words):
    """Keyed aggregate over event-time windows.

    The record that it gives holds the fields of `by`, `window_start` and `window_end` (timestamps, where there is a
    window), and one field per value.

    Attributes:
        by: the fields that make the key. Where they are not the input's record key, the input is keyed anew.
        window: none means one running total per key.
        values: output field to aggregation.
        emit: `update` gives a record at each change, `close` one when the window can change no more.
    """

    by: tuple[str, ...] = Field(min_length=1)
    window: DeclaredWindow | None = None
    values: dict[str, _Aggregation] = Field(min_length=1)
    emit: Literal["update", "close"] = "update"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.emit == "close" and self.window is None:
            raise ValueError("a running total never closes; give it a window, or emit: update")
        return self


class JoinStep(_Words):
    """Join with a compacted product: the row of the event's key as it was at the event's time.

    With `within`, join with the events of another stream: a record for each pair of one key whose event times are no further
    apart, whichever came first, with the later of their times. Such a step groups: a process has one at most. What came within
    `lateness` and `within` is its state, a kilobyte or two an event: a day of it, which is the default, may be too much.

    Attributes:
        table: the product (`with` in YAML), keyed by one field: compacted, or with `within` one that keeps events.
        on: the event's field that holds that key.
        within: how far apart the two events of a pair may be.
        take: output field to the field of the row, or of the other event.
        missing: what becomes of an event that finds no row: `quarantine` it, `keep` it with nulls, `drop` it. With `within`,
            `drop` (the default there), or `keep` once no partner can come any more.
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


class DeduplicateStep(_Words):
    """Drop events that were seen before.

    Attributes:
        by: the fields that tell two events apart; empty means CloudEvents' own identity, source and id.
        within: for how long (event time) an event is remembered.
    """

    by: tuple[str, ...] = ()
    within: _Duration


class ApplyStep(_Words):
    """A Python function of (state, event) per key, for what no operator does.

    Attributes:
        function: `(state, event) -> (state, records)`; state is None at first and plain JSON data after.
        by: the fields that make the key.
        state: the Avro schema of the state: a file (`schemas/shop/totals.state.avsc`), relative to the project; once the
            product is read from its project, the schema's text. None: the state is the function's own affair.
    """

    function: PythonCallable
    by: tuple[str, ...] = Field(min_length=1)
    state: Annotated[str, AfterValidator(_state)] | None = None


class Step(_Words):
    """One operator; exactly one of the attributes is given.

    Attributes:
        select: keep these fields, in this order.
        rename: old name to new name.
        filter: an expression; events for which it is false are dropped.
        derive: new field to expression.
        flatten: a field that holds a list; one record per item, with the item in the field's place.
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
        """The name of the one operator that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def groups(self) -> bool:
        """Whether it brings records of one key together; a process does so once."""
        joins = self.join is not None and self.join.within is not None
        return joins or self.aggregate is not None or self.apply is not None

    @model_validator(mode="after")
    def _one_operator(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a step is one operator; found {', '.join(given) or 'none'}")
        return self


class Processing(_Words):
    """How a derived product's default port is built.

    Attributes:
        engine: which engine runs it: `batch` in micro-batches with Kafka transactions, `faust` event by event.
        input: the stream that is read; by default the first input port.
        lateness: how far behind the newest event of its partition an event may be; later ones go to the late port. A
            day by default, as Kafka Streams' windows had it: with `emit: update` patience costs state, not latency.
        steps: operators, applied in order.
        python: a function that returns the steps instead, for logic with Python functions in it.
    """

    engine: Literal["batch", "faust"] = "batch"
    input: _Address | None = None
    lateness: _Duration = timedelta(days=1)
    steps: tuple[Step, ...] = ()
    python: PythonCallable | None = None

    @property
    def applied(self) -> ApplyStep | None:
        """The `apply` step, where there is one."""
        return next((step.apply for step in self.steps if step.apply is not None), None)

    def with_state(self, text: str) -> Self:
        """The same with this text as the state's schema of its `apply` step."""
        steps = tuple(
            step
            if step.apply is None
            else step.model_copy(update={"apply": step.apply.model_copy(update={"state": text})})
            for step in self.steps
        )
        return self.model_copy(update={"steps": steps})

    @property
    def addresses(self) -> Iterator[Address]:
        """Every address that the declaration itself reads."""
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
