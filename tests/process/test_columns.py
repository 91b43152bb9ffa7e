"""Processing over columns and event by event: the same input gives the same bytes and the same state."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Literal

import pytest

from meshport.event.record import record_key
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.columns import columns_for
from meshport.process.columns.group import ColumnarGroup
from meshport.process.columns.source import ColumnarSource
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Flatten,
    Hopping,
    Join,
    Occurrence,
    Operator,
    Rename,
    Select,
    Tumbling,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.process.logic.shape import derive_schema
from meshport.process.runtime.worker import Worker
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.schema import parse_schema
from tests.process.plays import ARTIST, ARTISTS, INSTANT, OUT, PLAY, PLAYS, at, play, record
from tests.process.plays import field as avro
from tests.process.scenarios import SCENARIOS, Outcome

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")
VALUES: Final = (
    "count()", "sum(ms)", "sum(quality)", "mean(ms)", "mean(quality)", "min(ms)", "max(ms)", "min(at)", "max(quality)",
    "first(artist)", "last(quality)", "first(at)", "distinct(artist)", "collect(artist)", "max(artist)", "last(rank)",
    "sum(rank)", "min(rank)",
)  # fmt: skip
FIELDS: Final = {
    "type": "record",
    "name": "Play",
    "fields": [*PLAY["fields"], {"name": "rank", "type": ["null", "int"], "default": None}],
}


TOTALS: Final = record(
    "Total", avro("user", "string"), avro("ms", "long"), avro("mean", ["null", "double"]), avro("at", INSTANT)
)


def totals(state: Any, event: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """A running total that starts over now and then, emits nothing or twice, and fails for some events."""
    data = event.data
    if data["ms"] == 77:
        raise ValueError("77")
    seen, ms = state or (0, 0)
    if data["ms"] > 950:
        return None, []
    mean = None if not seen else ms / seen if seen % 2 else seen
    made = {"user": str(event.key[0]), "ms": ms + data["ms"], "mean": mean, "at": event.time}
    return [seen + 1, ms + data["ms"]], [made] * (data["ms"] % 3)


class ByColumns(Harness):
    """The harness with a worker that uses columns wherever it can."""

    def _new_worker(self) -> Worker:
        worker = Worker(self.plan, self.ports, self.log, columns_for(self.plan, self.ports))
        for stage in self.plan.stages:
            for partition in range(stage.partitions):
                worker.assign(TopicPartition(stage.topic, partition))
        return worker


def ports_for(pipeline: Pipeline) -> dict[str, Port]:
    """Return the ports of a pipeline over plays; the output's schema is derived from the pipeline."""
    if isinstance(pipeline.grouping, Apply):
        return {**_inputs(), str(OUT): Port(TOTALS, key=("user",), partitions=2)}
    source, artist = parse_schema(json.dumps(FIELDS)), parse_schema(json.dumps(ARTIST))
    made = derive_schema(pipeline, "Out", source, {ARTISTS: artist})
    key = next(name for name in ("user", "listener", "artist") if name in made.field_names)
    return {**_inputs(), str(OUT): Port(made.form, key=(key,), partitions=2)}


def _inputs() -> dict[str, Port]:
    return {
        str(PLAYS): Port(FIELDS, key=("user",), time="at", partitions=2),
        str(ARTISTS): Port(ARTIST, key=("artist",), time="since", partitions=2, cleanup="compact"),
    }


def drawn_pipeline(draw: random.Random) -> Pipeline:
    """Draw a pipeline of operators that columns support."""
    before: list[Operator] = []
    if draw.random() < 0.4:
        before.append(
            Filter(draw.choice(["ms >= 300", "quality is not None", "rank > 2 or ms < 400", "artist != 'a2'"]))
        )
    if draw.random() < 0.4:
        before.append(Derive({"twice": "ms * 2", "seconds": "ms / 1000", "name": "artist + '!'"}))
    if draw.random() < 0.3:
        before.append(Flatten("tags"))
    if draw.random() < 0.3:
        before.append(Join(ARTISTS, "artist", {"label": "label"}, draw.choice(["quarantine", "keep", "drop"])))
    if draw.random() < 0.3:
        seen = Deduplicate(timedelta(minutes=20), draw.choice([(), ("user", "ms")]))
        before.insert(draw.randint(0, len(before)), seen)
    lateness = timedelta(minutes=draw.choice([0, 5, 60]))
    if draw.random() < 0.3:
        kept = ("user", "ms", "at", *(("twice",) if any(isinstance(each, Derive) for each in before) else ()))
        return Pipeline(PLAYS, (*before, Select(kept), Rename({"user": "listener"})), lateness)
    if draw.random() < 0.2:
        return Pipeline(
            PLAYS, (*before, Select(("user", "ms", "at")), Apply(totals, draw.choice([("user",), ("ms",)]))), lateness
        )
    window = draw.choice(
        [None, Tumbling(timedelta(minutes=7)), Hopping(timedelta(minutes=10), timedelta(minutes=4)),
         Hopping(timedelta(minutes=3), timedelta(minutes=5))]
    )  # fmt: skip
    values = {f"v{number}": text for number, text in enumerate(draw.sample(VALUES, draw.randint(1, 6)))}
    emit: Literal["update", "close"] = "close" if window and draw.random() < 0.5 else "update"
    group = Aggregate(
        draw.choice([("user",), ("user", "artist"), ("artist", "user", "rank"), ("artist",)]), values, window, emit
    )
    after: list[Operator] = [Filter("v0 is not None")] if draw.random() < 0.3 else []
    return Pipeline(PLAYS, (*before, group, *after), lateness)


