"""The batch engine on a real Kafka: kills, zombies, rebalances, fencing, commits that fail."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.errors import KafkaError, ProcessError, TransactionAborted
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Member, Transactions
from meshport.local.cluster import Cluster
from meshport.metrics.readiness import Readiness
from meshport.process import columns
from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.runtime import commit_pipeline, watchdog
from meshport.process.runtime.checkpoints import latest_checkpoints, readable_ends
from meshport.process.runtime.gc_tuning import infrequent_gc
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from tests.process.members import a_second_member, a_second_producer, member_one
from tests.process.processor import mesh
from tests.process.topics import Topics, check, members_come_and_go, world
from tests.waiting import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]
OUT = "listening.out.events.v1"


@pytest.fixture
def topics(kafka: Cluster) -> Iterator[Topics]:
    """The processor of `tests.process.processor`, with topics of its own."""
    made = Topics(*mesh(kafka.bootstrap_servers, f"t{uuid4().hex[:8]}."))
    yield made
    made.log.close()


@contextmanager
def processor(topics: Topics, member: str) -> Iterator[subprocess.Popen[bytes]]:
    """The processor as a process of its own; killed at the end."""
    plan = topics.plan
    command = [sys.executable, "-m", "tests.process.processor", plan.output.bootstrap_servers]
    process = subprocess.Popen([*command, plan.output.topic.removesuffix(OUT), "batch", member], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def written(topics: Topics, count: int) -> bool:
    """Whether the output has so many offsets for committed readers, markers of transactions included."""
    return topics.written() >= count


def check_once(topics: Topics) -> None:
    """Run `check`; and committed readers see each output once."""
    check(topics)
    ids = [event.id for event in topics.events(topics.plan.output.topic)]
    assert len(ids) == len(set(ids)) > 0


def test_totals_survive_kills(topics: Topics) -> None:
    """After two SIGKILLs the totals are those of a recount, and committed readers see no output twice."""
    kills = 0
    for number in range(2):  # tests/campaigns kills it at each named point
        topics.publish(world(10_000, seed=number, start=10_000 * number))
        before = topics.written()
        with processor(topics, "one") as process:
            wait_for(partial(written, topics, before + 1), pause_s=0.01)
            assert process.poll() is None
            process.kill()
            kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    batch.run_processor(topics.plan, topics.ports, until_end=True, member="one")
    check_once(topics)


def test_a_zombie_does_no_harm(topics: Topics) -> None:
    """A process that is stopped, loses its partitions and is continued neither loses nor repeats an output."""
    topics.publish(world(12_000))
    with processor(topics, "") as process:
        wait_for(partial(written, topics, 1), pause_s=0.01)
        process.send_signal(signal.SIGSTOP)
        before = topics.written()
        batch.run_processor(topics.plan, topics.ports, until_end=True)
        assert before < topics.written()
        process.send_signal(signal.SIGCONT)
        topics.publish(world(200, seed=2, start=12_000))
        # It joins its group again, or ends with an error.
        after = topics.written()
        wait_for(lambda: process.poll() is not None or topics.written() > after)
        process.terminate()
        process.wait(PATIENCE_S)
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    check_once(topics)


def test_members_come_and_go(topics: Topics) -> None:
    """No play is lost or counted twice while a second member joins and the first one leaves."""
    members_come_and_go(topics, batch.run_processor)
    check_once(topics)


def test_engines_take_over_from_each_other(topics: Topics) -> None:
    """Each engine continues from the other's state: batch, faust, batch."""
    for number, run in enumerate((batch.run_processor, engine.run_processor, batch.run_processor)):
        topics.publish(world(300, seed=number, start=300 * number))
        progress = run(topics.plan, topics.ports, until_end=True)
        assert progress.read >= 300
    check_once(topics)


@pytest.mark.parametrize(
    ("count", "took_s", "next_"),
    [(500, 0.01, 10_000), (20_000, 0.05, 20_000), (20_000, 10, 400), (3, 60, 1), (1, 0, 200)],
)
def test_the_time_of_a_batch_sets_the_size_of_the_next(count: int, took_s: float, next_: int) -> None:
    """The next batch takes a fifth of a second at the pace of the last one, but has at least one message."""
    assert batch.next_limit(count, took_s) == next_


