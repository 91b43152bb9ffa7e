"""From what a group or a transform gives to messages for the output port."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha1
from typing import Any, Final
from uuid import UUID, uuid5

from meshport.codec import codec_for
from meshport.errors import EncodeError
from meshport.event import EventWriter
from meshport.kafka.producer import Message
from meshport.ports.publisher import event_time, record_key
from meshport.process.logic.event_time import to_datetime
from meshport.process.logic.records import Emission, EventRecord
from meshport.process.logic.transform import Transform
from meshport.process.state.stream_join import JoinResult
from meshport.process.wire.plan import Plan
from meshport.schema import parse_schema

# The namespace of the ids of windows that closed, itself the UUIDv5 of the URL namespace and "mesh://".
_IDS: Final = uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), "mesh://")

# All bits but those of version and variant; these, of version 5.
_FREE: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_5: Final = 0x5 << 76 | 0x2 << 62

LARGEST: Final = 1_000_000
"""Bytes of an output, key and headers left aside. Kafka refuses more than 1,048,588 for a whole record unless a topic is
set otherwise; what the broker would refuse must be told here, where it can still be set aside with its event."""


def output_id(topic: str, partition: int, offset: int, number: int, index: int) -> str:
    """The id of an output that an event made: unique within the port, the same whenever the event is processed again.

    Args:
        topic: of the input.
        partition: as `topic`.
        offset: of the event.
        number: of the record among those that the event became.
        index: of the output among those that the record gave.
    """
    return f"{topic}-{partition}-{offset}-{number}-{index}"


def output_ids(topic: str, partition: int, places: Iterable[tuple[int, int, int]]) -> list[bytes]:
    """`output_id` of many, in UTF-8; each place is offset, number and index."""
    before = f"{topic}-{partition}-".encode()
    return [b"%b%d-%d-%d" % (before, offset, number, index) for offset, number, index in places]


def window_id(name: str) -> str:
    """The id of an output of a window that closed: the UUIDv5 of a name, as text; `uuid.uuid5` takes four times as long."""
    number = int.from_bytes(sha1(_IDS.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    text = f"{number & _FREE | _VERSION_5:032x}"  # RFC 9562, section 5.5
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Outputs:
    """Makes the messages of one output port. Ids and bytes depend on the input alone.

    Args:
        plan: the plan.
        after: the operators behind the grouping.
    """

    def __init__(self, plan: Plan, after: Transform) -> None:
        output = plan.output
        schema = parse_schema(output.schema_text, source=f"the schema of {output.address}")
        writer = EventWriter(
            source=str(output.address), type=output.type, codec=codec_for(schema), schema_id=output.schema_id
        )
        self._message, self._tombstone = writer.message, writer.tombstone
        self._topic = output.topic
        self._key = record_key(output.key)
        self._time = event_time(output.time, schema) if output.time else None
        self._after = after
        self._table = plan.table
        self._source = plan.source.topic
        self._names = str(output.address)

    def of_item(self, emissions: Sequence[Emission], item: EventRecord) -> list[Message]:
        """The messages that an input's record gives.

        Raises:
            EncodeError: a record does not fit the port's schema, or is too large.
            PublishError: a record has no key.
            Exception: whatever a product's function raises.
        """
        return self._messages(emissions, partial(output_id, self._source, *item.position[1:]), item.recorded)

    def of_window(self, emission: Emission, recorded: int) -> list[Message]:
        """The messages of a window that closed; their ids are told by key and window, whatever made it close."""
        name = f"{self._names}|{emission.name}"
        return self._messages([emission], lambda index: window_id(f"{name}|{index}"), recorded)

    def of_joined(self, joined: JoinResult) -> list[Message]:
        """The messages of a record that a join of streams gave; their ids are told by the events that it was made of.

        Raises:
            Exception: as of `of_item`.
        """
        emission = Emission(joined.record, joined.time)
        return self._messages([emission], lambda index: f"{joined.id}-{index}", joined.recorded)

    def tombstone(self, key: bytes | None, item: EventRecord) -> Message:
        """The row of an input table, under the same key, is no more."""
        return self._gone(key, output_id(self._source, *item.position[1:], 0), item.time, item.recorded)

    def _messages(self, emissions: Sequence[Emission], id_of: Callable[[int], str], recorded: int) -> list[Message]:
        made: list[Message] = []
        live: set[bytes | None] = set()
        gone: dict[bytes | None, int] = {}
        for emission in emissions:
            records = () if emission.gone else self._after(emission.record, emission.time)
            for record in records:
                made.append(self._made(record, id_of(len(made)), emission.time, recorded))
                live.add(made[-1].key)
            if self._table and (emission.gone or self._after.filters):
                # What a filter holds back or a group no longer holds is a row of the table that ceases to be.
                for record in self._after.unfiltered(emission.record, emission.time):
                    gone[self._key(record)] = emission.time
        for key, time in gone.items():
            if key not in live:
                made.append(self._gone(key, id_of(len(made)), time, recorded))
        return made

    def _gone(self, key: bytes | None, id_: str, time: int, recorded: int) -> Message:
        value, headers = self._tombstone(id=id_, time=to_datetime(time), recorded_time=to_datetime(recorded))
        return Message(self._topic, key, value, headers)

    def _made(self, record: dict[str, Any], id_: str, time: int, recorded: int) -> Message:
        when = self._time(record) if self._time else to_datetime(time)
        value, headers = self._message(record, id=id_, time=when, recorded_time=to_datetime(recorded))
        if len(value) > LARGEST:
            raise EncodeError(f"the output has {len(value)} bytes", hint=f"at most {LARGEST}")
        return Message(self._topic, self._key(record), value, headers)
