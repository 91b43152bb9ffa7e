"""Partitions are added to the input of a processor: it takes them up, or refuses them by name, and leaves none unread."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from meshport.errors import PartitionsAdded
from meshport.kafka.admin import Admin
from meshport.local.cluster import Cluster
from meshport.process.engines import batch, faust
from meshport.process.engines.bounded import BoundedProcessor
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.operators import Aggregate, Apply, Deduplicate, Filter, Operator, Tumbling
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.added_partitions import takes_up, with_added_partitions
from meshport.process.wire.plan import make_plan
from tests.connections import CONNECTIONS
from tests.process.plays import OUT, PLAY, WINDOW, pipeline, play, ports, record
from tests.process.plays import field as avro
from tests.process.topics import Topics
from tests.waiting import PATIENCE_S, wait_for

Run = Callable[..., ProcessorProgress]
ENGINES = pytest.mark.parametrize("run", [batch.run_processor, faust.run_processor], ids=["batch", "faust"])
BY_ARTIST = Aggregate(("artist",), {"plays": "count()"})
BY_USER = Aggregate(("user",), {"plays": "count()"})


def topics_of(kafka: Cluster, logic: Operator, name: str) -> Topics:
    """Return the topics of a processor that counts plays, or lets them pass."""
    counted = isinstance(logic, Aggregate)
    output = record("Count", avro(name, "string"), avro("plays", "long")) if counted else PLAY
    bound = Ports(
        ports(output, (name,), cleanup="compact" if counted else "delete"),
        bootstrap_servers=kafka.bootstrap_servers,
        prefix=f"t{uuid4().hex[:8]}.",
    )
    return Topics(make_plan(pipeline(logic), OUT, bound, kafka=CONNECTIONS), bound)


def plays(begin: int, end: int) -> list[tuple[str, dict[str, object]]]:
    """Return plays of many users and five artists."""
    return [(f"p{each}", play(f"u{each % 50}", f"a{each % 5}")) for each in range(begin, end)]


@ENGINES
@pytest.mark.parametrize(
    ("logic", "name"), [(Filter("ms >= 0"), "user"), (BY_ARTIST, "artist")], ids=["filter", "count"]
)
def test_partitions_that_are_added_are_taken_up(kafka: Cluster, run: Run, logic: Operator, name: str) -> None:
    """Logic without state by the input's partitions reads the new ones from their beginning, while it runs and when it starts."""
    topics = topics_of(kafka, logic, name)
    topics.publish(plays(0, 200))
    stop, failed, seen = threading.Event(), list[BaseException](), list[ProcessorProgress]()

    def work() -> None:
        try:
            run(topics.plan, topics.ports, stop=stop, on_progress=seen.append)
        except BaseException as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        wait_for(lambda: failed or (seen and seen[-1].read == 200), "the first plays")
        Admin(topics.plan.kafka).add_partitions(topics.plan.source.topic, 4)
        topics.publish(plays(200, 600))
        wait_for(lambda: failed or _is_complete(topics, logic, 600), lambda: f"all plays: {seen[-1:]}")
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert failed == []
    topics.publish(plays(600, 700))
    run(topics.plan, topics.ports, until_end=True)
    assert _is_complete(topics, logic, 700)
    topics.log.close()


def _is_complete(topics: Topics, logic: Operator, count: int) -> bool:
    outputs = topics.events(topics.plan.output.topic)
    assert max(Counter(each.id for each in outputs).values(), default=1) == 1
    if isinstance(logic, Aggregate):
        table = {(each.key or b"").decode(): each.data["plays"] for each in outputs}
        return table == Counter(f"a{each % 5}" for each in range(count))
    return len(outputs) == count


@ENGINES
def test_state_by_the_input_s_partitions_refuses_added_ones(kafka: Cluster, run: Run) -> None:
    """Totals by the input's own key would be split: the processor ends with an error that names the way out, at each start."""
    topics = topics_of(kafka, BY_USER, "user")
    topics.publish(plays(0, 100))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            run(topics.plan, topics.ports)
        except BaseException as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_for(lambda: failed or topics.written() >= 50, "the first plays")
    Admin(topics.plan.kafka).add_partitions(topics.plan.source.topic, 4)
    topics.publish(plays(100, 200))
    thread.join(PATIENCE_S)
    with pytest.raises(PartitionsAdded) as started:
        run(topics.plan, topics.ports, until_end=True)
    with pytest.raises(PartitionsAdded) as bounded, BoundedProcessor(topics.plan, topics.ports):
        pass
    for error in (*failed, started.value, bounded.value):
        assert isinstance(error, PartitionsAdded), repr(error)
        assert (error.topic, error.planned, error.found) == (topics.plan.source.topic, 2, 4)
        assert "meshport rebuild player/plays --partitions 4" in str(error.hint)
    assert len(failed) == 1
    topics.log.close()


def test_what_takes_added_partitions_up() -> None:
    """Partitions are taken up where no state is kept by the key or the partition of the input."""
    counts = record("Count", avro("user", "string"), *WINDOW, avro("plays", "long"))
    bound = Ports(ports(counts, ("plays",)))
    hour = Tumbling(timedelta(hours=1))
    logics: dict[bool, list[list[Operator]]] = {
        True: [[Filter("ms > 0")], [BY_ARTIST], [Aggregate(("artist",), {"plays": "count()"}, hour)]],
        False: [
            [BY_USER],
            [Deduplicate(timedelta(hours=1)), BY_ARTIST],
            [Apply(lambda state, _: (state, []), ("user",))],
        ],
    }
    for taken, each in ((taken, logic) for taken, some in logics.items() for logic in some):
        plan = make_plan(pipeline(*each), OUT, bound, kafka=CONNECTIONS)
        assert takes_up(plan) is taken, each
        if taken:
            grown = with_added_partitions(plan, {plan.source.topic: 5})
            assert [stage.partitions for stage in grown.stages[:1]] == [5]
            assert grown.redrive_partitions == 5
        assert with_added_partitions(plan, {plan.source.topic: 2}) is plan
