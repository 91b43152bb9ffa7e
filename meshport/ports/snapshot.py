"""The state of a compacted port at one boundary: the latest event of each key, once. A subscriber goes on behind the boundary.

What the archive of the port has is read there by columns: of each key, only the latest row is read whole. What the topic has
behind it is read from the topic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Final, Generic

from meshport.address import Address
from meshport.archive.open_archives import OpenArchives
from meshport.errors import ReplayError
from meshport.event import UNREADABLE, Event, reader_for
from meshport.event.model import as_model, model_schema
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.received import ReceivedMessage, event_parts
from meshport.ports.bound_log import refuse_other_log
from meshport.ports.earlier_lines import earlier_lines
from meshport.ports.history import Missing, insist, readable_bounds, removed_history
from meshport.ports.line_history import line_range
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.ports.subscriber import BadEvent, Mesh, Model
from meshport.schema import Schema

__all__ = ["Snapshot"]

_COMPACT: Final = "compact"
_ALLOWED: Final = "`missing=Missing.ALLOW`: the state of what is left"
_Key = tuple[int, bytes | None]


class Snapshot(Generic[Model]):
    """The latest event of each key of a compacted port, up to a boundary that is fixed when it is made.

    Args:
        address: of the port.
        mesh: a registry.
        reader: the schema to decode into; by default each event keeps the schema that it was written with.
        as_: the pydantic model of the events' data, as for `Subscriber`.
        on_bad: called with each latest message that cannot be read; without it the error is raised.
        missing: whether rows may be missing that are neither in the topic nor in the archive.
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Attributes:
        binding: of the port.
        boundary: by partition, the offset after the last event of which the state is: where a subscriber begins, `start=`.

    Raises:
        ReplayError: the port keeps every event, so that it has no latest one of a key.
        HistoryMissing: rows are missing, and `missing` does not allow it.
        TopicRemade: the address is bound to an earlier topic of the same name.
        NotRegistered: the registry knows no such port.
        BrokerUnavailable: no broker answered.
    """

    def __init__(
        self,
        address: Address | str,
        mesh: Mesh,
        *,
        reader: Schema | None = None,
        as_: type[Model] | None = None,
        on_bad: Callable[[BadEvent], None] | None = None,
        missing: Missing = Missing.REFUSE,
        kafka: KafkaAccess = PLAINTEXT,
    ) -> None:
        self.binding = binding = mesh.resolve(Address.parse(address) if isinstance(address, str) else address)
        if binding.cleanup != _COMPACT:
            raise ReplayError(
                f"{binding.address} keeps every event: a snapshot is of a port with `cleanup: compact`",
                topic=binding.topic,
                hint="a subscriber that begins at the earliest event",
            )
        self._kafka = kafka.to(binding)
        self._on_bad = on_bad
        self._missing = missing
        self._lines = earlier_lines(binding, mesh, mesh)
        self._read = as_model(reader_for(binding, mesh, model_schema(as_, reader)).read, as_)
        refuse_other_log(binding, Admin(self._kafka).topic_ids([binding.topic]).get(binding.topic))
        with history_reader(self._kafka, [binding]) as consumer:
            self._bounds, _ = readable_bounds(self._kafka, consumer, binding.topic)
        removed = removed_history(self._kafka, binding.topic, self._bounds, ports=[binding])
        insist(removed, missing, _ALLOWED)
        self.boundary: Mapping[int, int] = {each: end for each, (_, end) in self._bounds.items()}

    def __iter__(self) -> Iterator[Event[Model]]:
        """Yield the latest event of each key, in no order of the keys; none of a key that was retracted.

        Raises:
            DecodeError, EventError, NotRegistered: an event cannot be read, and there is no `on_bad`.
            BrokerUnavailable: nothing came for half a minute though there was more to read.
        """
        topic = self.binding.topic
        table = OpenArchives([self.binding]).table(topic)
        archived = {}
        if table is not None:
            archived = {
                each: (had.begin, min(had.end, self._bounds[each][1]))
                for each, had in table.archived.items()
                if each in self._bounds and had.begin <= self._bounds[each][0]
            }
        begins = {each: archived[each][1] if each in archived else low for each, (low, _) in self._bounds.items()}
        newest: dict[_Key, ReceivedMessage] = {}
        with history_reader(self._kafka, [self.binding]) as consumer:
            for messages in read_range(consumer, TopicRange(topic, begins, dict(self.boundary))):
                for each in messages:
                    newest[each.partition(), each.key()] = each
        keys = {key for _, key in newest}
        if table is not None and archived:
            from meshport.archive.latest import latest_messages  # noqa: PLC0415 - of the extra, which has opened the table

            for each in latest_messages(table, topic, archived):
                if (each.partition(), each.key()) not in newest:
                    keys.add(each.key())
                    yield from self._event(each)
        for each in newest.values():
            yield from self._event(each)
        yield from chain.from_iterable(map(self._event, self._before(keys)))

    def _before(self, keys: Collection[bytes | None]) -> Iterator[ReceivedMessage]:
        """Yield the latest message of each other key in the earlier lines."""
        newest: dict[bytes | None, ReceivedMessage] = {}
        for line in self._lines:
            with history_reader(self._kafka, [line.binding]) as consumer:
                wanted = line_range(line, self._kafka, consumer, self._missing, _ALLOWED)
                for messages in read_range(consumer, wanted):
                    newest.update((each.key(), each) for each in line.read(messages))
        yield from (each for key, each in newest.items() if key not in keys)

    def _event(self, message: ReceivedMessage) -> Iterator[Event[Model]]:
        try:
            event = self._read(*event_parts(message.topic(), message))
        except UNREADABLE as error:
            if self._on_bad is None:
                raise
            self._on_bad(BadEvent(message, error))
            return
        if event.data is not None:
            yield event
