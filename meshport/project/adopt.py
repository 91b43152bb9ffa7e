"""Adopting a topic that is there already: what a cluster and a registry know of it, as a product that its readers can rely on.

The topic is only read. Its partitions, its settings, its schemas and some of its messages say what product.yaml has to
declare. What they leave open, or what a reader may not expect, is a note to the person who adopts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.errors import MeshError, NotRegistered, ProjectError, PublishError, TopicError
from meshport.event import UNREADABLE, Event, SchemaSource, reader_for
from meshport.event.attributes import ID
from meshport.event.bare import BARE
from meshport.event.port_fields import misfits
from meshport.event.record import record_key
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import ReceivedMessage, event_parts, headers_of
from meshport.kafka.topic import Topic
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.process.wire.partitioner import partition_of
from meshport.product import OutputPort
from meshport.product.duration import format_duration
from meshport.product.topic_settings import CLEANUP, FOREVER, RETENTION_BYTES, RETENTION_MS
from meshport.registry import ConfluentSubjects
from meshport.registry.peer_schemas import PeerSchemas
from meshport.schema import Schema

SAMPLED: Final = 200
"""Messages of each partition that are read: half of them the first, half the last."""

_LONGEST: Final = timedelta(days=36_525)  # as `meshport.product.duration`
_COMPACTED: Final = "compact"


@dataclass(frozen=True)
class Wanted:
    """What the person who adopts a topic says of it.

    Attributes:
        topic: its name.
        address: of the product, maybe with the name of the port.
        subject: the registry's subject of its values; by default `<topic>-value`.
        key: the fields of the record key; by default the field whose text the keys are.
        time: the field of the event time; by default Kafka's timestamp.
        cluster: the name of its cluster; None for the default cluster.
    """

    topic: str
    address: Address
    subject: str | None = None
    key: tuple[str, ...] = ()
    time: str | None = None
    cluster: str | None = None


@dataclass
class Adoption:
    """A topic as a port.

    Attributes:
        port: the port's entry in product.yaml.
        schema: its contract.
        schema_ids: the ids of the schemas that its sampled messages are written with, each with the schema.
        messages: how many messages were sampled.
        notes: what is left open.
    """

    port: dict[str, Any]
    schema: Schema
    schema_ids: dict[int, Schema] = field(default_factory=dict)
    messages: int = 0
    notes: list[str] = field(default_factory=list)


def adopt(wanted: Wanted, kafka: KafkaConfig, subjects: ConfluentSubjects) -> Adoption:
    """Return what a product has to declare of a topic. Nothing is written, on Kafka or elsewhere.

    Args:
        wanted: the topic, and what is said of it.
        kafka: the connection to its cluster.
        subjects: the registry that the serializers of its writers use.

    Raises:
        TopicError: there is no such topic.
        NotRegistered: the registry has no version of the subject.
        SchemaError: the contract is no Avro record.
        ProjectError: the key or the time that was given does not fit the contract or the messages, or no message can be
            read as the subject's.
        BrokerUnavailable, RegistryUnavailable: no answer.
    """
    topic = _topic(wanted, Admin(kafka))
    subject = wanted.subject or f"{wanted.topic}-value"
    versions = subjects.subject(subject)
    if not versions:
        near = nearest(subject, subjects.names())
        raise NotRegistered(
            f"{subjects.url} has no subject {subject}",
            url=subjects.url,
            hint=(f"did you mean --subject {near}? " if near else "")
            + "--from-registry URL names the registry that the topic's writers use",
        )
    schemas = PeerSchemas(subjects)
    schema = schemas.version(versions[-1])
    if not schema.field_names:
        raise ProjectError(f"version {versions[-1].version} of {subject} is {schema.name}: a port's events are records")
    messages = list(_sample(kafka, wanted.topic))
    port: dict[str, Any] = {"name": wanted.address.port or OutputPort().name, "topic": wanted.topic}
    adoption = Adoption(port, schema, messages=len(messages))
    if _is_bare(messages, adoption.notes):
        port["envelope"] = BARE
    _refuse_misfits(wanted, schema)
    if wanted.time:
        port["time"] = wanted.time
    seen = _SeenIds(schemas)
    events = _events(wanted, messages, seen, adoption)
    adoption.schema_ids = seen.found
    if key := _key(wanted, schema, events, topic, adoption.notes):
        port["key"] = key[0] if len(key) == 1 else list(key)
    port["compatibility"] = subjects.level_in_force(subject).value
    if wanted.cluster:
        port["cluster"] = wanted.cluster
    port["partitions"] = topic.partitions
    port |= _settings(topic, has_key=bool(key), notes=adoption.notes)
    return adoption


def unknown_ids(adoption: Adoption, mesh: SchemaSource) -> list[str]:
    """Return what keeps readers from the messages of an adopted topic: ids that the mesh's registry lacks, or has for others.

    Args:
        adoption: of the topic.
        mesh: the mesh's registry.

    Raises:
        RegistryUnavailable: it did not answer.
    """
    lacking, other = [], []
    for number, schema in sorted(adoption.schema_ids.items()):
        try:
            found = mesh.by_id(number)
        except NotRegistered:
            lacking.append(str(number))
        else:
            if found.fingerprint != schema.fingerprint:
                other.append(str(number))
    notes = []
    if lacking:
        notes.append(
            f"the mesh's registry does not know the schema ids {', '.join(lacking)} of the topic's messages, so that no reader "
            "can read them: `meshport registry import --from URL` brings them, with their ids"
        )
    if other:
        notes.append(
            f"the mesh's registry has other schemas under the ids {', '.join(other)} of the topic's messages: readers would "
            "decode them wrongly; import the writers' registry into an empty one"
        )
    return notes


def _topic(wanted: Wanted, admin: Admin) -> Topic:
    found = admin.topic(wanted.topic)
    if found is None:
        near = nearest(wanted.topic, admin.partitions())
        raise TopicError(
            f"{admin.kafka.bootstrap_servers} has no topic {wanted.topic}",
            topic=wanted.topic,
            hint=f"did you mean {near}?" if near else "a topic that is adopted is there already",
        )
    return found


def _sample(kafka: KafkaConfig, topic: str) -> Iterator[ReceivedMessage]:
    """Yield the first and the last messages of each partition."""
    with history_reader(kafka) as consumer:
        bounds = consumer.bounds(topic)
        half = SAMPLED // 2
        firsts = {partition: min(high, low + half) for partition, (low, high) in bounds.items()}
        lasts = {partition: max(firsts[partition], high - half) for partition, (_, high) in bounds.items()}
        for wanted in (TopicRange.within(topic, bounds, ends=firsts), TopicRange.within(topic, bounds, begins=lasts)):
            for messages in read_range(consumer, wanted):
                yield from messages


def _is_bare(messages: Sequence[ReceivedMessage], notes: list[str]) -> bool:
    """Return whether messages are no CloudEvents; a topic that is empty, or has both kinds, counts as one without."""
    values = [each for each in messages if each.value() is not None]
    enveloped = sum(any(name.lower() == ID for name, _ in headers_of(each) or ()) for each in values)
    if values and enveloped == len(values):
        return False
    if enveloped:
        notes.append(
            f"{enveloped} of {len(values)} sampled messages are CloudEvents: with `envelope: none` the attributes of all are "
            "passed over"
        )
    if not messages:
        notes.append(
            "the topic holds no message: whether its events are CloudEvents, and what their key is, was not seen"
        )
    return True


def _refuse_misfits(wanted: Wanted, schema: Schema) -> None:
    port = OutputPort(key=wanted.key or None, time=wanted.time)
    for each in misfits(port, schema):
        raise ProjectError(each.message, hint=each.hint)


class _SeenIds:
    """A registry that notes the ids that it is asked for."""

    def __init__(self, schemas: PeerSchemas) -> None:
        self._schemas = schemas
        self.found: dict[int, Schema] = {}
        self.by_fingerprint = schemas.by_fingerprint
        self.by_guid = schemas.by_guid

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema of a numeric id."""
        found = self._schemas.by_id(schema_id)
        self.found[schema_id] = found
        return found


