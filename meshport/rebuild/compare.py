"""Comparison of the outputs of two generations of a port that have processed the same input.

- Of a compacted port the latest value of each key is compared. Of any other port each event is compared by its id, which is
  derived from the input and so the same in every generation.
- Where the records of a group come from several partitions of the input (`Plan.rekeyed`), the order in which they meet may
  differ from run to run, and with it what an intermediate event contains. There each event has to exist in both generations,
  and the latest value of each key has to be the same.
- Where the input was rebuilt itself, ids are derived from its new generation, so only the latest value of each key is compared.
- Joined streams give the same events in another order. Where their ids cannot be compared, each value of a key is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, Final

from meshport.binding import Binding
from meshport.codec import codec_for, prefix
from meshport.event import UNREADABLE, Event, EventReader, SchemaSource
from meshport.event.attributes import ID, rfc3339
from meshport.kafka.received import ReceivedMessage, UnreadableMessage, headers_of
from meshport.ports.scan import read_topic
from meshport.process.logic import lossless_json
from meshport.process.runtime.kafka_log import KafkaLog, inbound
from meshport.process.wire.plan import COMPACT, Plan
from meshport.rebuild.comparison import GenerationComparison, MatchCounts, Mismatch, same_value
from meshport.rebuild.digest_store import DigestStore, GenerationSide, LatestValue
from meshport.schema import Schema, parse_schema

SHOWN: Final = 10
"""The number of mismatches in a result."""

_DIGITS: Final = 9
# Reading one event by its offset takes a connection; further mismatches are counted without a sample.
_LOOKED_UP: Final = 50

Offsets = Mapping[int, int]


def compare(
    old: Plan,
    new: Plan,
    schemas: SchemaSource,
    ends: tuple[Offsets, Offsets],
    *,
    begins: tuple[Offsets, Offsets] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GenerationComparison:
    """Compare the outputs of two generations.

    Holds a sixty-fourth of their keys and ids in memory at a time; see `meshport.rebuild.digest_store`.

    Args:
        old: builds the old generation.
        new: builds the new generation.
        schemas: where the schemas of events are found, such as a registry.
        ends: for the old topic and the new one, the offset to stop before of each partition, at an alignment.
        begins: for both topics, the offset to begin at of each partition; by default the first.
        on_progress: called with (offsets read, offsets in all).

    Raises:
        BrokerUnavailable: the broker stopped answering.
    """
    same_input = [each.stage.topic for each in old.sources] == [each.stage.topic for each in new.sources]
    grouped = new.rekeyed and new.stream is None
    unordered = new.stream is not None and new.output.cleanup != COMPACT
    by_key = new.output.cleanup == COMPACT or grouped or not same_input
    by_id = new.output.cleanup != COMPACT and same_input
    normalizer = _Normalizer(new.output, schemas, loose=grouped)
    counts, unreadable = [0, 0], 0
    with DigestStore() as keys, DigestStore() as ids:
        for side, plan in ((GenerationSide.OLD, old), (GenerationSide.NEW, new)):
            begin = None if begins is None else begins[side]
            for messages in _messages(plan, ends[side], begin, on_progress):
                payloads = normalizer.payloads(messages)
                counts[side] += len(payloads)
                unreadable += len(messages) - len(payloads)
                if by_key:
                    # Of one key in a batch only the last value can be the latest.
                    latest = {_name(each, value, unordered=unordered): (each, value) for each, value in payloads}
                    for name, (message, value) in latest.items():
                        keys.add(side, name, value, message.partition(), message.offset())
                if by_id:
                    for message, value in payloads:
                        key = message.key() or b""
                        # Intermediate events of a group that several partitions feed may differ from run to run.
                        whole = b"" if grouped else key + b"\0" + (b"gone" if value is None else value)
                        ids.add(side, _id(message), whole, message.partition(), message.offset())
        with closing(_EventLookup(old, new, schemas)) as lookup:
            found = [
                _match(what, store, lookup)
                for what, store, wanted in (("keys", keys, by_key), ("events", ids, by_id))
                if wanted
            ]
    return GenerationComparison(tuple(found), counts[GenerationSide.OLD], counts[GenerationSide.NEW], unreadable)


def _name(message: ReceivedMessage, value: bytes | None, *, unordered: bool) -> bytes:
    """Return the key; key and value where the order of a key's events differs from run to run, so that each has to exist."""
    key = message.key() or b""
    return key + b"\0" + (value or b"") if unordered else key


