"""What a processor has stored: whether the code that is declared now can go on from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import new_major
from meshport.compat.state import unreadable
from meshport.errors import SchemaError
from meshport.product import Product, Status
from meshport.product.state import declared_state
from meshport.schema import parse_schema

_CONTRACT: Final = (Direction.CONTRACT,)
_DEFAULT: Final = "READER_FIELD_MISSING_DEFAULT_VALUE"


def state_changed(change: Change) -> Iterator[Found]:
    """A step of the process keeps its state otherwise, so that what is stored serves it no more.

    A processor keeps rows on Kafka and goes on from them when it starts again. What they mean follows from the input, from
    what `deduplicate` remembers, and from the key, the windows, the values and the emission of `aggregate` or `apply`; of a
    `join` of two streams, where the records themselves wait, from its key, how long they wait, what is taken of the other
    stream, and the steps before it that make their fields. With another of these, totals of the one kind would be continued
    as the other; so the processor refuses to start. Here that is said before it is deployed.

    Filters, names that are given after the grouping, lateness, the engine, and whatever an expression computes may change.
    That holds for what is to come: groups that are stored keep what they have counted. A step that makes a field of the
    key anew (`derive: {customer_id: ...}`) gives its groups other keys, and is told. What a product's own function keeps
    is nothing that could be looked at, unless its schema is declared (`apply: {state: <file>.avsc}`): that is
    PROCESS_STATE_UNREADABLE's.

    Put the step back; or let the product be computed anew from its history: `meshport rebuild ADDRESS` makes a new
    generation beside the live one, whose state begins with the first event. A waiver says that this will be done. A new
    major has a state of its own as well.
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
    """The schema of a function's state cannot read what an earlier version of the function has stored.

    `apply` names the Avro schema of its state. Each stored state is read as the new code's schema has it, by Avro's rules
    of resolution: a new field takes its default, one that is gone is dropped, int becomes long. Where those rules have no
    answer, or would give another value, every event of that key would go to the quarantine; so the processor refuses to
    start. The schemas are compared by the rules that an event's schema is held to backward; this one names the first of
    them that says no.

    Give a new field a default, keep the type of the others; or let the product be computed anew from its history:
    `meshport rebuild ADDRESS`. A waiver says that this will be done.
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
    """Other Python makes the steps of the process, so that nobody can tell here whether its stored state serves it.

    What `process.python` returns is known once it runs, and what an older revision would have returned is not: the gate
    never runs a revision's code. If the state is another one, the processor refuses to start, and says so.

    Declare the steps in product.yaml where they need no code; else try the change on a copy of the mesh first.
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
            _anew(change, "make sure that key, windows, values and de-duplication are the same"),
            part=Part.PRODUCT,
        )


RULES: Final = (
    Rule(
        "PROCESS_STATE_CHANGED",
        "a processor can go on from the state that it stored",
        _CONTRACT,
        Scope.CHANGE,
        state_changed,
        stops=Stops.NOBODY,
    ),
    Rule(
        "PROCESS_STATE_UNREADABLE",
        "a function reads the states that it stored",
        _CONTRACT,
        Scope.CHANGE,
        state_unreadable,
        stops=Stops.NOBODY,
    ),
    Rule(
        "PROCESS_STATE_UNKNOWN",
        "a change that nobody can look at is tried first",
        _CONTRACT,
        Scope.CHANGE,
        state_unknown,
        Severity.WARNING,
        stops=Stops.NOBODY,
    ),
)


def _sides(change: Change) -> tuple[Product, Product] | None:
    """The product before and after, where the process builds this very port in both; a line that is new begins anew."""
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
        f"{keep}; or rebuild the product into a new generation (`meshport rebuild {before.product.address.key}`), for which a "
        f"waiver lets it pass, or {new_major(before)}"
    )
