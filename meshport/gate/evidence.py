"""Proof on history: the stored events of a port, read with the candidate schema as their reader.

The rules say what could break; this says what does. Each event is read by `EventReader`, as a subscriber that declares
the candidate reads it, so that proof and subscriber cannot disagree. What fails is read again with the port's present
schema and with its writer's own: that tells whose doing it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from meshport.binding import Binding
from meshport.codec import PREFIX_BYTES
from meshport.compat.contract import Version
from meshport.errors import CodecError, EventError, MeshError, NotRegistered, SchemaError, TopicError
from meshport.event import Envelope, Event, EventReader, SchemaSource
from meshport.gate.sampling import EVERYTHING, History, Progress, Sample
from meshport.gate.writers import KnownSchemas, Writers
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import ReceivedMessage
from meshport.ports.scan import history_reader
from meshport.product.descriptor import AddressText
from meshport.schema import Schema

LISTED: Final = 1000
"""How many failures of each cause are listed; all are counted."""

_SHOWN: Final = 20  # to people, of each cause
# A reader is fast on events that begin alike. A port has as many beginnings as versions, unless someone makes them up.
_ROUTES: Final = 64
_DATA_SCHEMA_PLACE: Final = 3  # among the headers of our own writer


class Cause(StrEnum):
    """Why an event cannot be read with the candidate.

    Attributes:
        CANDIDATE: the port's present schema reads it, the candidate does not.
        SETTLED: its writer's schema reads it, the port's present schema does not either: not the candidate's doing.
        UNREADABLE: no reader reads it today: no event, or bytes that are not what their schema says.
        UNKNOWN_SCHEMA: it names a schema that the registry does not know; today's readers fail on it too.
    """

    CANDIDATE = "candidate"
    SETTLED = "settled"
    UNREADABLE = "unreadable"
    UNKNOWN_SCHEMA = "unknown-schema"

    @property
    def is_older(self) -> bool:
        """Whether the event could not be read before there was a candidate."""
        return self is not Cause.CANDIDATE


class Presence(StrEnum):
    """Whether a version has stored events.

    Attributes:
        SEEN: some were read.
        NONE_LEFT: everything was read, and none is of this version; the verdict on it rests on the rules alone.
        NOT_IN_SAMPLE: none was among those that were read; there may be some.
    """

    SEEN = "seen"
    NONE_LEFT = "none left"
    NOT_IN_SAMPLE = "not in the sample"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Failure(_Value):
    """A stored event that cannot be read with the candidate.

    Attributes:
        cause: whose doing it is.
        topic: where it is.
        partition: where it is.
        offset: where it is.
        version: number of the version that wrote it; None if it is none of those that were given.
        fingerprint: of its writer's schema; None if it does not say, or says an id that the registry does not know.
        error: what the candidate's reader says.
    """

    cause: Cause
    topic: str
    partition: int
    offset: int
    version: int | None = None
    fingerprint: str | None = None
    error: str

    def __str__(self) -> str:
        wrote = f" (version {self.version})" if self.version is not None else ""
        return f"{self.topic}[{self.partition}]@{self.offset}{wrote}: {self.error}"


class VersionEvidence(_Value):
    """What was read of one version.

    Attributes:
        number: of the version; None for a schema that is none of the versions that were given.
        fingerprint: of the schema.
        presence: whether any event of it was read.
        events: how many, those that failed among them. Of versions with the same schema the newest has them all.
        failures: how many of them only the candidate cannot read.
    """

    number: int | None
    fingerprint: str
    presence: Presence
    events: int = 0
    failures: int = 0


class Evidence(_Value):
    """What a port's stored events say about a candidate.

    Attributes:
        address: of the port.
        topic: that was read.
        candidate: fingerprint of the candidate.
        events: how many were read, tombstones apart, failures included.
        tombstones: how many null values were read; no schema can break them.
        span: how many offsets the topic has from its first to its last event; compaction, transactions and a sample
            make the events fewer.
        sampled: whether events were left out.
        failed: how many events failed, by cause.
        failures: by cause, partition and offset; the first `LISTED` of each cause that were met.
        versions: the versions that were given in their order, then other schemas that events name.
    """

    address: AddressText
    topic: str
    candidate: str
    events: int = 0
    tombstones: int = 0
    span: int = 0
    sampled: bool = False
    failed: dict[Cause, int] = Field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    versions: tuple[VersionEvidence, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the candidate reads every event that was read and that the present schema reads."""
        return not self.failed.get(Cause.CANDIDATE)

    @property
    def failure_count(self) -> int:
        """How many events failed, of whatever cause; `failures` may list fewer."""
        return sum(self.failed.values())

    @property
    def unseen(self) -> tuple[VersionEvidence, ...]:
        """The versions of which no event was read."""
        return tuple(each for each in self.versions if each.presence is not Presence.SEEN)

    def __str__(self) -> str:
        """The summary, then a line for each version without an event and for each of the first failures."""
        return "\n".join([self._summary(), *(f"  {line}" for line in (*self._absent(), *self._examples()))])

    def _summary(self) -> str:
        what = _counted(self.events, "stored event")
        if self.sampled:
            what = f"a sample of {what} from the {_counted(self.span, 'offset')}"
        broken = self.failed.get(Cause.CANDIDATE, 0)
        told = f"the candidate cannot read {broken:,} of them" if broken else "the candidate breaks none of them"
        others = ", ".join(f"{self.failed[each]:,} {each}" for each in Cause if each in self.failed and each.is_older)
        return f"{what} of {self.topic}: {told}" + (f" (not its doing: {others})" if others else "")

    def _absent(self) -> Iterator[str]:
        for each in self.unseen:
            if each.presence is Presence.NONE_LEFT:
                yield f"version {each.number}: no stored event is left, so that the rules alone speak for it"
            else:
                yield f"version {each.number}: not seen in the sample"

    def _examples(self) -> Iterator[str]:
        for cause in self.failed:
            listed = [each for each in self.failures if each.cause is cause]
            for each in listed[:_SHOWN]:
                yield f"{cause}: {each}"
            if (more := self.failed[cause] - _SHOWN) > 0:
                yield f"{cause}: and {more:,} more"


