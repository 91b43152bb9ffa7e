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
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final

from meshport.address import redrive_name
from meshport.binding import Binding
from meshport.errors import ProcessError, TopicError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.producer import Message
from meshport.kafka.transaction import Transactions
from meshport.ports.failed.headers import original_headers, timestamp_ms
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
    position = (event.topic, event.partition, event.offset)
    stored_ms = timestamp_ms(event.stored_at)
    original = InputMessage(*position, event.key, event.value, event.headers, stored_ms)
    return redriven(topic, original, event.record, original_headers(event.original, event.size, event.sha256))


def pending(
    binding: Binding,
    wanted: Callable[[QuarantinedEvent], bool] = lambda _: True,
    *,
    kafka: KafkaAccess = PLAINTEXT,
) -> list[QuarantinedEvent]:
    """Return the events that `redrive` would redrive now.

    Args:
        binding: of the port that the processor builds.
        wanted: selects events.
        kafka: the connections to Kafka; servers that they name win over the binding's.
    """
    last = read_redriven(binding, kafka)
    return list(filter(wanted, to_redrive(read_quarantine(binding, kafka), last)))


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
    _refuse_missing(binding, topic, cluster)
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


def _refuse_missing(binding: Binding, topic: str, kafka: KafkaConfig) -> None:
    with closing(history_reader(kafka)) as consumer:
        try:
            consumer.bounds(topic)
        except TopicError as error:
            raise ProcessError(
                f"{binding.address} has no topic {topic}", hint="its processor makes it when it starts: run it first"
            ) from error
