"""What the field sends, met by a running processor: odd headers, huge messages, foreign partitioners, topics made again.

A processor outlives some faults: then the ledger is clean. It stops at others with an error that names them, and stops again
when it is started again: then nothing was written after the fault.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import platformdirs
import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.errors import MeshError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.producer import Message
from meshport.local.embedded import EmbeddedKafka
from meshport.process.state.keys import CHECKPOINT_KEY
from meshport.process.wire.partitioner import partition_of
from tests.campaigns.lane import Child, Lane
from tests.campaigns.ledger import Report
from tests.campaigns.logic import PARTITIONS
from tests.campaigns.outcome import Outcome, say
from tests.campaigns.points import Engine
from tests.odd_messages import ODD_NAME, store_raw
from tests.process.topics import at_least
from tests.remade import remake
from tests.waiting import PATIENCE_S, wait_for

_PRIMED: Final = 400
_MORE: Final = 200
_ODD: Final = 5
_HUGE_BYTES: Final = 20_000_000
_ABORTED: Final = 20_000
_ABORTED_TRANSACTIONS: Final = 4
_NOTICES_S: Final = 30.0
_BY_KEY: Final = -1  # librdkafka's RD_KAFKA_PARTITION_UA


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: of the fault.
        inject: brings it about on a lane's topics, while a processor runs.
        stops: name of the error with which a processor stops; "" where it goes on.
    """

    name: str
    inject: Callable[[Lane], None]
    stops: str = ""


def _odd_headers(lane: Lane) -> None:
    """Store events whose headers have a name that is not UTF-8, besides their own."""
    for message in lane.draw(_ODD):
        headers = [(name.encode(), text) for name, text in message.headers]
        store_raw(
            lane.spec.bootstrap_servers,
            message.topic,
            [*headers, (ODD_NAME, b"1")],
            message.value or b"",
            key=message.key or b"",
            partition=partition_of(message.key or b"", PARTITIONS) if message.partition is None else message.partition,
        )
        lane.published.append(message)


def _huge_messages(lane: Lane) -> None:
    """Store messages of some kilobytes on the wire and 20 MB in memory."""
    source = lane.topics.plan.source.topic
    keys = [b"u%d" % number for number in range(3)]
    huge = [
        Message(source, key, bytes(_HUGE_BYTES), [("a", b"1")], partition=partition_of(key, PARTITIONS)) for key in keys
    ]
    _store(lane, huge, {"compression.type": "zstd", "message.max.bytes": 2 * _HUGE_BYTES})
    lane.published += huge


def _foreign_partitioner(lane: Lane) -> None:
    """Store events in the partitions of librdkafka's default partitioner."""
    plays = [each._replace(partition=crc32(each.key or b"") % PARTITIONS) for each in lane.draw(10 * _ODD)]
    _store(lane, plays, {})
    lane.published += plays