def prove(
    binding: Binding,
    candidate: Schema,
    schemas: SchemaSource,
    *,
    versions: Sequence[Version] = (),
    sample: Sample = EVERYTHING,
    progress: Progress | None = None,
) -> Evidence:
    """Read a port's stored events with a candidate schema.

    What is stored when it begins is read; no group is joined and nothing committed.

    Args:
        binding: of the port.
        candidate: the schema to read with.
        schemas: where the schemas that events name are asked for: a registry.
        versions: of the port's schema, oldest first; those without an event are named.
        sample: how much of each partition is read.
        progress: told of (done, in all) as it goes on.

    Returns:
        The evidence; of no event, where no version is given and the topic does not exist yet.

    Raises:
        BrokerUnavailable: no broker answered, or it gave no more: never to be read as a pass.
        TopicError: the port has versions, but there is no topic.
        KafkaError: the broker reported an error.
        RegistryUnavailable: nobody answered what schema an event is of.
    """
    proof = _Proof(binding, candidate, schemas, versions)
    with history_reader(KafkaConfig(binding.bootstrap_servers)) as consumer:
        try:
            history = History(consumer, binding.topic, sample)
        except TopicError:
            if versions:
                raise
            return proof.evidence(span=0, sampled=False)
        for messages in history.messages(progress):
            proof.take(messages)
    return proof.evidence(span=history.span, sampled=history.sampled)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class _Route:
    """The candidate's reader for events that begin alike, and how many of one envelope it has read in a row."""

    __slots__ = ("count", "envelope", "fingerprint", "read")

    def __init__(self, schemas: SchemaSource, candidate: Schema) -> None:
        self.read = EventReader(schemas, candidate).read
        self.envelope: Envelope | None = None
        self.fingerprint: str | None = None
        self.count = 0


