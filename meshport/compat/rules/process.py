"""The stored state of a processor: whether the declared code can continue from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import WAIVE
from meshport.compat.state import unreadable
from meshport.errors import SchemaError
from meshport.product import Product, Status
from meshport.product.declared_state import declared_state
from meshport.schema import parse_schema

_CONTRACT: Final = (Direction.CONTRACT,)
_DEFAULT: Final = "READER_FIELD_MISSING_DEFAULT_VALUE"


def state_changed(change: Change) -> Iterator[Found]:
    """A step of the process has another state, so that the stored state is of no use to it.

    A processor stores its state in Kafka and restores it at the next start. What the state means follows from the input, from
    what `deduplicate` remembers, from the key, the windows, the values and the emission of `aggregate` or `apply`, and from
    `repartition`. For a `join` of two streams, whose state are the records themselves, it follows from the key, the time that
    they wait, the fields that are taken from the other stream, and the earlier steps that make those fields. With other
    settings, totals of one kind would be continued as totals of another, so the processor refuses to start. The gate reports
    it before the deployment.

    Filters, names that are given after the grouping, lateness, the engine and the results of expressions may change. They
    apply to later events: stored groups keep what they have counted. A step that makes a field of the key anew
    (`derive: {customer_id: ...}`) gives its groups other keys, and is reported. The state of a product's own function cannot
    be compared, unless its schema is declared (`apply: {state: <file>.avsc}`): see PROCESS_STATE_UNREADABLE.

    Restore the step, or compute the product from its history: `meshport rebuild ADDRESS` makes a new generation beside the
    live one, whose state begins with the first event. A waiver records that this will be done.
    """
    if (sides := _sides(change)) is None:
        return
    before, after = (declared_state(each) for each in sides)
    if before is None or after is None:
        return
    for each in before.differences(after):
        yield Found(
            f"process.{each.step}",
            f"the stored state of `{each.step.partition('.')[0]}` is that of another pipeline: {each.message}",
            each.before,
            each.after,
            _anew(change, f"keep the state that was: {each.before}" if each.before else "leave it out"),
            part=Part.PRODUCT,
        )


def state_unreadable(change: Change) -> Iterator[Found]:
    """The schema of a function's state cannot read what an earlier version of the function stored.

    `apply` names the Avro schema of its state. Each stored state is read with the schema of the new code, by Avro's rules of
    resolution: a new field takes its default, a removed one is dropped, an int becomes a long. If the rules find no value, or
    another value, every event of that key would be quarantined, so the processor refuses to start. The schemas are compared
    by the rules that an event's schema has to satisfy backward; the finding names the first rule that refuses.

    Give a new field a default and keep the types of the others, or compute the product from its history:
    `meshport rebuild ADDRESS`. A waiver records that this will be done.
    """
    if (sides := _sides(change)) is None:
        return
    was, now = (each.process.applied if each.process else None for each in sides)
    if was is None or now is None or was.state is None or now.state is None or was.state == now.state:
        return
    try:
        writer, reader = parse_schema(was.state), parse_schema(now.state, source="the schema of the state")
    except SchemaError as error:
        advice = "give a schema in Avro's JSON; `meshport apply` puts the text in place of the file that is named"
        yield Found("process.apply.state", error.message, advice=advice, part=Part.PRODUCT)
        return
    for each in unreadable(reader, writer):
        found = each.found
        keep = found.advice if each.rule == _DEFAULT else "keep the type that it has"
        yield Found(
            ".".join(filter(None, ("process.apply.state", found.path))),
            f"state that is stored cannot be read: {each.message}",
            found.before,
            found.after,
            _anew(change, keep),
            part=Part.PRODUCT,
        )


def state_unknown(change: Change) -> Iterator[Found]:
    """Other Python code makes the steps of the process, so that the gate cannot compare its stored state.

    The result of `process.python` is known only when it runs, and what an older revision would have returned is not: the gate
    never runs a revision's code. If the state differs, the processor refuses to start and reports it.

    Declare the steps in product.yaml if they need no code. Otherwise try the change on a copy of the mesh first.
    """
    if (sides := _sides(change)) is None:
        return
    was, now = (each.process for each in sides)
    if was is not None and now is not None and was.python != now.python:
        yield Found(
            "process.python" if now.python else "process.steps",
            f"the steps came from {was.python or 'product.yaml'} and would come from {now.python or 'product.yaml'}: "
            "whether the stored state serves them is told only when the processor starts",
            was.python,
            now.python,
            f"make sure that key, windows, values and de-duplication are the same; or rebuild the product into a new generation "
            f"with `meshport rebuild {change.before.product.address.key}`",
            part=Part.PRODUCT,
        )


RULES: Final = (
    Rule(
        "PROCESS_STATE_CHANGED",
        "a processor can continue from its stored state",
        _CONTRACT,
        Scope.CHANGE,
        state_changed,
        stops=Stops.NO_READER,
        holds_unused=True,
    ),
    Rule(
        "PROCESS_STATE_UNREADABLE",
        "a function can read its stored state",
        _CONTRACT,
        Scope.CHANGE,
        state_unreadable,
        stops=Stops.NO_READER,
        holds_unused=True,
    ),
    Rule(
        "PROCESS_STATE_UNKNOWN",
        "a change that the gate cannot compare is tried first",
        _CONTRACT,
        Scope.CHANGE,
        state_unknown,
        Severity.WARNING,
        stops=Stops.NO_READER,
        holds_unused=True,
    ),
)


def _sides(change: Change) -> tuple[Product, Product] | None:
    """Return the product before and after if the process builds this very port in both; a new line starts with an empty state."""
    before, after, port = change.before.product, change.product, change.before.port
    if after is None or after.status is Status.RETIRED:
        return None
    for each in (before, after):
        built = each.port(today=change.today)
        if built is None or (built.name, built.major) != (port.name, port.major):
            return None
    return before, after


def _anew(change: Change, keep: str) -> str:
    before = change.before
    return (
        f"{keep}; or let it pass with {WAIVE}, and rebuild the product into a new generation with `meshport rebuild "
        f"{before.product.address.key}`"
    )
