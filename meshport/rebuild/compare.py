"""Two generations of a port set against each other, as far as both have processed the input.

Of a compacted port the latest value of each key counts. Of any other each event does, by its id, which follows from the
input and is the same in every generation. Where the records of a group come from several partitions of the input
(`Plan.rekeyed`), the order in which they met may differ from run to run: what an event says of a group in between may
too, so that there each event has to be there, and the latest value of each key has to be the same. Where the input was
rebuilt itself, ids are told by its new generation, and only the latest value of each key is compared. Streams that are
joined give the same events however they met, but in another order: where ids cannot be compared, each value of a key is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from meshport.binding import Binding
from meshport.codec import codec_for, prefix
from meshport.errors import CodecError, EventError
from meshport.event import Event, EventReader, SchemaSource
from meshport.event.attributes import ID, rfc3339
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import ReceivedMessage
from meshport.ports.scan import Stretch, history_reader, scan
from meshport.process.logic import lossless_json
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.wire.plan import COMPACT, Plan
from meshport.rebuild.digest_store import DigestStore, GenerationSide, LatestValue
from meshport.schema import Schema, parse_schema

SHOWN: Final = 10
# Sums of doubles in different order differ in their last bits; anything else has to be equal.
_RELATIVE: Final = 1e-9
_DIGITS: Final = 9
# Looking a value up by its offset takes a connection; more than these are counted as they are.
_LOOKED_UP: Final = 50

Places = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One name on which two generations do not agree.

    Attributes:
        name: the key or the id.
        old: the record in the old generation; None where it has none.
        new: as `old`.
    """

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None or self.new is None:
            return f"{self.name}: only in the {'new' if self.old is None else 'old'} generation"
        parts = [
            f"{each} was {self.old.get(each)!r}, is {self.new.get(each)!r}"
            for each in dict.fromkeys([*self.old, *self.new])
            if not _same(self.old.get(each), self.new.get(each))
        ]
        return f"{self.name}: {'; '.join(parts)}"


@dataclass
class MatchCounts:
    """What came of comparing by one kind of name.

    Attributes:
        what: `keys` or `events`.
        old: how many names the old generation has; of keys, those whose latest value is no tombstone.
        new: as `old`.
        only_old: how many of them the new one lacks.
        only_new: how many of its names the old one lacks.
        differing: how many have another value in each.
        samples: the first few that do not agree.
    """

    what: str
    old: int = 0
    new: int = 0
    only_old: int = 0
    only_new: int = 0
    differing: int = 0
    samples: list[Mismatch] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the generations agree."""
        return not (self.only_old or self.only_new or self.differing)

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.old} in the old generation, {self.new} in the new one; {self.only_old} only in the old, "
            f"{self.only_new} only in the new, {self.differing} with another value"
        )


@dataclass(frozen=True, slots=True)
class GenerationComparison:
    """What came of comparing two generations.

    Attributes:
        tallies: by kind of name.
        old_events: how many messages of the old topic were looked at.
        new_events: as `old_events`.
        unreadable: how many messages of either are no events of the port; they have no name and are not compared.
    """

    tallies: tuple[MatchCounts, ...]
    old_events: int
    new_events: int
    unreadable: int = 0

    @property
    def equal(self) -> bool:
        """Whether the generations hold the same."""
        return not self.unreadable and all(each.equal for each in self.tallies)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON data."""
        tallies = {
            each.what: {
                "old": each.old,
                "new": each.new,
                "onlyOld": each.only_old,
                "onlyNew": each.only_new,
                "differing": each.differing,
                "samples": [{"name": one.name, "old": one.old, "new": one.new} for one in each.samples],
            }
            for each in self.tallies
        }
        facts = {"equal": self.equal, "oldEvents": self.old_events, "newEvents": self.new_events}
        return facts | {"unreadable": self.unreadable} | tallies


