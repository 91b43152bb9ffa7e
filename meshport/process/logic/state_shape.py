"""What a pipeline keeps as state, and what names it in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from meshport.binding import Binding
from meshport.errors import ProcessError
from meshport.process.logic.pipeline import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Flatten,
    Hopping,
    Join,
    JoinStream,
    Operator,
    Pipeline,
    Rename,
    Select,
    Session,
    Tumbling,
    Window,
)
from meshport.product.state import DeduplicationShape, GroupShape, JoinShape, StateShape, WindowShape

_COMPACT = "compact"


def describe(pipeline: Pipeline, source: Binding, stream: Binding | None = None) -> StateShape:
    """What a pipeline keeps as state over an input port.

    `meshport.product.state.declared_state` tells the same of a product.yaml, as far as it goes without a registry.

    Args:
        pipeline: the logic.
        source: the input port.
        stream: the other one, where streams are joined.
    """
    grouping = pipeline.grouping
    pairs = _pairs(grouping, stream, pipeline.before) if isinstance(grouping, JoinStream) and stream else None
    return StateShape(
        source.topic,
        tuple(DeduplicationShape(each.by, each.within) for each in pipeline.before if isinstance(each, Deduplicate)),
        None if grouping is None or isinstance(grouping, JoinStream) else _groups(grouping),
        upserts(pipeline, source),
        rekeyed(pipeline, source),
        pairs,
    )


def upserts(pipeline: Pipeline, source: Binding) -> bool:
    """Whether the input is a table that an aggregate keeps in step with: rows replace, they do not add up."""
    return source.cleanup == _COMPACT and isinstance(pipeline.grouping, Aggregate)


def rekeyed(pipeline: Pipeline, source: Binding) -> bool:
    """Whether the records of a group come from several partitions, so that they have to be brought together."""
    grouping = pipeline.grouping
    if grouping is None or isinstance(grouping, JoinStream):
        return grouping is not None
    held = origins(pipeline.before, source.key)
    return not source.key or not set(source.key) <= {held.get(name) for name in grouping.by}


def origins(operators: Sequence[Operator], key: Sequence[str]) -> dict[str, str]:
    """The fields that still hold a field of the input's key, by the name that they have after the operators."""
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
            case Derive(fields):
                held = {name: origin for name, origin in held.items() if name not in fields}
            case Join(take=take):
                held = {name: origin for name, origin in held.items() if name not in take}
            case Flatten(items):
                # What a function makes of a record may hold anything under the key's names.
                held = {} if callable(items) else {name: origin for name, origin in held.items() if name != items}
    return held


def _pairs(join: JoinStream, stream: Binding, before: Sequence[Operator]) -> JoinShape:
    made = tuple(each for operator in before if (each := _made(operator)))
    return JoinShape(stream.topic, join.on, join.within, tuple(sorted(set(join.take.values()))), join.missing, made)


def _made(operator: Operator) -> str:
    """What an operator does to the fields of a record, as `meshport.product.state` says it of a declared step."""
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


def _groups(grouping: Aggregate | Apply) -> GroupShape:
    if isinstance(grouping, Aggregate):
        return GroupShape(
            "aggregate", grouping.by, tuple(grouping.aggregations.items()), _windows(grouping.window), grouping.emit
        )
    return GroupShape("apply", grouping.by)


def _windows(window: Window | None) -> WindowShape | None:
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