def _aborted_stretch(lane: Lane) -> None:
    """Store transactions that are aborted, as many records as a hundred batches of the feed."""
    source = lane.topics.plan.source.topic
    producer = ClientProducer(
        {"bootstrap.servers": lane.spec.bootstrap_servers, "transactional.id": f"{source}-aborted", "log_level": 3}
    )
    producer.init_transactions()
    for _ in range(_ABORTED_TRANSACTIONS):
        producer.begin_transaction()
        for number in range(_ABORTED // _ABORTED_TRANSACTIONS):
            producer.produce(source, b"aborted", partition=number % PARTITIONS)
        producer.flush()
        producer.abort_transaction()


def _topic_made_again(lane: Lane) -> None:
    """Delete the input and make it again."""
    remake(KafkaConfig(lane.spec.bootstrap_servers), lane.topics.plan.source.topic)
    lane.publish(_PRIMED)


def _partitions_added(lane: Lane) -> None:
    """Give the input two more partitions."""
    Admin(KafkaConfig(lane.spec.bootstrap_servers)).add_partitions(lane.topics.plan.source.topic, PARTITIONS + 2)


def _damaged_state(lane: Lane) -> None:
    """Overwrite a row of each partition of the state with the value of another row."""
    for stage in lane.topics.plan.stages:
        rows: dict[int, dict[bytes, bytes]] = {}
        for each in lane.topics.stored(stage.changelog):
            if each.key not in {None, CHECKPOINT_KEY} and each.value is not None:
                newest_last = rows.setdefault(each.partition, {})
                newest_last.pop(each.key or b"", None)
                newest_last[each.key or b""] = each.value
        for partition, values in rows.items():
            (key, _), *_, (_, other) = values.items()
            _store(lane, [Message(stage.changelog, key, other, [], partition=partition)], {})


def _store(lane: Lane, messages: Sequence[Message], settings: Mapping[str, str | int]) -> None:
    """Store messages by a producer of other settings than ours."""
    refused: list[str] = []
    producer = ClientProducer({"bootstrap.servers": lane.spec.bootstrap_servers, **settings})
    for message in messages:
        producer.produce(
            message.topic,
            key=message.key,
            value=message.value,
            headers=list(message.headers),
            partition=_BY_KEY if message.partition is None else message.partition,
            on_delivery=lambda error, _: refused.append(str(error)) if error else None,
        )
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0
    assert refused == []


FAULTS: Final = (
    Fault("odd headers", _odd_headers),
    Fault("huge messages", _huge_messages),
    Fault("foreign partitioner", _foreign_partitioner),
    Fault("aborted stretch", _aborted_stretch),
    Fault("topic made again", _topic_made_again, "TopicRemade"),
    Fault("partitions added", _partitions_added, "PartitionsAdded"),
    Fault("damaged state", _damaged_state, "StateDamaged"),
)


@dataclass(frozen=True)
class Faults:
    """What is asked for.

    Attributes:
        engine: `batch` or `faust`.
        plan: a name of `tests.campaigns.logic.KEYS`.
        seed: of the feed.
    """

    engine: Engine
    plan: str
    seed: int = 1


def run(asked: Faults) -> Outcome:
    """Inject each fault once, each into topics of its own, and print what became of it."""
    begun = time.monotonic()
    report, wrong = Report(), list[str]()
    with EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport")) as cluster:
        for number, fault in enumerate(FAULTS):
            try:
                found = _met(fault, cluster.bootstrap_servers, asked, number)
            except (MeshError, pytest.fail.Exception) as error:  # the other faults are met all the same
                found = Report(misstated=[f"{fault.name}: {type(error).__name__}: {error}"])
            report.add(found)
            if not found.clean:
                wrong.append(fault.name)
            say(f"  {'WRONG' if wrong[-1:] == [fault.name] else 'right':5} {fault.name}: {_words(fault, found)}")
    say(str(report))
    done = f"{len(FAULTS) - len(wrong)} of {len(FAULTS)} faults met"
    return Outcome(f"faults, {asked.engine}, {asked.plan}", done, report, time.monotonic() - begun, not wrong)


def _met(fault: Fault, bootstrap_servers: str, asked: Faults, number: int) -> Report:
    lane = Lane(bootstrap_servers, asked.engine, asked.plan, asked.seed * 1000 + number, member="one")
    try:
        return meet(fault, lane)
    finally:
        lane.close()


def meet(fault: Fault, lane: Lane) -> Report:
    """Let a running processor meet a fault, and judge what became of the events, or of the processor if it is to stop."""
    lane.publish(_PRIMED)
    child = lane.start(member=lane.member)
    try:
        wait_for(lambda: at_least(lane.topics, 1) or not child.running)
        assert child.running, child.last_words()
        fault.inject(lane)
        if fault.stops:
            return _stopped(fault, lane, child)
        lane.publish(_MORE)
        child.send(signal.SIGTERM)
        lane.ends.note(child, child.ended(PATIENCE_S))
    finally:
        child.close()
    report = lane.finish(_MORE)
    report.misstated += [f"a processor ended: {words}" for words in lane.ends.words]
    return report


def _stopped(fault: Fault, lane: Lane, child: Child) -> Report:
    """Check that the processor stops, now or when it is started again, with the error, and that it writes nothing more."""
    report = Report()
    if child.ended(_NOTICES_S) is None:
        child.send(signal.SIGTERM)
        child.ended(PATIENCE_S)
    written = lane.topics.written()
    # faust's members have no name outside of the campaign. One with a name that left while a topic was made again would be
    # given what it had last, which is nothing (KIP-345).
    again = lane.start(until_end=True, member=lane.member if lane.spec.engine == "batch" else "")
    try:
        code = again.ended(PATIENCE_S)
        if code in {None, 0} or fault.stops not in again.said():
            report.misstated.append(f"a processor ends with {code} after {fault.name!r}: {again.last_words()}")
    finally:
        again.close()
    if lane.topics.written() != written:
        report.doubled.append(f"outputs were written after {fault.name!r}")
    report.figures["stopped by name"] += report.clean
    return report


def _words(fault: Fault, found: Report) -> str:
    if fault.stops:
        return "the processor stopped with an error that names it" if found.clean else str(found.faults)
    return ", ".join(f"{name} {count}" for name, count in found.figures.items())