def fill(harness: Harness, draw: random.Random, events: int) -> None:
    """Publish plays out of order, late, ahead of time and twice, with poison among them."""
    for name in ("a0", "a1", "a2"):
        harness.publish(str(ARTISTS), {"artist": name, "label": draw.choice([None, "x"]), "since": at(-99)})
        harness.publish(str(ARTISTS), {"artist": name, "label": "y", "since": at(20)})
    minute = 0.0
    for number in range(events):
        minute += draw.random() / 5
        user = f"u{draw.randrange(5)}"
        time = at(minute - draw.choice([0, 0, 0, 3, 30]))
        record = play(
            user,
            draw.choice(["a0", "a1", "a2"]) if draw.random() < 0.99 else "a9",
            ms=draw.randrange(1000),
            quality=draw.choice([None, draw.random(), 0.1, -0.0]),
            tags=[f"t{each}" for each in range(draw.randrange(3))],
            at=time,
            rank=draw.choice([None, draw.randrange(5)]),
        )
        stored_at = int(at(minute).timestamp() * 1000) - (90_000_000 if draw.random() < 0.01 else 0)
        for _ in range(2 if draw.random() < 0.05 else 1):
            harness.publish(str(PLAYS), record, id=f"p{number}", timestamp_ms=stored_at)
        if draw.random() < 0.01:
            poison = harness.log.topic(harness.plan.source.topic)
            good = poison[0][-1] if poison[0] else poison[1][-1]
            value = draw.choice([None, b"", (good.value or b"")[:-3], (good.value or b"") + b"\0", b"\0\0\0\0\7x"])
            harness.store(Message(good.topic, good.key, value, good.headers, stored_at, draw.randrange(2)))


def left(harness: Harness) -> dict[str, list[InputMessage]]:
    """Return the messages of the output, late and quarantine topics."""
    plan = harness.plan
    topics = (plan.output.topic, plan.late_topic, plan.quarantine_topic)
    return {topic: list(map(_lasting, harness.outputs(topic))) for topic in topics}


def _lasting(message: InputMessage) -> InputMessage:
    """Return a message without the recorded time of a window, which depends on when its partitions are read."""
    if not any(name == "ce_id" and UUID.match((value or b"").decode()) for name, value in message.headers):
        return message
    return message._replace(headers=[each for each in message.headers if each[0] != "ce_recordedtime"])


def state(harness: Harness) -> list[Any]:
    """Return the state that a restart would restore; only a source stage has offsets that both ways share."""
    found: list[Any] = []
    for index, stage in enumerate(harness.plan.stages):
        for partition in range(stage.partitions):
            rows, checkpoint = StateRows.restore(harness.log.entries(stage.changelog, partition))
            found.append((dict(rows.items()), checkpoint if not index else checkpoint.sources))
    return found


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the spans that were computed over columns."""
    sizes: list[int] = []
    inner: Callable[..., Any] = ColumnarSource._compute

    def counted(self: ColumnarSource, *given: Any) -> Any:
        made = inner(self, *given)
        sizes.append(len(given[-1]))
        return made

    monkeypatch.setattr(ColumnarSource, "_compute", counted)
    return sizes


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches of re-keyed records that were grouped over columns."""
    sizes: list[int] = []
    inner: Callable[..., Any] = ColumnarGroup.process

    def counted(self: ColumnarGroup, batch: Any) -> Any:
        grouped = inner(self, batch)
        sizes.append(0 if grouped is None else len(batch.records))
        return grouped

    monkeypatch.setattr(ColumnarGroup, "process", counted)
    return sizes