@pytest.mark.parametrize(
    ("fence", "words"), [(a_second_producer, "a new producer takes over"), (a_second_member, "joins the group again")]
)
def test_a_processor_that_is_fenced_goes_on(
    topics: Topics, fence: Callable[[Topics], None], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A processor whose producer or membership the loss of a broker has fenced takes new ones, and writes each output once."""
    topics.publish(world(500))
    with member_one(topics) as failed:
        wait_for(partial(written, topics, 1), pause_s=0.01)
        fence(topics)
        before = topics.written()
        topics.publish(world(500, seed=2, start=500))
        wait_for(lambda: words in caplog.text and written(topics, before + 1), lambda: repr(failed), pause_s=0.01)
    batch.run_processor(topics.plan, topics.ports, until_end=True, member="one")
    check_once(topics)


def test_a_commit_without_an_answer_is_given_up(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the client's call never returns, the processor takes another producer, and each output is there once."""
    monkeypatch.setattr(commit_pipeline, "DECIDED_S", 1.0)
    commit, over, calls = Transactions.commit, threading.Event(), list[int]()

    def hanging(sender: Transactions, offsets: Mapping[TopicPartition, int], group: bytes) -> None:
        calls.append(len(offsets))
        if len(calls) == 2:
            over.wait(PATIENCE_S)
        commit(sender, offsets, group)

    monkeypatch.setattr(Transactions, "commit", hanging)
    topics.publish(world(500))
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    over.set()
    assert "a commit has had no answer" in caplog.text
    check_once(topics)


def test_of_two_processes_with_one_name_one_ends(topics: Topics) -> None:
    """Two processors that have the same member name do not take it from each other for ever: one of them ends with the reason."""
    topics.publish(world(500))
    stop, ended = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            batch.run_processor(topics.plan, topics.ports, stop=stop, member="one")
        except BaseException as error:  # noqa: BLE001 - asserted below
            ended.append(error)

    running = [threading.Thread(target=run) for _ in range(2)]
    for thread in running:
        thread.start()
    wait_for(lambda: ended)
    topics.publish(world(500, seed=2, start=500))
    stop.set()
    for thread in running:
        thread.join(PATIENCE_S)
    assert len(ended) == 1
    assert isinstance(ended[0], KafkaError)
    batch.run_processor(topics.plan, topics.ports, until_end=True, member="one")
    check_once(topics)


def test_a_member_beyond_the_partitions_is_ready(topics: Topics) -> None:
    """A member that stands by, since others hold every partition, is ready: a roll-out by readiness does not wait for it."""
    count = sum(stage.partitions for stage in topics.plan.stages) + 1
    stop, ready = threading.Event(), [Readiness(f"m{number}", ["joined", "restored"]) for number in range(count)]
    topics.publish(world(50))
    running = [
        threading.Thread(
            target=batch.run_processor,
            args=(topics.plan, topics.ports),
            kwargs={"stop": stop, "member": each.name, "readiness": each},
        )
        for each in ready
    ]
    try:
        for thread in running:
            thread.start()
        wait_for(lambda: all(each.state().ready for each in ready))
    finally:
        stop.set()
        for thread in running:
            thread.join(PATIENCE_S)
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    check_once(topics)


def test_a_member_that_the_group_gives_nothing_joins_without_its_name(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The group may give a named member the nothing that it had last; without its name it is assigned all partitions."""
    monkeypatch.setattr(batch, "_UNASSIGNED_S", 0)
    caplog.set_level(logging.INFO, "meshport")
    topics.publish(world(500))
    all_topics = [stage.topic for stage in topics.plan.stages]
    taken = threading.Event()

    def take(partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        taken.set()
        return dict.fromkeys(partitions, 0)

    # The group waits for this member, which reads no more, before it assigns a partition to another.
    holder = Member(topics.plan.kafka, topics.plan.group)
    holder.join(all_topics, on_assign=take, on_revoke=lambda _: None)
    wait_for(lambda: holder.read(1, 0.1) or taken.is_set())

    def leave() -> None:
        wait_for(lambda: "it joins the group without its name" in caplog.text, pause_s=0.01)
        holder.close()

    leaving = threading.Thread(target=leave)
    leaving.start()
    batch.run_processor(topics.plan, topics.ports, until_end=True, member="one")
    leaving.join()
    assert caplog.text.count("it joins the group without its name") == 1
    check_once(topics)


def test_batches_computed_after_a_failed_commit_are_processed_again(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Commits fail while later batches are computed; once the broker accepts them, each output is there once."""
    monkeypatch.setattr(batch, "_OVERLAP_S", 0)  # each commit is in progress while the next batch is computed
    admin, output = Admin(topics.plan.kafka), topics.plan.output.topic
    admin.set_config(output, {"max.message.bytes": "100"})
    topics.publish(world(3000))

    def mend() -> None:
        wait_for(lambda: "it is done again" in caplog.text, pause_s=0.01)
        admin.set_config(output, {"max.message.bytes": "1000000"})

    mending = threading.Thread(target=mend)
    mending.start()
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    mending.join()
    check_once(topics)


def test_a_commit_that_always_fails_is_an_error(topics: Topics) -> None:
    """A batch that the broker never accepts ends the processor with the reason; later each output is there once."""
    admin, output = Admin(topics.plan.kafka), topics.plan.output.topic
    admin.set_config(output, {"max.message.bytes": "100"})
    topics.publish(world(300))
    with pytest.raises(TransactionAborted, match=r"(?s)MSG_SIZE_TOO_LARGE.*hint: .* max\.message\.bytes"):
        batch.run_processor(topics.plan, topics.ports, until_end=True)
    assert topics.stored(output) == []
    admin.set_config(output, {"max.message.bytes": "1000000"})
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    check_once(topics)


def test_a_stop_drains_the_repartition_topic(topics: Topics) -> None:
    """A processor that is stopped within a backlog groups what it has re-keyed so far, since another logic could not."""
    topics.publish(world(8000))
    repartition, stop = topics.plan.repartition, threading.Event()
    assert repartition is not None
    running = threading.Thread(target=partial(batch.run_processor, topics.plan, topics.ports, stop=stop))
    running.start()
    wait_for(partial(written, topics, 1), pause_s=0.01)
    stop.set()
    running.join()
    grouped = {at: each.offset + 1 for at, each in latest_checkpoints(topics.plan, topics.log)[-1].items()}
    bounds = topics.log.decided(repartition.topic)
    assert grouped == readable_ends(topics.plan.kafka, repartition.topic, bounds)
    assert sum(grouped.values()) > 0
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    check_once(topics)


def test_a_long_restore_is_no_stall(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore during which the watchdog looks again and again counts as progress, as long as entries are read."""
    topics.publish(world(600))
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    read, look = KafkaLog.entries, watchdog.Watchdog._look
    looking, entry_read, looked = threading.Lock(), threading.Semaphore(0), threading.Semaphore(0)
    restoring, looks = False, 0

    def slowly(log: KafkaLog, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        nonlocal restoring
        entries = list(read(log, topic, partition))
        with looking:
            restoring = True
        for entry in entries[:3]:
            yield entry
            entry_read.release()
            assert looked.acquire(timeout=PATIENCE_S)
        restoring = False
        yield from entries[3:]

    def without_patience(dog: watchdog.Watchdog, now: float) -> None:
        nonlocal looks
        with looking:
            if not restoring:
                dog.patience_s = PATIENCE_S
                look(dog, now)
                return
        if entry_read.acquire(timeout=1):
            dog.patience_s = 0
            look(dog, now)
            looks += 1
            looked.release()

    monkeypatch.setattr(KafkaLog, "entries", slowly)
    monkeypatch.setattr(watchdog.Watchdog, "_look", without_patience)
    monkeypatch.setattr(watchdog, "_LOOK_S", 0.05)
    topics.publish(world(100, seed=2, start=600))
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    assert looks >= 3
    check_once(topics)


def test_rows_instead_of_columns_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A processor that cannot work by columns logs the reason as a warning, which the command line shows, and only once."""
    monkeypatch.setattr(columns, "unavailable", lambda: "pyruhvro is not installed")
    plan, ports = mesh("127.0.0.1:1", f"t{uuid4().hex[:8]}.")
    for _ in range(2):
        assert columns.columns_for(plan, ports) is None
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage() == f"{plan.group} works event by event: pyruhvro is not installed"


def test_it_does_not_load_the_other_engine() -> None:
    """The batch engine works where faust is not installed."""
    code = "import sys, meshport.process.engines.batch\nprint('faust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_a_damaged_state_is_an_error(topics: Topics) -> None:
    """State that cannot be restored ends the processor with the reason, not with an error of the Kafka client."""
    topics.publish(world(50))
    batch.run_processor(topics.plan, topics.ports, until_end=True)
    changelog = topics.plan.stages[0].changelog
    with Producer(topics.plan.kafka) as producer:
        damage = Checkpoint(10_000, None, {}, 3, 7, topics.plan.shape).to_record()
        producer.deliver([Message(changelog, damage.key, damage.value, (), None, 0)])
    with pytest.raises(ProcessError, match="the changelog holds"):
        batch.run_processor(topics.plan, topics.ports, until_end=True)


def test_engines_of_one_process_restore_the_thresholds_of_the_collector() -> None:
    """Of two engines that run at once, whichever ends last restores the thresholds that were there before both."""
    before = gc.get_threshold()
    first, second = infrequent_gc(), infrequent_gc()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold() != before
    first.__exit__(None, None, None)
    assert gc.get_threshold() != before
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
