"""One publisher that 50 threads and 50 tasks share, while its broker is stopped, killed or slowed: a ledger of every outcome."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from meshport.errors import DeliveryUnknown, MeshError, PublishError
from meshport.kafka.producer import Message, Producer
from meshport.kafka.undelivered import Undelivered
from meshport.local.embedded import EmbeddedKafka
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from tests.connections import CONNECTIONS, Connections, client_settings, connection
from tests.mesh_session import Mesh, open_test_mesh
from tests.ports.readings import reading
from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S, wait_for

CALLERS: Final = 50
EVENTS: Final = 6
# The client gives an event up after this time; librdkafka's default is five minutes.
GIVEN_UP: Final = {"message.timeout.ms": 3000, "linger.ms": 0, "socket.timeout.ms": 2000}
# A broker that takes less than the client sends: each caller's largest event is refused by it.
LARGEST: Final = 100_000


@pytest.fixture(scope="module")
def broker(kafka_cache: Path) -> Iterator[EmbeddedKafka]:
    """A broker of these tests' own, which they stop and kill."""
    with EmbeddedKafka(cache_dir=kafka_cache) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh over that broker."""
    with open_test_mesh(tmp_path_factory.mktemp("shared"), broker.bootstrap_servers) as mesh:
        yield mesh


@pytest.fixture
def own_mesh(opened: Mesh) -> Mesh:
    """The mesh, with an admin client that was made after the last fault.

    A broker that was stopped for longer than its lease is fenced at first, and names no broker in its metadata. librdkafka
    2.16 then forgets the broker that it knows, and asks the bootstrap servers again only after five minutes (KIP-1102).
    """
    return replace(opened)


@contextmanager
def stopped(broker: EmbeddedKafka) -> Iterator[None]:
    """The broker is stopped by SIGSTOP: it holds its connections and answers nothing."""
    pid = broker.pids[1]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def killed(broker: EmbeddedKafka) -> Iterator[None]:
    """The broker is killed, and started again at the end."""
    broker.kill(1)
    wait_for(lambda: not broker.pids, "the broker to be gone")
    try:
        yield
    finally:
        broker.restart(1)


@contextmanager
def slowed(broker: EmbeddedKafka) -> Iterator[None]:
    """The broker runs for a fiftieth of a second, and is stopped for a second, in turn."""
    pid, over = broker.pids[1], threading.Event()

    def slow() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(1.0)
            os.kill(pid, signal.SIGCONT)
            over.wait(0.02)

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


FAULTS: Final[dict[str, Callable[[EmbeddedKafka], Any]]] = {"stopped": stopped, "killed": killed, "slowed": slowed}


class Ledger:
    """What callers were told of each event, by its id, or by its number where it has no id that they know."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.way_of: dict[str, str] = {}
        self.ways: Counter[tuple[str, str]] = Counter()

    def enter(self, way: str, event: str, outcome: str) -> None:
        """Enter what was told of an event that was published in some way."""
        assert event not in self.told
        self.told[event] = outcome
        self.way_of[event] = way
        self.ways[way, outcome] += 1

    def of_receipt(self, way: str, event: str, error: BaseException | None) -> None:
        """Enter what a receipt said."""
        self.enter(way, event, "stored" if error is None else _outcome(error))

    def of_flush(self, way: str, event: str, flush: Callable[[], int]) -> None:
        """Enter what a flush says of an event that was handed in before it: if its error does not name it, it is stored."""
        try:
            flush()
        except MeshError as error:
            self.enter(way, event, _outcome(error) if event in error.ids else "stored")  # type: ignore[attr-defined]
        else:
            self.enter(way, event, "stored")

    def wrong(self, there: Counter[str]) -> list[str]:
        """What was told, and is not so: stored but not there, refused but there; or there twice without an event given up.

        After the client has given an event up, it numbers those in flight anew, so that the broker cannot recognise one that
        it has stored already (librdkafka#4953).
        """
        repeats = 1 if "unknown" not in self.told.values() else max(there.values(), default=1)
        right = {"stored": range(1, repeats + 1), "refused": range(1), "unknown": range(repeats + 1)}
        return [
            f"{event} ({self.way_of[event]}) is {outcome}, and {there[event]} times in the topic"
            for event, outcome in self.told.items()
            if there[event] not in right[outcome]
        ]

    def __str__(self) -> str:
        ways = sorted({way for way, _ in self.ways})
        outcomes = ("stored", "refused", "unknown")
        return "\n".join(
            f"  {way:34}" + "".join(f"{self.ways[way, each]:8} {each}" for each in outcomes) for way in ways
        )


def _outcome(error: BaseException) -> str:
    if isinstance(error, DeliveryUnknown):
        return "unknown"
    assert isinstance(error, MeshError), error
    return "refused"


