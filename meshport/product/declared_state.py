"""The shape of a processor's state as its product.yaml declares it, and the position of each of its steps in the file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from meshport.product.descriptor import Product
from meshport.product.field_path import is_nested, last_name
from meshport.product.processing import AggregateStep, DeclaredWindow, JoinStep, Processing, Step
from meshport.product.state import DeduplicationShape, GroupShape, JoinShape, StateShape, WindowShape


def declared_state(product: Product) -> StateShape | None:
    """Return what a product's process keeps as state, as far as product.yaml declares it.

    Args:
        product: with an input port, or a process that names its input.

    Returns:
        The state; None where the product has no process, or Python defines its steps.
    """
    process = product.process
    if process is None or process.python:
        return None
    before: list[Step] = []
    duplicates: list[DeduplicationShape] = []
    groups: GroupShape | None = None
    pairs: JoinShape | None = None
    for step in process.steps:
        if step.deduplicate is not None:
            duplicates.append(DeduplicationShape(step.deduplicate.by, step.deduplicate.within))
        if step.aggregate is not None:
            groups = _group_shape(step.aggregate, before)
        if step.apply is not None:
            groups = GroupShape("apply", step.apply.by, origins=_origins(step.apply.by, before))
        if step.join is not None and step.join.within is not None:
            pairs = _join_shape(step.join, before)
        before.append(step)
    rekeyed = True if groups is not None and process.repartition == "always" else None
    source = process.input or product.input_ports[0].address
    return StateShape(source, tuple(duplicates), groups, rekeyed=rekeyed, pairs=pairs)


def step_path(process: Processing | None, step: str) -> tuple[str | int, ...]:
    """Return the path of keys and indices at which product.yaml declares a step.

    Args:
        process: the declaration; None where the file has none.
        step: as `StateDifference` names it, keys within the step after dots: `aggregate`, `deduplicate.2`, `apply.state`,
            `input`.

    Returns:
        The path; for a step that is not declared, that of the nearest key around it.
    """
    if process is None:
        return ("process",)
    word, _, rest = step.partition(".")
    keys = rest.split(".") if rest else []
    if word in {"input", "python"}:
        return ("process", word) if getattr(process, word) is not None else ("process",)
    number = int(keys.pop(0)) if keys and keys[0].isdecimal() else 1
    found = [
        index for index, each in enumerate(process.steps) if each.operator == word and (word != "join" or each.groups)
    ]
    if len(found) < number:
        return ("process", "steps") if process.steps else ("process",)
    return ("process", "steps", found[number - 1], word, *keys)


def _group_shape(aggregate: AggregateStep, before: Sequence[Step]) -> GroupShape:
    return GroupShape(
        "aggregate",
        aggregate.by,
        tuple(aggregate.values.items()),
        None if aggregate.window is None else _window_shape(aggregate.window),
        "close" if aggregate.emit == "close" else "update",
        _origins(aggregate.by, before),
    )


def _join_shape(join: JoinStep, before: Sequence[Step]) -> JoinShape:
    made = tuple(each for step in before if (each := _field_changes(step)))
    taken = tuple(sorted(set(join.take.values())))
    return JoinShape(join.table, join.on, join.within or timedelta(), taken, join.missing, made)


def _field_changes(step: Step) -> str:
    """Return in words what a step does to the fields of a record; "" where it does nothing to them."""
    if step.select is not None:
        return f"select {', '.join(step.select)}"
    if step.rename is not None:
        return f"rename {', '.join(f'{old}: {new}' for old, new in step.rename.items())}"
    if step.flatten is not None:
        return f"flatten {step.flatten}"
    made = step.derive or (step.join.take if step.join is not None else {})
    return f"{step.operator} {', '.join(made)}" if made else ""


def _window_shape(window: DeclaredWindow) -> WindowShape:
    if window.tumbling is not None:
        return WindowShape("tumbling", window.tumbling)
    if window.hopping is not None:
        return WindowShape("hopping", window.hopping, window.every)
    return WindowShape("session", window.session or timedelta())


def _origins(by: Sequence[str], steps: Sequence[Step]) -> tuple[str | None, ...]:
    return tuple(_origin(name, steps) for name in by)


def _origin(name: str, steps: Sequence[Step]) -> str | None:
    """Return the input's field whose value a field holds after some steps; None for a field that a step made or dropped."""
    name, dot, inner = name.partition(".")
    for step in reversed(steps):
        if step.rename is not None:
            older = next((old for old, new in reversed(step.rename.items()) if new == name), None)
            if older is None and name in step.rename:
                return None
            name = older or name
        elif step.select is not None:
            path = next((each for each in step.select if last_name(each) == name), None)
            if path is None:
                return None
            name, rest = path.split(".", 1) if is_nested(path) else (path, "")
            dot, inner = ("." if rest or inner else ""), ".".join(filter(None, (rest, inner)))
        elif (
            (step.derive is not None and name in step.derive)
            or (step.join is not None and name in step.join.take)
            or (step.flatten is not None and last_name(step.flatten) == name)
        ):
            return None
    return name + dot + inner