def _messages(
    plan: Plan, end: Offsets, begin: Offsets | None, on_progress: Callable[[int, int], None] | None
) -> Iterator[list[ReceivedMessage]]:
    yield from read_topic(plan.kafka, plan.output.topic, begins=begin, ends=end, progress=on_progress)


def _id(message: ReceivedMessage) -> bytes:
    for name, text in headers_of(message) or ():
        if name == ID:
            return text or b""
    return b""


class _Normalizer:
    """Gives the payloads of messages as bytes that are equal in both generations where the events are.

    Args:
        binding: of the port.
        schemas: where the schemas of events are found.
        loose: whether sums of doubles may differ in their last bits.
    """

    def __init__(self, binding: Binding, schemas: SchemaSource, *, loose: bool) -> None:
        schema = parse_schema(binding.schema_text)
        self._prefix = prefix(binding.schema_id)
        self._read = EventReader(schemas, schema).read
        self._encode = codec_for(schema).encode
        self._loose = loose and _has_floats(schema)

    def payloads(self, messages: Sequence[ReceivedMessage]) -> list[tuple[ReceivedMessage, bytes | None]]:
        """Return each message with its payload; messages that are not events of the port are left out."""
        found: list[tuple[ReceivedMessage, bytes | None]] = []
        loose, prefix, length = self._loose, self._prefix, len(self._prefix)
        for message in messages:
            value = message.value()
            if value is None or loose or not value.startswith(prefix):
                with suppress(*UNREADABLE):
                    found.append((message, self._payload(message)))
            else:
                found.append((message, value[length:]))
        return found

    def _payload(self, message: ReceivedMessage) -> bytes | None:
        """Return the payload under the port's present schema; None of a tombstone.

        Raises:
            MeshError: one of `UNREADABLE`; the message is not an event of the port.
        """
        if message.value() is None and not isinstance(message, UnreadableMessage):
            return None
        event = self._read(*inbound(message).parts)
        if self._loose:
            return lossless_json.dumps(_rounded(event.data)).encode()
        return self._encode(event.data)


def _has_floats(schema: Schema) -> bool:
    return '"double"' in schema.text or '"float"' in schema.text


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value


def _match(what: str, store: DigestStore, lookup: _EventLookup) -> MatchCounts:
    counts = MatchCounts(what)
    looked_up = 0
    for old, new in store.pairs():
        in_old = old is not None and old.digest is not None
        in_new = new is not None and new.digest is not None
        counts.old += in_old
        counts.new += in_new
        if (not in_old and not in_new) or (in_old and in_new and old.digest == new.digest):  # type: ignore[union-attr]  # both exist
            continue
        sample = None
        if looked_up < _LOOKED_UP:
            looked_up += 1
            sample = lookup.mismatch(what, old if in_old else None, new if in_new else None)
            if in_old and in_new and sample is not None and what == "keys" and same_value(sample.old, sample.new):
                continue  # two nearly equal numbers were rounded to different digits
        counts.differing += in_old and in_new
        counts.only_old += in_old and not in_new
        counts.only_new += in_new and not in_old
        if sample is not None and len(counts.samples) < SHOWN:
            counts.samples.append(sample)
    return counts


class _EventLookup:
    """Reads single events of both generations by their offsets."""

    def __init__(self, old: Plan, new: Plan, schemas: SchemaSource) -> None:
        self._topics = (old.output.topic, new.output.topic)
        self._kafka = old.kafka
        self._log: KafkaLog | None = None
        self._read = EventReader(schemas, parse_schema(new.output.schema_text)).read

    def mismatch(self, what: str, old: LatestValue | None, new: LatestValue | None) -> Mismatch | None:
        """Return the records of a key or an id; None where compaction has removed one meanwhile."""
        values = ((GenerationSide.OLD, old), (GenerationSide.NEW, new))
        events = [self._event(side, value) for side, value in values if value is not None]
        known = [event for event in events if event is not None]
        if len(known) < len(events):
            return None
        name = (known[0].key or b"").decode(errors="backslashreplace") if what == "keys" else known[0].id
        remaining = iter(known)
        return Mismatch(name, _record(old, remaining), _record(new, remaining))

    def _event(self, side: GenerationSide, value: LatestValue) -> Event | None:
        if self._log is None:
            self._log = KafkaLog(self._kafka)
        for each in self._log.between(self._topics[side], value.partition, value.offset, value.offset + 1):
            return self._read(*each.parts)
        return None

    def close(self) -> None:
        if self._log is not None:
            self._log.close()


def _record(value: LatestValue | None, events: Iterator[Event]) -> Any:
    if value is None:
        return None
    event = next(events)
    return {"(gone)": rfc3339(event.time).decode()} if event.data is None else event.data