def compare(
    old: Plan,
    new: Plan,
    schemas: SchemaSource,
    ends: tuple[Places, Places],
    *,
    begins: tuple[Places, Places] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GenerationComparison:
    """Compare what two generations hold. Needs memory for a sixty-fourth of their names at a time; see `spill`.

    Args:
        old: builds the old generation.
        new: builds the new one.
        schemas: where the schemas of events are found, a registry.
        ends: by partition of the old topic and of the new one, where to stop: at one place of the input.
        begins: as `ends`, where to begin; by default with the first event.
        on_progress: called with (offsets read, offsets in all).

    Raises:
        BrokerUnavailable: the broker gave no more.
    """
    same_input = [each.stage.topic for each in old.sources] == [each.stage.topic for each in new.sources]
    grouped = new.rekeyed and new.stream is None
    apart = new.stream is not None and new.output.cleanup != COMPACT
    by_key = new.output.cleanup == COMPACT or grouped or not same_input
    by_id = new.output.cleanup != COMPACT and same_input
    value = _Normalizer(new.output, schemas, loose=grouped)
    counts, unreadable = [0, 0], 0
    with DigestStore() as keys, DigestStore() as events:
        for side, plan in ((GenerationSide.OLD, old), (GenerationSide.NEW, new)):
            begin = None if begins is None else begins[side]
            for messages in _messages(plan.output, ends[side], begin, on_progress):
                told = value.of_all(messages)
                counts[side] += len(told)
                unreadable += len(messages) - len(told)
                if by_key:
                    # Of one name in a batch only the last can be the latest.
                    named = {_name(message, said, apart=apart): (message, said) for message, said in told}
                    for name, (message, said) in named.items():
                        keys.take(side, name, said, message.partition(), message.offset())
                if by_id:
                    for message, said in told:
                        key = message.key() or b""
                        # In between, a group that several partitions feed may say something else each time.
                        whole = b"" if grouped else key + b"\0" + (b"gone" if said is None else said)
                        events.take(side, _id(message), whole, message.partition(), message.offset())
        look = _Look(old.output, new.output, schemas)
        try:
            found = [
                _tally(what, spill, look)
                for what, spill, wanted in (("keys", keys, by_key), ("events", events, by_id))
                if wanted
            ]
        finally:
            look.close()
    return GenerationComparison(tuple(found), counts[GenerationSide.OLD], counts[GenerationSide.NEW], unreadable)


def _name(message: ReceivedMessage, said: bytes | None, *, apart: bool) -> bytes:
    """The key; with the value where which event of a key is the last is not settled, so that each has to be there."""
    key = message.key() or b""
    return key + b"\0" + (said or b"") if apart else key


def _messages(
    binding: Binding, end: Places, begin: Places | None, on_progress: Callable[[int, int], None] | None
) -> Iterator[list[ReceivedMessage]]:
    reader = history_reader(KafkaConfig(binding.bootstrap_servers))
    try:
        first = reader.begin_offsets(binding.topic)
        if begin is not None:
            first = {partition: max(offset, begin[partition]) for partition, offset in first.items()}
        yield from scan(reader, Stretch(binding.topic, first, dict(end)), progress=on_progress)
    finally:
        reader.close()


def _id(message: ReceivedMessage) -> bytes:
    for name, text in message.headers() or ():
        if name == ID:
            return text or b""
    return b""


class _Normalizer:
    """What a message says, as bytes that are the same in both generations if it says the same.

    Args:
        binding: of the port.
        schemas: where the schemas of events are found.
        loose: sums of doubles may differ in their last bits.
    """

    def __init__(self, binding: Binding, schemas: SchemaSource, *, loose: bool) -> None:
        schema = parse_schema(binding.schema_text)
        self._prefix = prefix(binding.schema_id)
        self._read = EventReader(schemas, schema).read
        self._encode = codec_for(schema).encode
        self._loose = loose and _has_floats(schema)

    def of_all(self, messages: Sequence[ReceivedMessage]) -> list[tuple[ReceivedMessage, bytes | None]]:
        """Messages, each with what it says; those that are no events of the port are left out."""
        told: list[tuple[ReceivedMessage, bytes | None]] = []
        loose, prefix, behind = self._loose, self._prefix, len(self._prefix)
        for message in messages:
            value = message.value()
            if value is None or loose or not value.startswith(prefix):
                with suppress(CodecError, EventError):
                    told.append((message, self._of(message)))
            else:
                told.append((message, value[behind:]))
        return told

    def _of(self, message: ReceivedMessage) -> bytes | None:
        """The value's payload under the port's present schema; None for a tombstone.

        Raises:
            CodecError, EventError: it is no event of the port.
        """
        value = message.value()
        if value is None:
            return None
        event = self._read(
            message.key(), value, message.headers(), message.topic(), message.partition(), message.offset(),
            message.timestamp()[1],
        )  # fmt: skip
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


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_RELATIVE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _tally(what: str, spill: DigestStore, look: _Look) -> MatchCounts:
    tally = MatchCounts(what)
    looked_up = 0
    for old, new in spill.names():
        there = old is not None and old.digest is not None
        here = new is not None and new.digest is not None
        tally.old += there
        tally.new += here
        if (not there and not here) or (there and here and old.digest == new.digest):  # type: ignore[union-attr]  # both are there
            continue
        sample = None
        if looked_up < _LOOKED_UP:
            looked_up += 1
            sample = look.up(what, old if there else None, new if here else None)
            if there and here and sample is not None and what == "keys" and _same(sample.old, sample.new):
                continue  # rounding fell on either side
        tally.differing += there and here
        tally.only_old += there and not here
        tally.only_new += here and not there
        if sample is not None and len(tally.samples) < SHOWN:
            tally.samples.append(sample)
    return tally


class _Look:
    """Looks up single events by their offsets."""

    def __init__(self, old: Binding, new: Binding, schemas: SchemaSource) -> None:
        self._topics = (old.topic, new.topic)
        self._kafka = KafkaConfig(old.bootstrap_servers)
        self._log: KafkaLog | None = None
        self._read = EventReader(schemas, parse_schema(new.schema_text)).read

    def up(self, what: str, old: LatestValue | None, new: LatestValue | None) -> Mismatch | None:
        """The records of a name; None where compaction took them meanwhile."""
        events = [
            self._event(side, found)
            for side, found in ((GenerationSide.OLD, old), (GenerationSide.NEW, new))
            if found is not None
        ]
        known = [event for event in events if event is not None]
        if len(known) < len(events):
            return None
        name = (known[0].key or b"").decode(errors="backslashreplace") if what == "keys" else known[0].id
        told = iter(known)
        return Mismatch(name, _told(old, told), _told(new, told))

    def _event(self, side: GenerationSide, found: LatestValue) -> Event | None:
        if self._log is None:
            self._log = KafkaLog(self._kafka)
        messages = self._log.between(self._topics[side], found.partition, found.offset, found.offset + 1)
        for each in messages:
            return self._read(*each[3:6], *each[:3], each.timestamp_ms)
        return None

    def close(self) -> None:
        if self._log is not None:
            self._log.close()


def _told(found: LatestValue | None, events: Iterator[Event]) -> Any:
    if found is None:
        return None
    event = next(events)
    return {"(gone)": rfc3339(event.time).decode()} if event.data is None else event.data
