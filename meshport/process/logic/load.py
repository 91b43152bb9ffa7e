"""Loads pipelines from product descriptors: declared steps become operators, or a product's own Python returns them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from meshport.errors import MeshError, ProcessError
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
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
from meshport.product import DeclaredWindow, Product, Step
from meshport.product.loading import load_callable


def load_pipeline(product: Product, folder: Path) -> Pipeline:
    """Return the pipeline of a derived product.

    Args:
        product: its descriptor.
        folder: the folder of its product.yaml; Python files are relative to it.

    Raises:
        ProcessError: the product has no process, or one of its steps cannot be run; the message names the step.
        ProjectError: a Python function cannot be loaded.
    """
    process = product.process
    if process is None:
        raise ProcessError(f"{product.address} has no `process` in its product.yaml", address=str(product.address))
    source = process.input or product.input_ports[0].address
    if process.python:
        operators = _own(product, load_callable(folder, process.python)(), process.python)
    else:
        operators = tuple(_declared(product, index, step, folder) for index, step in enumerate(process.steps))
    try:
        return Pipeline(source, operators, process.lateness, process.repartition)
    except ProcessError as error:
        raise ProcessError(
            f"{product.address}: {error.message}", address=str(product.address), hint=error.hint
        ) from error


def declared_pipeline(product: Product) -> Pipeline | None:
    """Return the pipeline that product.yaml declares, without loading Python: the function of its `apply` cannot be called.

    For callers that must not run a product's code: the gate, which reads other states of a project, and the registry.

    Returns:
        The pipeline; None where the product has no process, or Python returns its operators.

    Raises:
        ProcessError: one of its steps cannot be run; the message names the step.
    """
    process = product.process
    if process is None or process.python:
        return None
    steps = (
        _declared(product, index, step, None) if step.apply is None else Apply(_not_loaded, step.apply.by)
        for index, step in enumerate(process.steps)
    )
    return Pipeline(process.input or product.input_ports[0].address, tuple(steps), process.lateness)


def _not_loaded(_state: object, _occurrence: object) -> NoReturn:
    raise ProcessError("the function of this `apply` was not loaded")


def operator_of(step: Step, folder: Path | None = None) -> Operator:
    """Return the operator of one declared step.

    Args:
        step: the step as declared in product.yaml.
        folder: the product's folder, for `apply`.

    Raises:
        ProcessError: an expression of the step is invalid, or an `apply` has no folder or an unread schema.
    """
    match step:
        case Step(select=fields) if fields is not None:
            return Select(fields)
        case Step(rename=names) if names is not None:
            return Rename(names)
        case Step(filter=test) if test is not None:
            return Filter(test)
        case Step(derive=derived) if derived is not None:
            return Derive(dict(derived))
        case Step(flatten=items) if items is not None:
            return Flatten(items)
        case Step(join=join) if join is not None:
            if join.within is None:
                return Join(join.table, join.on, join.take, join.missing)
            # The descriptor refuses `missing: quarantine` together with `within`.
            return JoinStream(join.table, join.on, join.within, join.take, "keep" if join.missing == "keep" else "drop")
        case Step(deduplicate=deduplicate) if deduplicate is not None:
            return Deduplicate(deduplicate.within, deduplicate.by)
        case Step(aggregate=aggregate) if aggregate is not None:
            return Aggregate(aggregate.by, aggregate.values, _window(aggregate.window), aggregate.emit)
        case Step(apply=apply) if apply is not None:
            if folder is None:
                raise ProcessError("`apply` names a Python function, but there is no folder to load it from")
            if apply.state is not None and apply.state.endswith(".avsc"):
                raise ProcessError(
                    f"the schema of the state is in {apply.state}, which was not read",
                    hint="read the product from its project, which puts the schema in place of the file",
                )
            return Apply(load_callable(folder, apply.function), apply.by, apply.state)
    raise ProcessError(f"no operator is known for the step {step.operator!r}")


def _declared(product: Product, index: int, step: Step, folder: Path | None) -> Operator:
    try:
        return operator_of(step, folder)
    except MeshError as error:
        raise ProcessError(
            f"{product.address}: process.steps[{index}].{step.operator}: {error.message}", hint=error.hint
        ) from error


def _own(product: Product, returned: object, reference: str) -> tuple[Operator, ...]:
    if isinstance(returned, Sequence) and returned and all(isinstance(each, Operator) for each in returned):
        return tuple(returned)
    raise ProcessError(
        f"{product.address}: {reference} returned {type(returned).__name__}, no list of operators",
        hint="return [Filter(...), Aggregate(...), ...] of meshport.process",
    )


def _window(declared: DeclaredWindow | None) -> Window | None:
    match declared:
        case None:
            return None
        case DeclaredWindow(tumbling=size) if size is not None:
            return Tumbling(size)
        case DeclaredWindow(hopping=size, every=every) if size is not None and every is not None:
            return Hopping(size, every)
        case DeclaredWindow(session=gap) if gap is not None:
            return Session(gap)
    raise ProcessError(f"no window is known for {declared!r}")
