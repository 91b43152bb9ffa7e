"""Bringing back what a processor could not process, once what was wrong is put right.

Quarantined events are copied, with their own bytes and the place where they were read, into a topic that the processor
reads beside its input. Not into the input itself: that belongs to its owner, its other readers would get the events twice,
and whoever builds the product anew from history would count them twice. The quarantine stays as it is.

They are brought back in the order of the input, so that events of one key keep theirs. All of them come behind the events
that went through meanwhile: totals do not depend on that, but a function of state and a row that is simply replaced do (a row
of a compacted input is brought back only if no later row of its key went through).

What was redriven is told by the redrive topic, which holds the place of each. An event that fails again is in the quarantine
again, with where the redrive topic was read to by then, and so is one whose state was thrown away to count anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final

from meshport.address import redrive_name
from meshport.binding import Binding
from meshport.errors import ProcessError, TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.producer import Message
from meshport.kafka.transaction import Transactions
from meshport.ports.scan import history_reader
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS
from meshport.process.runtime.quarantine import Origin, QuarantinedEvent, is_redriven, read_quarantine, read_redriven
from meshport.process.wire.headers import timestamp_ms
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import redriven

# Well within the time after which the broker ends a transaction.
_AT_ONCE: Final = 5000


def to_redrive(quarantine: Iterable[QuarantinedEvent], last: Mapping[Origin, int]) -> list[QuarantinedEvent]:
    """What may be redriven, each event once, in the order of the input, of one input after the other.

    A window that could not be written is no event and is left out, and so is what was redriven already: it would count
    twice.

    Args:
        quarantine: all of it.
        last: as of `read_redriven`.
    """
    found: dict[Origin, QuarantinedEvent] = {}
    for event in quarantine:
        if event.window is None and not is_redriven(event, last):
            found[event.origin] = event
    return [found[origin] for origin in sorted(found)]


def redrive_message(topic: str, event: QuarantinedEvent) -> Message:
    """The message that brings an event back.

    Args:
        topic: the redrive topic.
        event: of the quarantine.
    """
    position = (event.topic, event.partition, event.offset)
    stored_ms = timestamp_ms(event.stored_at)
    return redriven(topic, InputMessage(*position, event.key, event.value, event.headers, stored_ms), event.record)


def waiting(binding: Binding, wanted: Callable[[QuarantinedEvent], bool] = lambda _: True) -> list[QuarantinedEvent]:
    """What `redrive` would bring back now.

    Args:
        binding: of the port that the processor builds.
        wanted: which of all.
    """
    last = read_redriven(binding)
    return list(filter(wanted, to_redrive(read_quarantine(binding), last)))


def redrive(binding: Binding, wanted: Callable[[QuarantinedEvent], bool] = lambda _: True) -> list[QuarantinedEvent]:
    """Bring events back, each exactly once however often this is called; the processor takes them in when it runs.

    Args:
        binding: of the port that the processor builds.
        wanted: which of all that wait.

    Returns:
        What was brought back, in this order.

    Raises:
        ProcessError: the processor has not made its redrive topic yet.
        KafkaError: not all was stored, or another call has begun since; call it again.
    """
    topic = redrive_name(binding.topic)
    _refuse_missing(binding, topic)
    # Whoever begins undoes what an earlier call left open and fences it off, so that what it reads is all there is.
    transactions = Transactions(
        KafkaConfig(binding.bootstrap_servers), f"meshport.redrive.{binding.topic}", settings=PRODUCER_SETTINGS
    )
    transactions.start()
    try:
        chosen = waiting(binding, wanted)
        for first in range(0, len(chosen), _AT_ONCE):
            transactions.begin()
            transactions.deliver(redrive_message(topic, event) for event in chosen[first : first + _AT_ONCE])
            transactions.commit({}, b"")
    finally:
        transactions.close()
    return chosen


def _refuse_missing(binding: Binding, topic: str) -> None:
    with closing(history_reader(KafkaConfig(binding.bootstrap_servers))) as consumer:
        try:
            consumer.bounds(topic)
        except TopicError as error:
            raise ProcessError(
                f"{binding.address} has no topic {topic}", hint="its processor makes it when it starts: run it first"
            ) from error
