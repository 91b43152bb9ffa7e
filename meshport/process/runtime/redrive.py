"""Redriving quarantined events, once the cause of their failure is fixed.

Each event is copied, with its original bytes and position, into a redrive topic that the processor reads beside its input. It
is not written to the input itself: that belongs to its owner, its other readers would get the event twice, and a rebuild from
history would count it twice. The quarantine topic stays as it is.

Events are redriven in the order of the input, so that events of one key keep theirs. All of them are processed after the
events that went through meanwhile. Totals do not depend on that; a function of state does, and so does a row that is simply
replaced: a row of a compacted input is redriven only if no later row of its key went through.

The redrive topic holds the position of each redriven event, so it shows which those are. An event that fails again is
quarantined again, with the offset up to which the redrive topic was read by then. So is an event of a processor that starts
again from an empty state.

Events that a group of readers quarantined are redriven into the retry topic of the group, where its members find them. A group
handles an event at least once, and so does a redrive: one that is killed may redrive some events a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final

from meshport.address import reader_redrive_name, redrive_name, retry_name, topic_name
from meshport.binding import Binding
from meshport.errors import ProcessError, TopicError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.producer import Message, Producer
from meshport.kafka.transaction import Transactions
from meshport.ports.failed.headers import original_headers, timestamp_ms
from meshport.ports.failed.packing import LARGEST
from meshport.ports.failed.retry_topic import redriven_note, redriven_row
from meshport.ports.scan import history_reader
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS
from meshport.process.runtime.quarantine import Origin, QuarantinedEvent, is_redriven, read_quarantine, read_redriven
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import redriven

# So few are sent well within a transaction's timeout.
_TRANSACTION: Final = 5000


def to_redrive(quarantine: Iterable[QuarantinedEvent], last: Mapping[Origin, int]) -> list[QuarantinedEvent]:
    """Return the events that can be redriven, each once, one input after the other, each in the order of its offsets.

    A window that could not be written is not an event and is left out. So is an event that was redriven already, since it
    would count twice.

    Args:
        quarantine: all events of the quarantine topic.
        last: see `read_redriven`.
    """
    found: dict[Origin, QuarantinedEvent] = {}
    for event in quarantine:
        if event.window is None and not is_redriven(event, last):
            found[event.origin] = event
    return [found[origin] for origin in sorted(found)]


def redrive_message(topic: str, event: QuarantinedEvent) -> Message:
    """Return the message that redrives an event.

    Args:
        topic: the redrive topic.
        event: of the quarantine topic.
    """
    return redriven(topic, _original(event), event.record, original_headers(event.original, event.size, event.sha256))


def pending(
    binding: Binding,
    wanted: Callable[[QuarantinedEvent], bool] = lambda _: True,
    *,
    kafka: KafkaAccess = PLAINTEXT,
    group: str | None = None,
) -> list[QuarantinedEvent]:
    """Return the events that `redrive`, or `redrive_for_group`, would redrive now.

    Args:
        binding: of the port that the processor builds, or that the group reads.
        wanted: selects events.
        kafka: the connections to Kafka; servers that they name win over the binding's.
        group: of readers.
    """
    last = read_redriven(binding, kafka, group=group)
    found = to_redrive(read_quarantine(binding, kafka, group=group), last)
    # The bytes of an event that was too large for the quarantine are in the port's topic alone: a processor reads them there.
    return [each for each in found if wanted(each) and (group is None or each.original is None)]


def redrive(
    binding: Binding,
    wanted: Callable[[QuarantinedEvent], bool] = lambda _: True,
    *,
    kafka: KafkaAccess = PLAINTEXT,
) -> list[QuarantinedEvent]:
    """Redrive events, each exactly once however often this is called; the processor processes them when it runs.

    Args:
        binding: of the port that the processor builds.
        wanted: selects events.
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Returns:
        The events that were redriven, in order.

    Raises:
        ProcessError: the processor has not created its redrive topic yet.
        KafkaError: not all events were stored, or a later call has fenced this one off; call it again.
    """
    topic = redrive_name(binding.topic)
    cluster = kafka.to(binding)
    _refuse_missing(binding, topic, cluster, hint="its processor makes it when it starts: run it first")
    # `start` aborts what an earlier call left open and fences that call off, so that `pending` reads all there is.
    transactions = Transactions(cluster, f"meshport.redrive.{binding.topic}", settings=PRODUCER_SETTINGS)
    transactions.start()
    try:
        chosen = pending(binding, wanted, kafka=cluster)
        for first in range(0, len(chosen), _TRANSACTION):
            transactions.begin()
            transactions.deliver(redrive_message(topic, event) for event in chosen[first : first + _TRANSACTION])
            transactions.commit({}, b"")
    finally:
        transactions.close()
    return chosen


def redrive_for_group(
    binding: Binding,
    group: str,
    wanted: Callable[[QuarantinedEvent], bool] = lambda _: True,
    *,
    kafka: KafkaAccess = PLAINTEXT,
) -> list[QuarantinedEvent]:
    """Redrive events that a group of readers quarantined: its members handle them again, with all of their tries.

    A running member finds them within some seconds, another one when it starts.

    Args:
        binding: of the port that the group reads.
        group: the consumer group.
        wanted: selects events.
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Returns:
        The events that were redriven, in order.

    Raises:
        ProcessError: the group has no quarantine: no member has read the port with `on_error`.
        KafkaError: not all events were stored; call it again.
    """
    port = topic_name(binding.address)
    topic, notes, cluster = retry_name(group, port), reader_redrive_name(group, port), kafka.to(binding)
    for each in (topic, notes):
        _refuse_missing(
            binding, each, cluster, hint=f"a subscriber of group {group} makes it, with `on_error`: run it first"
        )
    chosen = pending(binding, wanted, kafka=cluster, group=group)
    with Producer(cluster, settings={"message.max.bytes": LARGEST}) as producer:
        for first in range(0, len(chosen), _TRANSACTION):
            some = [(_original(each), each.redriven_before + 1) for each in chosen[first : first + _TRANSACTION]]
            # Killed between the two, a redrive repeats the rows: an event that waits already is left as it is.
            producer.deliver([redriven_row(topic, *each) for each in some])
            producer.deliver([redriven_note(notes, *each) for each in some])
    return chosen


def _original(event: QuarantinedEvent) -> InputMessage:
    position = (event.topic, event.partition, event.offset)
    return InputMessage(*position, event.key, event.value, event.headers, timestamp_ms(event.stored_at))


def _refuse_missing(binding: Binding, topic: str, kafka: KafkaConfig, *, hint: str) -> None:
    with closing(history_reader(kafka)) as consumer:
        try:
            consumer.bounds(topic)
        except TopicError as error:
            raise ProcessError(f"{binding.address} has no topic {topic}", hint=hint) from error
