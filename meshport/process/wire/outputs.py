"""The messages of the output port: of a record, of a window that closed, of a pair of joined records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha1
from typing import Any, Final
from uuid import UUID, uuid5

from meshport.codec import codec_for
from meshport.errors import EncodeError
from meshport.event import EventWriter, Headers
from meshport.event.record import event_time, record_key
from meshport.kafka.producer import Message
from meshport.process.logic.event_time import to_datetime
from meshport.process.logic.records import Emission, EventRecord
from meshport.process.logic.transform import Transform
from meshport.process.state.stream_join import JoinResult
from meshport.process.wire.plan import Plan
from meshport.schema import parse_schema

# The UUIDv5 of "mesh://" in the URL namespace.
_WINDOW_NAMESPACE: Final = uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), "mesh://")

# RFC 9562, section 5.5: the bits of version and variant, for version 5.
_OTHER_BITS: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION_5: Final = 0x5 << 76 | 0x2 << 62

LARGEST_OUTPUT: Final = 1_000_000
"""Bytes of an output's key and value, at most. By default a broker refuses a record of more than 1,048,588 bytes with its
headers; an output that it would refuse has to be found here, where its event can still be quarantined."""


def output_id(topic: str, partition: int, offset: int, number: int, index: int) -> str:
    """Return the id of an output: unique within the port, and the same whenever its event is processed again.

    Args:
        topic: of the input.
        partition: as `topic`.
        offset: of the event.
        number: of the record among those that the event became.
        index: of the output among those of the record.
    """
    return f"{topic}-{partition}-{offset}-{number}-{index}"


def output_ids(topic: str, partition: int, outputs: Iterable[tuple[int, int, int]]) -> list[bytes]:
    """Return the ids of many outputs in UTF-8, each from its offset, number and index; see `output_id`."""
    before = f"{topic}-{partition}-".encode()
    return [b"%b%d-%d-%d" % (before, offset, number, index) for offset, number, index in outputs]


def window_id(name: str) -> str:
    """Return the id of an output of a window that closed: the UUIDv5 of a name. `uuid.uuid5` takes four times as long."""
    number = int.from_bytes(sha1(_WINDOW_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    text = f"{number & _OTHER_BITS | _VERSION_5:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Outputs:
    """Makes the messages of one output port. Ids and bytes depend on nothing but the input.

    Args:
        plan: the plan.
        after: the operators that follow the grouping.
    """

    def __init__(self, plan: Plan, after: Transform) -> None:
        output = plan.output
        schema = parse_schema(output.schema_text, source=f"the schema of {output.address}")
        writer = EventWriter(
            source=str(output.address), type=output.type, codec=codec_for(schema), schema_id=output.schema_id
        )
        self._message, self._tombstone = writer.message, writer.tombstone
        self._topic = output.topic
        self._key = record_key(output.key, schema)
        self._time = event_time(output.time, schema) if output.time else None
        self._after = after
        self._table = plan.table
        self._source = plan.source.topic
        self._address = str(output.address)

    def of_record(self, emissions: Sequence[Emission], record: EventRecord) -> list[Message]:
        """Return the messages of what was emitted for a record of the input.

        Raises:
            EncodeError: a record does not fit the port's schema, or is too large.
            PublishError: a record has no key.
            Exception: whatever a product's function raises.
        """
        return self._messages(emissions, partial(output_id, self._source, *record.position[1:]), record.recorded)

    def of_window(self, emission: Emission, recorded: int) -> list[Message]:
        """Return the messages of a window that closed. Their ids depend on key and window, not on what made it close.

        Args:
            emission: the result of the window.
            recorded: when the event that closed it was recorded, microseconds.

        Raises:
            Exception: as of `of_record`.
        """
        name = f"{self._address}|{emission.name}"
        return self._messages([emission], lambda index: window_id(f"{name}|{index}"), recorded)

    def of_join(self, result: JoinResult) -> list[Message]:
        """Return the messages of a join's result. Their ids name the events that it was made of.

        Raises:
            Exception: as of `of_record`.
        """
        emission = Emission(result.record, result.time)
        return self._messages([emission], lambda index: f"{result.id}-{index}", result.recorded)

    def tombstone(self, key: bytes | None, record: EventRecord) -> Message:
        """Return the tombstone of an output row that has the key of its input row.

        Args:
            key: of the row.
            record: of the event that deleted the row, or changed it so that it is filtered out.
        """
        return self._tombstone_of(key, output_id(self._source, *record.position[1:], 0), record.time, record.recorded)

    def _messages(self, emissions: Sequence[Emission], id_of: Callable[[int], str], recorded: int) -> list[Message]:
        made: list[Message] = []
        live: set[bytes | None] = set()
        deleted: dict[bytes | None, int] = {}
        for emission in emissions:
            records = () if emission.gone else self._after(emission.record, emission.time)
            for record in records:
                made.append(self._message_of(record, id_of(len(made)), emission.time, recorded))
                live.add(made[-1].key)
            if self._table and (emission.gone or self._after.filters):
                # A record that a filter drops, or a group that has become empty, is a row that no longer exists.
                for record in self._after.unfiltered(emission.record, emission.time):
                    deleted[self._key(record)] = emission.time
        for key, time in deleted.items():
            if key not in live:
                made.append(self._tombstone_of(key, id_of(len(made)), time, recorded))
        return made

    def _tombstone_of(self, key: bytes | None, id_: str, time: int, recorded: int) -> Message:
        value, headers = self._tombstone(id=id_, time=to_datetime(time), recorded_time=to_datetime(recorded))
        return self._fitting(key, value, headers)

    def _message_of(self, record: dict[str, Any], id_: str, time: int, recorded: int) -> Message:
        event_time = self._time(record) if self._time else to_datetime(time)
        value, headers = self._message(record, id=id_, time=event_time, recorded_time=to_datetime(recorded))
        return self._fitting(self._key(record), value, headers)

    def _fitting(self, key: bytes | None, value: bytes | None, headers: Headers) -> Message:
        size = len(key or b"") + len(value or b"")
        if size > LARGEST_OUTPUT:
            raise EncodeError(f"the output has {size} bytes", hint=f"at most {LARGEST_OUTPUT} with its key")
        return Message(self._topic, key, value, headers)