class Callers:
    """Threads, and tasks of one event loop, that share a publisher and enter what they are told in a ledger."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.ledger = Ledger()
        self._numbers = iter(range(10**9))
        self._threads = ThreadPoolExecutor(CALLERS)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(CALLERS))
        self._running = threading.Thread(target=self._loop.run_forever)
        self._running.start()

    def publish(self) -> list[Future[None]]:
        """Have each thread and each task publish its events, in every way that it can."""
        threads = [self._threads.submit(self._thread, number) for number in range(CALLERS)]
        tasks = [asyncio.run_coroutine_threadsafe(self._task(number), self._loop) for number in range(CALLERS)]
        return threads + tasks

    def close(self) -> None:
        """End the threads and the loop."""
        self._threads.shutdown()
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._running.join()
        self._loop.close()

    def _record(self, large: bool) -> dict[str, Any]:
        return reading(next(self._numbers)) | ({"note": "x" * 2 * LARGEST} if large else {})

    def _thread(self, caller: int) -> None:
        publisher, ledger = self.publisher, self.ledger
        for turn in range(EVENTS):
            record = self._record(large=turn == caller % 25)
            match (caller + turn) % 4:
                case 0:
                    receipt = publisher.submit(record)
                    ledger.of_receipt("thread: receipt", receipt.id, _error(receipt.result))
                case 1:
                    ledger.of_flush("thread: flush", publisher.publish(record), publisher.flush)
                case 2:
                    gone = publisher.submit_retraction({"sensor": record["sensor"]})
                    ledger.of_receipt("thread: retraction", gone.id, _error(gone.result))
                case _:
                    self._batch([record, self._record(large=False)])

    def _batch(self, records: list[dict[str, Any]]) -> None:
        report = self.publisher.publish_batch(records)
        told = dict.fromkeys((each.index for each in report.refused), "refused")
        told |= dict.fromkeys((each.index for each in report.unknown), "unknown")
        for index, record in enumerate(records):
            self.ledger.enter("thread: batch", str(record["celsius"]), told.get(index, "stored"))

    async def _task(self, caller: int) -> None:
        publisher, ledger = self.publisher, self.ledger
        for turn in range(EVENTS):
            record = self._record(large=turn == caller % 25)
            match (caller + turn) % 4:
                case 0:
                    receipt = publisher.submit(record)
                    error: BaseException | None = None
                    try:
                        await receipt
                    except MeshError as failed:
                        error = failed
                    ledger.of_receipt("task: receipt", receipt.id, error)
                case 1:
                    id = publisher.publish(record)
                    await asyncio.to_thread(ledger.of_flush, "task: to_thread(flush)", id, publisher.flush)
                case 2:
                    await asyncio.to_thread(self._handle, "task: to_thread(publish, flush)", record)
                case _:
                    id = await asyncio.to_thread(publisher.publish, record)
                    await asyncio.to_thread(ledger.of_flush, "task: to_thread(publish), (flush)", id, publisher.flush)

    def _handle(self, way: str, record: dict[str, Any]) -> None:
        self.ledger.of_flush(way, self.publisher.publish(record), self.publisher.flush)


def _error(result: Callable[[], object]) -> MeshError | None:
    try:
        result()
    except MeshError as error:
        return error
    return None


def limit(mesh: Mesh, topic: str, largest: int = LARGEST) -> None:
    """Have the broker refuse messages over so many bytes in a topic."""
    resource = ConfigResource(
        ConfigResource.Type.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("max.message.bytes", str(largest), incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin = AdminClient({**client_settings(mesh.bootstrap_servers), "log_level": 0})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(PATIENCE_S)


def in_the_topic(mesh: Mesh, address: Any) -> Counter[str]:
    """How often each id and each number is in the topic."""
    found: Counter[str] = Counter()
    with Replay(address, mesh.registry, kafka=CONNECTIONS) as replay:
        for event in replay.history():
            found[event.id] += 1
            if not event.is_tombstone:
                found[str(event.data["celsius"])] += 1
    return found


@repeated
@pytest.mark.kafka
@pytest.mark.parametrize("fault", FAULTS)
def test_every_outcome_is_true(fault: str, broker: EmbeddedKafka, own_mesh: Mesh) -> None:
    """Whatever way an event is published, stored means in the topic, and refused means not in the topic."""
    binding = own_mesh.product()
    limit(own_mesh, binding.topic)
    publisher = Publisher(binding.address, own_mesh.registry, kafka=Connections(GIVEN_UP))
    publisher.submit(reading(-1)).result(PATIENCE_S)
    callers = Callers(publisher)
    try:
        for _ in range(repeats(suite=1, campaign=10)):
            begun = len(callers.ledger.told) + CALLERS
            running = callers.publish()
            _wait_for_events(callers.ledger, begun)
            with FAULTS[fault](broker):
                _wait(running)
            _wait(callers.publish())
    finally:
        callers.close()
    publisher.close()
    there = in_the_topic(own_mesh, binding.address)
    print(f"\n{fault}: {len(callers.ledger.told)} events\n{callers.ledger}")  # noqa: T201 - the ledger, with `pytest -s`
    assert callers.ledger.wrong(there) == []
    assert {outcome for _, outcome in callers.ledger.ways} >= {"stored", "refused"}


def _wait_for_events(ledger: Ledger, count: int) -> None:
    wait_for(lambda: len(ledger.told) >= count, "some events to be published")


def _wait(running: list[Future[None]]) -> None:
    done, waiting = wait_for_all(running, PATIENCE_S)
    assert not waiting, f"{len(waiting)} callers still wait"
    for each in done:
        each.result()


def large(number: int) -> dict[str, Any]:
    """Return a record that alone is larger than `LARGEST`, also when it is compressed."""
    return reading(number) | {"note": random.Random(number).randbytes(2 * LARGEST).hex()}


@pytest.fixture(scope="module")
def after_a_loss(broker: EmbeddedKafka, opened: Mesh) -> Iterator[dict[str, Publisher]]:
    """Publishers that have lost their connections and have others, by name; what their topics took since is known to them.

    The topic of "higher" takes ten times `LARGEST`, the others `LARGEST`.
    """
    properties: dict[str, dict[str, Any]] = {
        "plain": {"linger.ms": 900},
        "higher": {},
        "compressing": {"compression.type": "gzip"},
    }
    own_mesh = replace(opened)
    with ExitStack() as open_publishers:
        publishers = {}
        for name, given in properties.items():
            binding = own_mesh.product(partitions=1)
            limit(own_mesh, binding.topic, 10 * LARGEST if name == "higher" else LARGEST)
            kafka = Connections({"reconnect.backoff.max.ms": 1000, **given})
            publishers[name] = open_publishers.enter_context(Publisher(binding.address, own_mesh.registry, kafka=kafka))
            publishers[name].submit(reading(-1)).result(PATIENCE_S)
        producers = [(each._producer, each.binding.topic) for each in publishers.values()]
        with killed(broker):
            waiting = [each.submit(reading(-2)) for each in publishers.values()]
            wait_for(
                lambda: all(each._doubted_at > 0 for each, _ in producers), "the clients to lose their connections"
            )
        for receipt in waiting:
            receipt.result(PATIENCE_S)
        wait_for(lambda: all(_limits(*each) for each in producers), "the limits of the topics")
        yield publishers


def _limits(producer: Producer, topic: str) -> list[int]:
    return [each.limit for each in producer._limits.answers(topic) if each.limit is not None]


@pytest.mark.kafka
def test_an_event_too_large_by_itself_is_refused_after_a_lost_connection(after_a_loss: dict[str, Publisher]) -> None:
    """No broker can have stored it. Events that were refused with their batch only may be stored by an earlier request."""
    publisher = after_a_loss["plain"]
    with pytest.raises(PublishError, match=f"the topic takes {LARGEST}"):
        publisher.submit(large(1)).result(PATIENCE_S)
    fitting = [reading(number) | {"note": "x" * (LARGEST // 10)} for number in range(20)]
    report = publisher.publish_batch([*fitting, large(2)])
    assert [failure.index for failure in report.refused] == [20]
    assert [failure.index for failure in report.unknown] == list(range(20))
    assert "may have been stored before a connection was lost" in str(report.unknown[0].error)


@pytest.mark.kafka
def test_an_event_that_its_topic_took_before_is_unknown(after_a_loss: dict[str, Publisher], own_mesh: Mesh) -> None:
    """After a lost connection and a lower limit, an earlier request may have stored it; one published later was never taken."""
    publisher = after_a_loss["higher"]
    limit(own_mesh, publisher.binding.topic)
    with pytest.raises(DeliveryUnknown, match="may have been stored before a connection was lost"):
        publisher.submit(large(1)).result(PATIENCE_S)
    with pytest.raises(PublishError, match=f"the topic takes {LARGEST}"):
        publisher.submit(large(1)).result(PATIENCE_S)


@pytest.mark.kafka
def test_an_event_that_is_compressed_is_unknown(after_a_loss: dict[str, Publisher]) -> None:
    """After a lost connection, the size of an event does not tell whether its topic took it from a client that compresses."""
    with pytest.raises(DeliveryUnknown, match="may have been stored before a connection was lost"):
        after_a_loss["compressing"].submit(large(1)).result(PATIENCE_S)


@pytest.mark.kafka
def test_a_delivery_callback_waits_for_no_broker(own_mesh: Mesh) -> None:
    """The limit of the topic is asked for outside of the callback; the outcome is decided once it is known."""
    binding = own_mesh.product()
    limit(own_mesh, binding.topic)
    found: list[tuple[bool, Undelivered]] = []
    with Producer(connection(binding.bootstrap_servers)) as producer:

        def reported(error: Any, message: Any) -> None:
            failure = producer.undelivered(error, message)
            found.append((failure.decided, failure))

        producer.produce(binding.topic, b"x" * 2 * LARGEST, b"key", on_delivery=reported)
        wait_for(lambda: producer.push(0.1) == 0, "the report")
        ((decided, failure),) = found
        assert not decided
        failure.wait(PATIENCE_S)
        assert failure.decided
        assert f"the topic takes {LARGEST}" in str(failure.error())
        with pytest.raises(PublishError, match=f"the topic takes {LARGEST}"):
            producer.deliver([Message(binding.topic, b"key", b"x" * 2 * LARGEST)])
