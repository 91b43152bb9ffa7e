"""Proof on history: the stored events of a port, read with the candidate schema as the reader's schema.

The rules report what could break; this reports what does. Each event is read by `EventReader`, as by a subscriber that
declares the candidate, so that the proof and a subscriber cannot disagree. An event that fails is read again with the
port's present schema and with its writer's own, which shows whether the candidate is the cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshport.binding import Binding
from meshport.codec import PREFIX_BYTES
from meshport.compat.contract import Version
from meshport.errors import EventError, MeshError, NotRegistered, TopicError
from meshport.event import UNREADABLE, Envelope, Event, SchemaSource, reader_for
from meshport.gate.evidence import Cause, Evidence, Presence, UnreadableEvent, VersionEvidence
from meshport.gate.sampling import EVERYTHING, Progress, Sample, TopicHistory
from meshport.gate.writers import KnownSchemas, Writers
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.received import ReceivedMessage, UnreadableMessage, headers_of
from meshport.ports.bound_log import refuse_other_log
from meshport.ports.history import readable_bounds
from meshport.ports.scan import history_reader
from meshport.schema import Schema

LISTED: Final = 1000
"""The number of failures of each cause that are listed; all are counted."""

# A reader is fast on events that begin alike. A port has one beginning for each version, unless a producer invents them.
_MAX_ROUTES: Final = 64
_DATA_SCHEMA_INDEX: Final = 3  # of `ce_dataschema` among the headers that Meshport's publisher writes


def prove(
    binding: Binding,
    candidate: Schema,
    schemas: SchemaSource,
    *,
    versions: Sequence[Version] = (),
    sample: Sample = EVERYTHING,
    progress: Progress | None = None,
    kafka: KafkaAccess = PLAINTEXT,
) -> Evidence:
    """Read a port's stored events with a candidate schema.

    Events up to the end offsets at the start are read. The consumer joins no group and commits nothing.

    Args:
        binding: of the port.
        candidate: the schema to read with.
        schemas: the registry that resolves the schemas that events name.
        versions: of the port's schema, oldest first; versions without an event are listed.
        sample: how much of each partition is read.
        progress: called with (done, total) after each batch.
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Returns:
        The evidence; of no event if no version is given and the topic does not exist yet.

    Raises:
        BrokerUnavailable: no broker answered, or reading stalled, which must never count as a pass.
        TopicError: the port has versions, but its topic does not exist.
        TopicRemade: the topic was deleted and made again, so that it holds no event of these versions.
        KafkaError: the broker reported an error.
        RegistryUnavailable: the registry did not answer for the schema of an event.
    """
    proof = _Proof(binding, candidate, schemas, versions)
    cluster = kafka.to(binding)
    with history_reader(cluster, [binding]) as consumer:
        try:
            _, undecided = readable_bounds(cluster, consumer, binding.topic)
            history = TopicHistory(consumer, binding.topic, sample)
            refuse_other_log(binding, Admin(cluster).topic_ids([binding.topic]).get(binding.topic))
        except TopicError:
            if versions:
                raise
            return proof.evidence(span=0, sampled=False)
        for messages in history.messages(progress):
            proof.take(messages)
    found = proof.evidence(span=history.span, sampled=history.sampled)
    hidden = sum(each.end - each.stable for each in undecided)
    return found.model_copy(update={"removed": history.removed, "undecided": hidden})


class _Route:
    """The candidate's reader for events that begin alike, and the number of events of one envelope that it read in a row."""

    __slots__ = ("count", "envelope", "fingerprint", "read")

    def __init__(self, binding: Binding, schemas: SchemaSource, candidate: Schema) -> None:
        self.read = reader_for(binding, schemas, candidate).read
        self.envelope: Envelope | None = None
        self.fingerprint: str | None = None
        self.count = 0


class _Proof:
    """The counts and failures of one proof."""

    def __init__(self, binding: Binding, candidate: Schema, schemas: SchemaSource, versions: Sequence[Version]) -> None:
        self._binding = binding
        self._candidate = candidate
        self._versions = versions
        self._numbers = {each.schema.fingerprint: each.number for each in versions}
        self._schemas = KnownSchemas(schemas)
        self._writers = Writers(self._schemas)
        self._routes: dict[object, _Route] = {}
        self._present = reader_for(binding, self._schemas, Schema(binding.schema_text))
        self._own = reader_for(binding, self._schemas)
        self._tombstones = 0
        self._events: Counter[str | None] = Counter()
        self._broken: Counter[str | None] = Counter()
        self._failed: Counter[Cause] = Counter()
        self._failures: list[UnreadableEvent] = []

    def take(self, messages: Sequence[ReceivedMessage]) -> None:
        """Read a batch of messages."""
        topic, routes = self._binding.topic, self._routes
        for message in messages:
            value, headers = message.value(), headers_of(message)
            if value is None:
                if isinstance(message, UnreadableMessage):
                    self._fail(message, b"", EventError(message.reason))
                else:
                    self._tombstones += 1
                continue
            named = headers[_DATA_SCHEMA_INDEX] if headers and len(headers) > _DATA_SCHEMA_INDEX else None
            route = routes.get((named, value[:PREFIX_BYTES])) or self._route((named, value[:PREFIX_BYTES]))
            try:
                event = route.read(message.key(), value, headers, topic, message.partition(), message.offset())
            except UNREADABLE as error:
                self._fail(message, value, error)
                continue
            if event.envelope is not route.envelope:
                self._settle(route)
                route.envelope = event.envelope
                route.fingerprint = self._writers.of(message, value, event)
            route.count += 1

    def evidence(self, *, span: int, sampled: bool) -> Evidence:
        """Return the evidence so far."""
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
        """Return the reader for a beginning; any route reads any event, and one for each beginning is faster."""
        key = beginning if len(self._routes) < _MAX_ROUTES else None
        return self._routes.setdefault(key, _Route(self._binding, self._schemas, self._candidate))

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
        # The event reader's message begins with the record's position, which has attributes of its own here.
        bare = error.__cause__ if isinstance(error.__cause__, MeshError) else error
        self._failures.append(
            UnreadableEvent(
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
                return cause, reader.read(message.key(), value, headers_of(message))
            except UNREADABLE:
                continue
        return Cause.UNREADABLE, None
