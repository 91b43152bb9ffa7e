"""The shape of a pipeline's state, derived from its operators."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from meshport.binding import Binding
from meshport.errors import ProcessError
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Drop,
    Flatten,
    Hopping,
    Join,
    JoinStream,
    Operator,
    Rename,
    Select,
    Session,
    Tumbling,
    Window,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.product.state import DeduplicationShape, GroupShape, JoinShape, StateShape, WindowShape

_COMPACT = "compact"


def describe(pipeline: Pipeline, source: Binding, stream: Binding | None = None) -> StateShape:
    """Return what a pipeline keeps as state over an input port.

    `meshport.product.declared_state` derives the same from a product.yaml, as far as that is possible without a registry.

    Args:
        pipeline: the logic.
        source: the binding of the input port.
        stream: the binding of the other stream, where streams are joined.
    """
    grouping = pipeline.grouping
    pairs = _join_shape(grouping, stream, pipeline.operators) if isinstance(grouping, JoinStream) and stream else None
    return StateShape(
        source.topic,
        tuple(DeduplicationShape(each.by, each.within) for each in pipeline.before if isinstance(each, Deduplicate)),
        None if grouping is None or isinstance(grouping, JoinStream) else _group_shape(grouping),
        upserts(pipeline, source),
        rekeyed(pipeline, source),
        pairs,
    )


def upserts(pipeline: Pipeline, source: Binding) -> bool:
    """Whether the pipeline aggregates over a compacted port, so that a row replaces what its key contributed before."""
    return source.cleanup == _COMPACT and isinstance(pipeline.grouping, Aggregate)


def rekeyed(pipeline: Pipeline, source: Binding) -> bool:
    """Whether the records of a group may come from several partitions, so that they have to be re-keyed."""
    grouping = pipeline.grouping
    if grouping is None or isinstance(grouping, JoinStream) or pipeline.repartition == "always":
        return grouping is not None
    held = origins(pipeline.before, source.key)
    return not source.key or not set(source.key) <= {held.get(name) for name in grouping.by}


def needs_key_partition(pipeline: Pipeline, source: Binding, output: Binding) -> bool:
    """Whether a result depends on all events of a record key being in one partition of the input.

    It does where the source stage groups or de-duplicates, and where a row of a compacted port replaces the one before it.

    Args:
        pipeline: the logic.
        source: the binding of the input port.
        output: the binding of the port that is built.
    """
    if not source.key or source.partitions == 1:
        return False
    table = pipeline.grouping is None and source.cleanup == output.cleanup == _COMPACT
    groups = isinstance(pipeline.grouping, Aggregate | Apply) and not rekeyed(pipeline, source)
    return (
        groups or table or upserts(pipeline, source) or any(isinstance(each, Deduplicate) for each in pipeline.before)
    )


def origins(operators: Sequence[Operator], key: Sequence[str]) -> dict[str, str]:
    """Return the fields that hold a field of the input's key after some operators: their name there to the key field."""
    held = {name: name for name in key}
    for each in operators:
        match each:
            case Select(fields):
                held = {name: origin for name, origin in held.items() if name in fields}
            case Rename(names):
                taken = set(names.values())
                held = {
                    names.get(name, name): origin for name, origin in held.items() if name in names or name not in taken
                }
            case Derive(fields) | Drop(fields):
                held = {name: origin for name, origin in held.items() if name not in fields}
            case Join(take=take):
                held = {name: origin for name, origin in held.items() if name not in take}
            case Flatten(items):
                # The records that a function makes may hold any value under the names of the key.
                held = {} if callable(items) else {name: origin for name, origin in held.items() if name != items}
    return held


def _join_shape(join: JoinStream, stream: Binding, operators: Sequence[Operator]) -> JoinShape:
    earlier = takewhile(lambda operator: operator is not join, operators)
    made = tuple(each for operator in earlier if (each := _field_changes(operator)))
    return JoinShape(stream.topic, join.on, join.within, tuple(sorted(set(join.take.values()))), join.missing, made)


def _field_changes(operator: Operator) -> str:
    """Return in words what an operator does to the fields of a record, as `meshport.product.declared_state` writes it."""
    match operator:
        case Select(fields):
            return f"select {', '.join(fields)}"
        case Rename(names):
            return f"rename {', '.join(f'{old}: {new}' for old, new in names.items())}"
        case Flatten(items):
            return f"flatten {'by a function' if callable(items) else items}"
        case Derive(fields):
            return f"derive {', '.join(fields)}"
        case Join(take=take):
            return f"join {', '.join(take)}"
    return ""


def _group_shape(grouping: Aggregate | Apply) -> GroupShape:
    if isinstance(grouping, Aggregate):
        return GroupShape(
            "aggregate",
            grouping.by,
            tuple(grouping.aggregations.items()),
            _window_shape(grouping.window),
            "close" if grouping.emit == "close" else "update",
        )
    return GroupShape("apply", grouping.by)


def _window_shape(window: Window | None) -> WindowShape | None:
    match window:
        case None:
            return None
        case Tumbling(size):
            return WindowShape("tumbling", size)
        case Hopping(size, every):
            return WindowShape("hopping", size, every)
        case Session(gap):
            return WindowShape("session", gap)
    raise ProcessError(f"no state is known for {window!r}")