@pytest.mark.parametrize("seed", range(60))
def test_columns_give_the_bytes_of_rows(seed: int, batches: list[int], groups: list[int]) -> None:
    """A random pipeline gives the same outputs, late events, quarantine and state over columns and row by row."""
    draw = random.Random(seed)
    pipeline = drawn_pipeline(draw)
    ports = Ports(ports_for(pipeline))
    rows, columns = (kind(pipeline, output=str(OUT), ports=ports) for kind in (Harness, ByColumns))
    for harness in (rows, columns):
        fill(harness, random.Random(seed), 400)
    # The stages of a re-keyed pipeline see partitions interleaved by the sizes of batches.
    sizes = [] if rows.plan.rekeyed else [draw.choice([1, 40, 70, 200]) for _ in range(12)]
    assert rows.run(sizes) == columns.run(sizes)
    assert left(columns) == left(rows)
    assert state(columns) == state(rows)
    assert sum(batches) > 150
    assert sum(groups) > 50 or not columns.plan.rekeyed


def test_decimals_go_to_a_port_of_fewer_digits(batches: list[int]) -> None:
    """A sum of decimals is written over columns while it fits the port's six digits, and quarantined as by rows beyond."""
    price, total = (
        {"type": "bytes", "logicalType": "decimal", "precision": digits, "scale": scale}
        for digits, scale in ((9, 2), (6, 3))
    )
    given = record("Sale", avro("user", "string"), avro("price", price), avro("at", INSTANT))
    ports = Ports(
        {
            str(PLAYS): Port(given, key=("user",), time="at"),
            str(OUT): Port(record("Total", avro("user", "string"), avro("total", total)), key=("user",)),
        }
    )
    pipeline = Pipeline(PLAYS, (Aggregate(("user",), {"total": "sum(price)"}),), timedelta(minutes=1))
    rows, columns = (kind(pipeline, output=str(OUT), ports=ports) for kind in (Harness, ByColumns))
    for harness in (rows, columns):
        for number in range(200):
            harness.publish(str(PLAYS), {"user": "u1", "price": Decimal("1.25"), "at": at(number)}, id=f"p{number}")
        assert harness.run().quarantined == 0
        for number in range(200, 900):
            harness.publish(str(PLAYS), {"user": "u1", "price": Decimal("1.25"), "at": at(number)}, id=f"p{number}")
        assert harness.run().quarantined == 101
    assert left(columns) == left(rows)
    assert state(columns) == state(rows)
    assert sum(batches) >= 200


def test_keys_are_those_of_the_stored_values(batches: list[int]) -> None:
    """Rows of a joined product are found by an equal value, and outputs keyed by stored ones, over columns and row by row."""
    tenths, cents = ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": scale} for scale in (1, 2))
    exact = {"type": "long", "logicalType": "timestamp-micros"}
    sale = record("Sale", avro("price", tenths), avro("n", "int"), avro("at", exact))
    output = record(
        "Band", avro("price", cents), avro("n", "double"), avro("at", INSTANT), avro("label", ["null", "string"])
    )
    band = record("Price", avro("price", cents), avro("label", ["null", "string"]), avro("since", INSTANT))
    ports = Ports(
        {
            str(PLAYS): Port(sale, key=("n",), time="at"),
            str(ARTISTS): Port(band, key=("price",), time="since", cleanup="compact"),
            str(OUT): Port(output, key=("at", "price", "n")),
        }
    )
    pipeline = Pipeline(PLAYS, (Join(ARTISTS, "price", {"label": "label"}, "keep"),), timedelta(minutes=1))
    rows, columns = (kind(pipeline, output=str(OUT), ports=ports) for kind in (Harness, ByColumns))
    for harness in (rows, columns):
        harness.publish(str(ARTISTS), {"price": Decimal("1.5"), "label": "low", "since": at(-1)})
        for number in range(200):
            time = at(number) + timedelta(microseconds=number)
            harness.publish(str(PLAYS), {"price": Decimal("1.5"), "n": number, "at": time}, id=f"p{number}")
        assert harness.run().quarantined == 0
        assert {each["label"] for each in harness.records()} == {"low"}
        key_of = record_key(("at", "price", "n"))
        assert [each.key for each in harness.outputs(harness.plan.output.topic)] == list(map(key_of, harness.records()))
    assert left(columns) == left(rows)
    assert sum(batches) >= 200


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_by_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scenario holds over columns with the same bytes, however few the events are."""
    for module in ("meshport.process.stages.source", "meshport.process.columns.source"):
        monkeypatch.setattr(f"{module}.FEW", 2)
    monkeypatch.setattr("meshport.event.columns._FEW", 2)
    scenario = SCENARIOS[name]
    ports = Ports(scenario.ports)
    rows, columns = (kind(scenario.pipeline, output=str(OUT), ports=ports) for kind in (Harness, ByColumns))
    for harness in (rows, columns):
        scenario.fill(harness)
        harness.run()
    scenario.check(Outcome(ports, columns.outputs(), columns.late(), columns.quarantine()))
    assert left(columns) == left(rows)
    assert state(columns) == state(rows)
