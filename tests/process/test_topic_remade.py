"""A topic of a processor is deleted and made again: its state is never mixed with another log, running or started again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from meshport.errors import TopicRemade
from meshport.kafka.consumer import Consumer
from meshport.local.cluster import Cluster
from meshport.process.engines import batch, faust
from meshport.process.engines.bounded import BoundedProcessor
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.operators import Aggregate, Filter, Join, Tumbling
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.state.changelog import Checkpoint
from meshport.process.wire.logs import recorded_ids, refuse_other_logs
from meshport.process.wire.plan import Plan, make_plan
from tests.connections import CONNECTIONS
from tests.process.plays import ARTISTS, NOON, OUT, WINDOW, pipeline, ports, record
from tests.process.plays import field as avro
from tests.process.topics import Topics, world
from tests.remade import remake
from tests.waiting import PATIENCE_S, wait_for

Run = Callable[..., ProcessorProgress]
ENGINES = pytest.mark.parametrize("run", [batch.run_processor, faust.run_processor], ids=["batch", "faust"])
TOTAL = record("Total", avro("label", "string"), *WINDOW, avro("plays", "long"))
STATE_TOPICS: dict[str, Callable[[Plan], str]] = {
    "input": lambda plan: plan.source.topic,
    "table": lambda plan: plan.tables[ARTISTS].topic,
    "output": lambda plan: plan.output.topic,
    "redrive": lambda plan: plan.redrive_topic,
    "changelog": lambda plan: plan.stages[0].changelog,
    "repartition": lambda plan: plan.stages[1].topic,
    "repartition changelog": lambda plan: plan.stages[1].changelog,
}
BEFORE = 500


@pytest.fixture
def topics(kafka: Cluster) -> Iterator[Topics]:
    """A processor that joins plays with artists and counts them by the artist's label, with 500 plays processed."""
    joined = pipeline(
        Join(ARTISTS, "artist", {"label": "label"}, "keep"),
        Aggregate(("label",), {"plays": "count()"}, Tumbling(timedelta(hours=1))),
        lateness=timedelta(days=1),
    )
    bound = Ports(
        ports(TOTAL, ("label", "window_start")),
        bootstrap_servers=kafka.bootstrap_servers,
        prefix=f"t{uuid4().hex[:8]}.",
    )
    made = Topics(make_plan(joined, OUT, bound, kafka=CONNECTIONS), bound)
    rows = [(f"r{each}", {"artist": f"a{each}", "label": f"l{each % 3}", "since": NOON}) for each in range(7)]
    made.store(made.plan.tables[ARTISTS], rows)
    made.publish(world(BEFORE))
    yield made
    made.log.close()


@contextmanager
def running(topics: Topics, run: Run) -> Iterator[list[BaseException]]:
    """Run a processor in a thread; what it raised is in the list."""
    stop, failed = threading.Event(), list[BaseException]()
    seen: list[ProcessorProgress] = []

    def work() -> None:
        try:
            run(topics.plan, topics.ports, stop=stop, on_progress=seen.append)
        except BaseException as error:  # noqa: BLE001 - asserted by the test
            failed.append(error)

    thread = threading.Thread(target=work, name="processor", daemon=True)
    thread.start()
    try:
        wait_for(lambda: failed or (seen and seen[-1].read >= BEFORE), lambda: f"plays to be processed: {seen[-1:]}")
        yield failed
    finally:
        stop.set()
        thread.join(PATIENCE_S)


@ENGINES
@pytest.mark.parametrize("after", [10, 500, 800], ids=["shorter", "as long", "longer"])
def test_a_running_processor_ends_when_its_input_is_made_again(topics: Topics, run: Run, after: int) -> None:
    """It ends with an error that names the topic and both logs; started again it refuses its state."""
    source = topics.plan.source.topic
    with running(topics, run) as failed:
        before, now = remake(topics.plan.kafka, source)
        topics.publish(world(after, seed=2, start=10_000))
        wait_for(lambda: failed, "the processor to notice")
    (error,) = failed
    assert isinstance(error, TopicRemade), repr(error)
    assert (error.topic, error.group, error.expected_id, error.found_id) == (source, topics.plan.group, before, now)
    assert "meshport rebuild" in str(error.hint)
    with pytest.raises(TopicRemade) as again:
        run(topics.plan, topics.ports, until_end=True)
    assert again.value.topic == source