def _events(
    wanted: Wanted, messages: Sequence[ReceivedMessage], schemas: SchemaSource, adoption: Adoption
) -> list[Event]:
    """Return the messages as the port's readers will get them, without tombstones; those that none can read are noted.

    Raises:
        ProjectError: none can be read.
    """
    reader = reader_for(_binding(wanted, adoption), schemas)
    events: list[Event] = []
    refused: list[MeshError] = []
    for message in messages:
        try:
            events.append(reader.read(*event_parts(wanted.topic, message)))
        except UNREADABLE as error:
            refused.append(error)
    if refused and len(refused) == len(messages):
        raise ProjectError(
            f"none of {len(refused)} sampled messages can be read: {refused[0].message}", hint=refused[0].hint
        )
    if refused:
        adoption.notes.append(
            f"{len(refused)} of {len(messages)} sampled messages cannot be read, such as {refused[0].message}"
        )
    return [each for each in events if each.data is not None]


def _binding(wanted: Wanted, adoption: Adoption) -> Binding:
    address = wanted.address.at(str(adoption.port["name"]), 1)
    return Binding(
        address=address,
        bootstrap_servers="",
        topic=wanted.topic,
        partitions=1,
        time=wanted.time,
        type=address.key,
        envelope=adoption.port.get("envelope", "cloudevents"),
        subject="",
        schema_id=0,
        fingerprint=adoption.schema.fingerprint,
        schema_text=adoption.schema.text,
        owner="",
    )