class _Proof:
    def __init__(self, binding: Binding, candidate: Schema, schemas: SchemaSource, versions: Sequence[Version]) -> None:
        self._binding = binding
        self._candidate = candidate
        self._versions = versions
        self._numbers = {each.schema.fingerprint: each.number for each in versions}
        self._schemas = KnownSchemas(schemas)
        self._writers = Writers(self._schemas)
        self._routes: dict[object, _Route] = {}
        self._present = EventReader(self._schemas, Schema(binding.schema_text))
        self._own = EventReader(self._schemas)
        self._tombstones = 0
        self._events: Counter[str | None] = Counter()
        self._broken: Counter[str | None] = Counter()
        self._failed: Counter[Cause] = Counter()
        self._failures: list[Failure] = []

    def take(self, messages: Sequence[ReceivedMessage]) -> None:
        """Read a batch."""
        topic, routes = self._binding.topic, self._routes
        for message in messages:
            value, headers = message.value(), message.headers()
            if value is None:
                self._tombstones += 1
                continue
            named = headers[_DATA_SCHEMA_PLACE] if headers and len(headers) > _DATA_SCHEMA_PLACE else None
            route = routes.get((named, value[:PREFIX_BYTES])) or self._route((named, value[:PREFIX_BYTES]))
            try:
                event = route.read(message.key(), value, headers, topic, message.partition(), message.offset())
            except (CodecError, EventError, NotRegistered, SchemaError) as error:
                self._fail(message, value, error)
                continue
            if event.envelope is not route.envelope:
                self._settle(route)
                route.envelope = event.envelope
                route.fingerprint = self._writers.of(message, value, event)
            route.count += 1

    def evidence(self, *, span: int, sampled: bool) -> Evidence:
        """What was found so far."""
        for route in self._routes.values():
            self._settle(route)
        order = list(Cause)
        return Evidence(
            address=self._binding.address,
            topic=self._binding.topic,
            candidate=self._candidate.fingerprint,
            events=self._events.total(),
            tombstones=self._tombstones,
            span=span,
            sampled=sampled,
            failed={cause: self._failed[cause] for cause in order if self._failed[cause]},
            failures=tuple(
                sorted(self._failures, key=lambda each: (order.index(each.cause), each.partition, each.offset))
            ),
            versions=tuple(self._seen(sampled=sampled)),
        )

    def _seen(self, *, sampled: bool) -> list[VersionEvidence]:
        absent = Presence.NOT_IN_SAMPLE if sampled else Presence.NONE_LEFT
        seen = []
        for number, fingerprint in [
            *((each.number, each.schema.fingerprint) for each in self._versions),
            *((None, each) for each in sorted(filter(None, self._events)) if each not in self._numbers),
        ]:
            newest = self._numbers.get(fingerprint) == number
            seen.append(
                VersionEvidence(
                    number=number,
                    fingerprint=fingerprint,
                    presence=Presence.SEEN if self._events[fingerprint] else absent,
                    events=self._events[fingerprint] if newest else 0,
                    failures=self._broken[fingerprint] if newest else 0,
                )
            )
        return seen

    def _route(self, beginning: object) -> _Route:
        """Any route reads any event; another one for each beginning only makes it fast."""
        key = beginning if len(self._routes) < _ROUTES else None
        return self._routes.setdefault(key, _Route(self._schemas, self._candidate))

    def _settle(self, route: _Route) -> None:
        if route.count:
            self._events[route.fingerprint] += route.count
            route.count = 0

    def _fail(self, message: ReceivedMessage, value: bytes, error: MeshError) -> None:
        cause, event = self._cause(message, value, error)
        fingerprint = self._writers.of(message, value, event)
        self._events[fingerprint] += 1
        self._failed[cause] += 1
        self._broken[fingerprint] += cause is Cause.CANDIDATE
        if self._failed[cause] > LISTED:
            return
        # What the event reader puts before says the place, which has attributes of its own here.
        bare = error.__cause__ if isinstance(error.__cause__, MeshError) else error
        self._failures.append(
            Failure(
                cause=cause,
                topic=self._binding.topic,
                partition=message.partition(),
                offset=message.offset(),
                version=self._numbers.get(fingerprint or ""),
                fingerprint=fingerprint,
                error=bare.message,
            )
        )

    def _cause(self, message: ReceivedMessage, value: bytes, error: MeshError) -> tuple[Cause, Event | None]:
        if isinstance(error, NotRegistered):
            return Cause.UNKNOWN_SCHEMA, None
        for reader, cause in ((self._present, Cause.CANDIDATE), (self._own, Cause.SETTLED)):
            try:
                return cause, reader.read(message.key(), value, message.headers())
            except (CodecError, EventError, NotRegistered, SchemaError):
                continue
        return Cause.UNREADABLE, None