@pytest.mark.parametrize("which", [each for each in STATE_TOPICS if each != "input"])
def test_a_running_processor_ends_when_another_topic_of_its_state_is_made_again(topics: Topics, which: str) -> None:
    """The joined table, the output, the redrive and repartition topics and the changelogs are watched as the input is."""
    topic = STATE_TOPICS[which](topics.plan)
    with running(topics, batch.run_processor) as failed:
        remake(topics.plan.kafka, topic)
        wait_for(lambda: failed, "the processor to notice")
    (error,) = failed
    assert isinstance(error, TopicRemade), repr(error)
    assert error.topic == topic


@pytest.mark.parametrize("which", STATE_TOPICS)
def test_a_processor_refuses_state_of_another_log_when_it_starts(
    topics: Topics, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that was made again while the processor was stopped is refused by every engine, and at once."""
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    topic = STATE_TOPICS[which](topics.plan)
    remake(topics.plan.kafka, topic)
    topics.publish(world(BEFORE + 300, seed=2, start=10_000))
    runs: list[Callable[[], Any]] = [
        lambda: batch.run_processor(topics.plan, topics.ports, until_end=True),
        lambda: faust.run_processor(topics.plan, topics.ports, until_end=True),
        lambda: _advance(topics),
    ]
    for start in runs:
        with pytest.raises(TopicRemade) as found:
            start()
        assert found.value.topic == topic
        assert "meshport rebuild" in str(found.value.hint)
    assert "restored again" not in caplog.text  # as after an election, which would mend nothing here


@ENGINES
def test_a_processor_does_not_begin_in_another_log_than_that_of_its_binding(topics: Topics, run: Run) -> None:
    """At its first start a processor has no checkpoint; both engines end where the binding names another topic id."""
    earlier = topics.plan.source.model_copy(update={"topic_id": "A" * 22})
    with pytest.raises(TopicRemade, match="is bound to the earlier one") as found:
        run(replace(topics.plan, source=earlier), topics.ports, until_end=True)
    assert (found.value.topic, found.value.expected_id) == (earlier.topic, "A" * 22)


def _advance(topics: Topics) -> None:
    with BoundedProcessor(topics.plan, topics.ports) as processor:
        processor.advance_to({})
        assert processor.next_offsets


def test_a_state_without_its_changelog_is_not_begun_anew(kafka: Cluster) -> None:
    """A changelog that was made again is empty, as of a new product; the offsets of the group tell the two apart."""
    bound = Ports(
        ports(record("User", avro("user", "string"), avro("plays", "long")), ("user",)),
        bootstrap_servers=kafka.bootstrap_servers,
        prefix=f"t{uuid4().hex[:8]}.",
    )
    plan = make_plan(pipeline(Aggregate(("user",), {"plays": "count()"})), OUT, bound, kafka=CONNECTIONS)
    topics = Topics(plan, bound)
    topics.publish(world(50))
    batch.run_processor(plan, bound, until_end=True)
    remake(plan.kafka, plan.stages[0].changelog)
    with pytest.raises(TopicRemade, match="holds no state") as found:
        batch.run_processor(plan, bound, until_end=True)
    assert (found.value.topic, found.value.group) == (plan.stages[0].changelog, plan.group)
    with Consumer(plan.kafka, group=plan.group) as group:  # as the hint says: count from the beginning
        group.commit(plan.source.topic, dict.fromkeys(range(plan.source.partitions), 0))
    assert batch.run_processor(plan, bound, until_end=True).read == len(world(50))
    topics.log.close()


def test_a_quarantine_topic_that_is_made_again_is_reported(topics: Topics, caplog: pytest.LogCaptureFixture) -> None:
    """The processor only appends to its quarantine and late topics: it warns that their events are gone, and goes on."""
    with running(topics, batch.run_processor) as failed:
        remake(topics.plan.kafka, topics.plan.quarantine_topic)
        wait_for(lambda: "the events that it held are gone" in caplog.text, "the warning")
        topics.publish(world(10, seed=2, start=10_000))
        wait_for(lambda: batch_is_processed(topics), "more plays to be processed")
    assert failed == []


def batch_is_processed(topics: Topics) -> bool:
    """Return whether the group has committed all of the input."""
    with Consumer(topics.plan.kafka, group=topics.plan.group) as group:
        ends = group.end_offsets(topics.plan.source.topic)
        return group.committed(topics.plan.source.topic) == ends


def test_checkpoints_of_earlier_versions_are_taken_up() -> None:
    """A checkpoint that names no logs refuses none, and one that names some keeps them through its record."""
    old = Checkpoint(5, 7, {}, 3, 9, "shape")
    bound = Ports(ports(TOTAL, ("label", "window_start")))
    plan = make_plan(pipeline(Filter("ms >= 0")), OUT, bound, kafka=CONNECTIONS)
    present = recorded_ids(
        plan, {plan.source.topic: "A", plan.output.topic: "B", plan.stages[0].changelog: "C", "x": "D"}
    )
    assert present == {plan.source.topic: "A", "": "B", ".changelog": "C"}
    refuse_other_logs(plan, plan.stages[0], 0, old, present)
    new = replace(old, logs=present)
    assert Checkpoint.read(new.to_record().value or b"") == new
    refuse_other_logs(plan, plan.stages[0], 0, new, present)
    refuse_other_logs(plan, plan.stages[0], 0, new, {})  # a cluster that gives no ids
    for name, topic in (("", plan.output.topic), (".changelog", plan.stages[0].changelog)):
        with pytest.raises(TopicRemade) as found:
            refuse_other_logs(plan, plan.stages[0], 0, new, present | {name: "another"})
        assert (found.value.topic, found.value.offset) == (topic, None)
    with pytest.raises(TopicRemade) as found:
        refuse_other_logs(plan, plan.stages[0], 1, new, present | {plan.source.topic: "another"})
    assert (found.value.topic, found.value.partition, found.value.offset) == (plan.source.topic, 1, 6)


@pytest.mark.parametrize("which", ["source", "table"])
def test_a_processor_that_starts_for_the_first_time_compares_with_the_bindings(which: str) -> None:
    """Without a checkpoint that names the log, an input or a table whose binding names another topic id is refused."""
    joined = pipeline(Join(ARTISTS, "artist", {"label": "label"}, "keep"), Filter("ms >= 0"))
    plan = make_plan(joined, OUT, Ports(ports(TOTAL, ("label", "window_start"))), kafka=CONNECTIONS)
    first = Checkpoint(-1, 0, {}, 0, 0, "shape")
    read = plan.source if which == "source" else plan.tables[ARTISTS]
    bound = read.model_copy(update={"topic_id": "A"})
    plan = replace(plan, **({"source": bound} if which == "source" else {"tables": {ARTISTS: bound}}))
    for present in ({read.topic: "A"}, {}):  # the same topic, and a cluster that gives no ids
        refuse_other_logs(plan, plan.stages[0], 0, first, present)
    with pytest.raises(TopicRemade, match=f"{read.address} is bound to the earlier one") as found:
        refuse_other_logs(plan, plan.stages[0], 0, first, {read.topic: "B"})
    facts = found.value
    assert (facts.topic, facts.group, facts.expected_id, facts.found_id) == (read.topic, plan.group, "A", "B")
    assert "meshport apply" in str(facts.hint)
    refuse_other_logs(plan, plan.stages[0], 0, replace(first, logs={read.topic: "B"}), {read.topic: "B"})