def _key(wanted: Wanted, schema: Schema, events: Sequence[Event], topic: Topic, notes: list[str]) -> tuple[str, ...]:
    """Return the fields of the record key: those that were named, or the field whose text every sampled key is.

    Raises:
        ProjectError: the key of a message is not that of the fields that were named.
    """
    keyed = [each for each in events if each.key is not None]
    if wanted.key:
        for each in keyed:
            if not _has_key(each, wanted.key):
                raise ProjectError(
                    f"{each.topic}[{each.partition}]@{each.offset} has the key {each.key!r}, which is not the text of "
                    f"{', '.join(wanted.key)}",
                    hint="leave --key out: the field whose text the keys are is found, if there is one",
                )
        found = wanted.key
    else:
        names = [name for name in schema.field_names if keyed and all(_has_key(each, (name,)) for each in keyed)]
        found = tuple(names[:1])
        if len(names) > 1:
            notes.append(
                f"the keys are the text of each of {', '.join(names)}: --key names another one than {names[0]}"
            )
    if keyed and not found:
        notes.append(
            f"the keys are not the text of one field, such as {keyed[0].key!r}: the port has no key, so that a processor "
            "re-keys its events, and a publisher of Meshport writes none"
        )
    elif len(keyed) < len(events) and found:
        notes.append(f"{len(events) - len(keyed)} of {len(events)} sampled messages have no key")
    if found and any(partition_of(each.key or b"", topic.partitions) != each.partition for each in keyed):
        notes.append(
            "its writers place keys by another partitioner than Kafka's default, murmur2 (librdkafka's is CRC32): a processor "
            "that groups by the key needs `repartition: always`, and Meshport's publishers would place keys elsewhere"
        )
    return found


def _has_key(event: Event, names: tuple[str, ...]) -> bool:
    if not isinstance(event.data, Mapping):
        return False
    try:
        return record_key(names)(event.data) == event.key
    except PublishError:
        return False


def _settings(topic: Topic, *, has_key: bool, notes: list[str]) -> dict[str, Any]:
    """Return what the port promises of what the topic keeps; a promise that a port cannot make is left out."""
    cleanup, kept = topic.setting(CLEANUP), topic.setting(RETENTION_MS)
    declared: dict[str, Any] = {}
    if cleanup == _COMPACTED:
        if has_key:
            return {"cleanup": _COMPACTED}
        notes.append(
            "the topic is compacted, but the port has no key: its readers see facts, of which some are removed"
        )
        return declared
    if cleanup not in {None, "delete"}:
        notes.append(f"cleanup.policy={cleanup} stays as it is; the port cannot declare it")
        return declared
    if (size := topic.setting(RETENTION_BYTES)) not in {None, FOREVER}:
        notes.append(f"retention.bytes={size} may remove events before their retention ends")
    if kept is None:
        return declared
    length = (
        None if int(kept) < 0 else timedelta(milliseconds=min(int(kept), 2 * _LONGEST // timedelta(milliseconds=1)))
    )
    if length is None or length <= _LONGEST:
        declared["retention"] = "forever" if length is None else format_duration(length)
    return declared
