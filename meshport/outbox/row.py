"""A row of an outbox: one event, as it waits in the database and as it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from meshport.binding import Binding
from meshport.event import Headers
from meshport.event.attributes import (
    AVRO,
    COMMON_HEADERS,
    CONTENT_TYPE,
    ID,
    OWN_HEADERS,
    PREFIX,
    RECORDED_TIME,
    SPEC_VERSION,
    TIME,
    rfc3339,
)
from meshport.outbox.table import shard_of

__all__ = ["OutboxRow"]

_SUBJECT: Final = "ce_subject"
_NOT_EXTENSIONS: Final = frozenset({*COMMON_HEADERS, *OWN_HEADERS, _SUBJECT})


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """The event of a row; its attributes are `meshport.outbox.table.COLUMNS`, in their order."""

    id: str
    aggregatetype: str
    aggregateid: str
    type: str
    payload: bytes | None
    address: str
    key: bytes | None
    dataschema: str | None
    time: str | None
    subject: str | None
    extensions: str | None
    shard: int

    @classmethod
    def of(cls, binding: Binding, id: str, value: bytes | None, key: bytes | None, headers: Headers) -> Self:
        """Return the row of an event, from the message that its writer has made."""
        texts = {name: each.decode() for name, each in headers}
        aggregate = id if key is None else key.decode()
        extensions = {name.removeprefix(PREFIX): text for name, text in texts.items() if name not in _NOT_EXTENSIONS}
        return cls(
            id=id,
            aggregatetype=binding.topic,
            aggregateid=aggregate,
            type=binding.type,
            payload=value,
            address=str(binding.address),
            key=key,
            dataschema=texts.get("ce_dataschema"),
            time=texts.get(TIME),
            subject=texts.get(_SUBJECT),
            extensions=json.dumps(extensions, ensure_ascii=False) if extensions else None,
            shard=shard_of(aggregate),
        )

    @classmethod
    def read(cls, values: Sequence[Any]) -> Self:
        """Return a row from the values of `COLUMNS` as a database returns them."""
        id, aggregatetype, aggregateid, type_, payload, address, key, *rest = values
        return cls(id, aggregatetype, aggregateid, type_, _bytes(payload), address, _bytes(key), *rest)

    def headers(self, recorded_time: datetime) -> Headers:
        """Return the headers of the event when it is sent.

        Args:
            recorded_time: when that is. Kafka's timestamp, by which a topic's retention goes, is the recorded time; that of a
                row which has waited for days would be over at once.
        """
        if self.time is None:
            return []
        headers = [("ce_specversion", SPEC_VERSION.encode()), ("ce_source", self.address.encode())]
        headers.append(("ce_type", self.type.encode()))
        if self.dataschema is not None:
            headers += [("ce_dataschema", self.dataschema.encode()), (CONTENT_TYPE, AVRO.encode())]
        headers += [(ID, self.id.encode()), (TIME, self.time.encode()), (RECORDED_TIME, rfc3339(recorded_time))]
        if self.subject is not None:
            headers.append((_SUBJECT, self.subject.encode()))
        if self.extensions is not None:
            headers += [(PREFIX + name, text.encode()) for name, text in json.loads(self.extensions).items()]
        return headers


def _bytes(value: Any) -> bytes | None:
    """Return a binary value; psycopg2 returns a memoryview."""
    return value if value is None or type(value) is bytes else bytes(value)
