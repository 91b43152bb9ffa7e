"""`emit: batch`: a batch of events writes the last output of each key, and the table is that of `emit: update`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from meshport.errors import DescriptorError, ProcessError
from meshport.process import Aggregate, Filter, Pipeline, Session, Tumbling
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash
from meshport.process.logic.operators import Window
from meshport.process.logic.state_shape import describe
from meshport.product import parse_product
from meshport.product.declared_state import declared_state
from tests.process.plays import PLAYS, WINDOW, pipeline, play, ports, record
from tests.process.plays import field as avro
from tests.process.test_columns import ByColumns
from tests.process.test_load import HEAD

HOUR = timedelta(hours=1)
TOTAL = record("Total", avro("user", "string"), avro("n", "long"), avro("ms", "long"))
WINDOWED = record("Total", avro("artist", "string"), *WINDOW, avro("n", "long"), avro("ms", "long"))
VALUES = {"n": "count()", "ms": "sum(ms)"}


def counted(kind: type[Harness], emit: str, *, by: str = "user", window: Window | None = None) -> Harness:
    """Return a processor of totals that has not run yet, with forty plays of four users and two artists."""
    group = Aggregate((by,), VALUES, window, emit)  # type: ignore[arg-type]  # one of the three words
    schema, key = (TOTAL, (by,)) if window is None else (WINDOWED, (by, "window_start"))
    made = kind(pipeline(group, Filter("n != 7")), output="listening/out", ports=ports(schema, key))
    for number in range(40):
        made.publish("player/plays", play(f"u{number % 4}", f"a{number % 2}", number, number), id=f"p{number}")
    return made


@pytest.mark.parametrize("kind", [Harness, ByColumns])
@pytest.mark.parametrize(
    ("by", "window", "written"), [("user", None, 4), ("artist", Tumbling(HOUR), 2), ("artist", Session(HOUR), 2)]
)
def test_a_batch_writes_the_last_output_of_each_key(
    kind: type[Harness], by: str, window: Window | None, written: int
) -> None:
    """Rows and columns, re-keyed or not, with windows, sessions or none: as many records as keys, and the same table."""
    whole, damped = counted(kind, "update", by=by, window=window), counted(kind, "batch", by=by, window=window)
    whole.run()
    counts = damped.run()
    assert damped.table() == whole.table()
    assert len(damped.outputs()) == counts.written == written < len(whole.outputs())
    by_id = {event.id: (event.key, event.data, event.time) for event in whole.events()}
    assert all(by_id[event.id] == (event.key, event.data, event.time) for event in damped.events()), "the same ids"


@pytest.mark.parametrize("sizes", [(1,) * 60, (3, 1, 7, 2, 5, 20)])
def test_the_table_does_not_depend_on_the_batches(sizes: tuple[int, ...]) -> None:
    """Batches of other sizes write other updates, down to each one, and leave the same table."""
    whole, damped = counted(Harness, "update"), counted(Harness, "batch")
    whole.run()
    damped.run(sizes)
    assert damped.table() == whole.table()
    if set(sizes) == {1}:
        assert len(damped.outputs()) == len(whole.outputs())


@pytest.mark.parametrize("after", range(0, 30, 3))
def test_a_crash_leaves_the_same_table(after: int) -> None:
    """A kill between any two deliveries, and a restart with other batches, leave the table of a run without one."""
    whole, damped = counted(Harness, "update"), counted(Harness, "batch")
    whole.run()
    try:
        damped.run((5,) * 10, crash_after=after)
    except Crash:
        damped.restart()
        damped.run((9,) * 10)
    assert damped.table() == whole.table()


def test_update_and_batch_keep_the_same_state() -> None:
    """A product may change between `emit: update` and `emit: batch` and go on from its state."""
    shapes = [
        describe(counted(Harness, emit).plan.pipeline, counted(Harness, emit).plan.source)
        for emit in ("update", "batch")
    ]
    assert shapes[0] == shapes[1]
    steps = "  steps: [{aggregate: {by: [user], values: {n: count()}, emit: EMIT}}]\n"
    head = HEAD.replace("[{name: events}]", "[{name: events, key: user, cleanup: compact}]")
    declared = [declared_state(parse_product(head + steps.replace("EMIT", emit))) for emit in ("update", "batch")]
    assert declared[0] == declared[1]


def test_a_port_that_keeps_every_event_is_refused() -> None:
    """An output that is no table cannot be damped: each of its events counts."""
    group = Aggregate(("user",), VALUES, None, "batch")
    with pytest.raises(ProcessError, match="keeps every event"):
        Harness(Pipeline(PLAYS, (group,)), output="listening/out", ports=ports(TOTAL, ("user",), cleanup="delete"))
    with pytest.raises(DescriptorError, match=r"product.yaml:10: process.steps.0.aggregate.emit: .*cleanup: compact"):
        parse_product(HEAD + "  steps: [{aggregate: {by: [user], values: {n: count()}, emit: batch}}]\n")
