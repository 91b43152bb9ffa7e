"""The plan of a processor: its stages and their topics, from a pipeline and the bindings of its ports.

All records of a group have to be in one partition. Where the grouping's key contains the input's whole record key, they are
(the source stage quarantines an event in another partition than that of its key), and one stage is enough. Otherwise there are
two: a source stage reads the input and writes each record under its new key to a repartition topic, and a second stage reads
that and keeps the groups. Where two streams are joined, each has a source stage of its own, and the repartition topic fixes
one order of the records of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from meshport.address import (
    PROCESSOR_GROUPS,
    Address,
    changelog_name,
    joined_changelog_name,
    late_name,
    nearest,
    quarantine_name,
    redrive_name,
    repartition_changelog_name,
    repartition_name,
)
from meshport.binding import Binding
from meshport.errors import ProcessError
from meshport.event.stored import equal_value
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.ports.history import Missing
from meshport.ports.resolver import Resolver
from meshport.process.logic.nested import taken
from meshport.process.logic.one_cluster import PortCluster, refuse_other_clusters
from meshport.process.logic.operators import Aggregate, Deduplicate, JoinStream, Operator, Session
from meshport.process.logic.pipeline import Pipeline
from meshport.process.logic.state_shape import describe, needs_key_partition, origins, rekeyed, upserts
from meshport.schema import parse_schema

COMPACT = "compact"


@dataclass(frozen=True)
class StageTopics:
    """The topics of one stage.

    Attributes:
        topic: the topic that the stage reads.
        partitions: number of its partitions.
        changelog: the compacted topic with the stage's state, of as many partitions.
    """

    topic: str
    partitions: int
    changelog: str


@dataclass(frozen=True)
class SourcePlan:
    """An input of a pipeline, and what is done with its events before they are grouped.

    Attributes:
        binding: of the input port.
        operators: applied to its events, in order.
        by: the fields of the key of the grouping; empty where there is none.
        stage: the topics of the stage that reads it.
        first: the number of its partition 0 among the partitions of all inputs.
        checks_partitions: whether an event in another partition than that of its key would make a result wrong.
    """

    binding: Binding
    operators: tuple[Operator, ...]
    by: tuple[str, ...]
    stage: StageTopics
    first: int = 0
    checks_partitions: bool = False


@dataclass(frozen=True)
class Plan:
    """A pipeline, and all that follows from the bindings of its ports.

    Attributes:
        pipeline: the logic.
        source: the input port.
        output: the port that is built.
        kafka: the connection of the processor's clients.
        tables: the compacted products that are joined.
        stream: the other stream, where streams are joined.
        missing: whether the processor may go on where input that it has not processed is removed from the log.

    Raises:
        ProcessError: the pipeline cannot be run over these ports; the message says why.
    """

    pipeline: Pipeline
    source: Binding
    output: Binding
    kafka: KafkaConfig
    tables: Mapping[Address, Binding] = field(default_factory=dict)
    stream: Binding | None = None
    missing: Missing = Missing.REFUSE

    def __post_init__(self) -> None:
        """Refuse pipelines whose results over these ports would be wrong."""
        self._refuse_unkeyed_duplicates()
        self._refuse_over_table()
        self._refuse_unjoinable()
        if self.damped and self.output.cleanup != COMPACT:
            raise ProcessError(
                f"{self.output.address} keeps every event, and `emit: batch` leaves out those that a later one of their key "
                "replaces",
                address=str(self.output.address),
                hint="give the port `cleanup: compact` and a key, or the aggregate `emit: update`",
            )
        for address, table in self.tables.items():
            if table.cleanup != COMPACT or len(table.key) != 1:
                raise ProcessError(
                    f"{address} cannot be joined: cleanup is {table.cleanup}, its key is {table.key or 'none'}",
                    address=str(address),
                    hint="a joined port is compacted and keyed by one field",
                )

    @cached_property
    def upserts(self) -> bool:
        """Whether an aggregate follows the latest rows of a compacted input: a row replaces the one before it."""
        return upserts(self.pipeline, self.source)

    @cached_property
    def table(self) -> bool:
        """Whether the output is a table: a row that no longer exists is deleted by a tombstone."""
        over = isinstance(self.pipeline.grouping, Aggregate) or (
            self.pipeline.grouping is None and self.source.cleanup == COMPACT
        )
        return self.output.cleanup == COMPACT and over

    @property
    def damped(self) -> bool:
        """Whether a batch writes only the last output of each record key."""
        return isinstance(self.pipeline.grouping, Aggregate) and self.pipeline.grouping.emit == "batch"

    @cached_property
    def timed(self) -> bool:
        """Whether events can be late."""
        return self.pipeline.timed and not self.upserts

    @cached_property
    def keeps_key(self) -> bool:
        """Whether an output has the record key of its input row."""
        held = origins(self.pipeline.before, self.source.key)
        return (
            self.pipeline.grouping is None
            and bool(self.source.key)
            and [held.get(name) for name in self.output.key] == list(self.source.key)
        )

    @cached_property
    def rekeyed(self) -> bool:
        """Whether the records of a group come from several partitions, so that a repartition topic is needed."""
        return rekeyed(self.pipeline, self.source)

    @cached_property
    def sources(self) -> tuple[SourcePlan, ...]:
        """The inputs whose events are processed, tables excluded."""
        pipeline, topic = self.pipeline, self.output.topic
        stage = StageTopics(self.source.topic, self.source.partitions, changelog_name(topic))
        by = pipeline.grouping.by if pipeline.grouping else ()
        checks = needs_key_partition(pipeline, self.source, self.output)
        source = SourcePlan(self.source, pipeline.before, by, stage, checks_partitions=checks)
        if self.stream is None or not isinstance(pipeline.grouping, JoinStream):
            return (source,)
        stage = StageTopics(self.stream.topic, self.stream.partitions, joined_changelog_name(topic))
        fields = taken((*self.stream.key, *pipeline.grouping.take.values()))
        return source, SourcePlan(self.stream, fields, self.stream.key, stage, self.source.partitions)

    @cached_property
    def equal_stream_key(self) -> Callable[[Any], Any] | None:
        """The function from a value to the equal one of the other stream's key; None where values are stored as given."""
        if self.stream is None:
            return None
        schema = parse_schema(self.stream.schema_text, source=f"the schema of {self.stream.address}")
        return equal_value(self.stream.key[0], schema)

    @property
    def reads(self) -> tuple[Binding, ...]:
        """The bindings of all ports that are read: inputs, then tables."""
        return (*(each.binding for each in self.sources), *self.tables.values())

    @cached_property
    def repartition(self) -> StageTopics | None:
        """The topics of the stage that reads the repartition topic; None where there is none."""
        if not self.rekeyed:
            return None
        topic = self.output.topic
        return StageTopics(repartition_name(topic), self.output.partitions, repartition_changelog_name(topic))

    @cached_property
    def stages(self) -> tuple[StageTopics, ...]:
        """The topics of the stages that read the inputs, then those of the repartition stage."""
        return (*(each.stage for each in self.sources), *([self.repartition] if self.repartition else []))

    @cached_property
    def numbers(self) -> dict[tuple[str, int], int]:
        """The number of each input partition, (topic, partition), among those of all inputs."""
        return {
            (each.stage.topic, partition): each.first + partition
            for each in self.sources
            for partition in range(each.stage.partitions)
        }

    @property
    def late_topic(self) -> str:
        """The topic of late events."""
        return late_name(self.output.topic)

    @property
    def quarantine_topic(self) -> str:
        """The topic of events that could not be processed."""
        return quarantine_name(self.output.topic)

    @property
    def redrive_topic(self) -> str:
        """The topic of redriven events, each in the partition that it has in its input."""
        return redrive_name(self.output.topic)

    @property
    def redrive_partitions(self) -> int:
        """Number of partitions of the redrive topic."""
        return max(each.stage.partitions for each in self.sources)

    @property
    def group(self) -> str:
        """The consumer group."""
        return processor_group(self.output.topic)

    @cached_property
    def shape(self) -> str:
        """Digest of what the pipeline keeps as state; a pipeline with another one cannot use the state."""
        return describe(self.pipeline, self.source, self.stream).digest

    def _refuse_unkeyed_duplicates(self) -> None:
        before: list[Operator] = []
        for each in self.pipeline.before:
            if isinstance(each, Deduplicate):
                held = origins(before, self.source.key)
                apart = each.by and not set(self.source.key) <= {held.get(name) for name in each.by}
                if (not self.source.key or apart) and self.source.partitions > 1:
                    raise ProcessError(
                        f"two copies of an event of {self.source.address} may be in different partitions: its key is "
                        f"{', '.join(self.source.key) or 'none'}, `deduplicate` goes by {', '.join(each.by) or 'id'}",
                        hint="de-duplicate a keyed port, by fields that hold its key",
                    )
            before.append(each)

    def _refuse_unjoinable(self) -> None:
        if self.stream is None:
            return
        if self.stream.topic == self.source.topic:
            raise ProcessError(
                f"{self.source.address} cannot be joined with itself",
                address=str(self.source.address),
                hint="`apply` sees all events of a key one after the other",
            )
        for each in (self.source, self.stream):
            if each.cleanup == COMPACT:
                raise ProcessError(
                    f"{each.address} is compacted: what is joined within a time are events, and a row holds until the next",
                    hint="leave out `within` to join its rows"
                    if each is self.stream
                    else "read a port that keeps events",
                )
        if len(self.stream.key) != 1:
            raise ProcessError(
                f"{self.stream.address} cannot be joined: its key is {', '.join(self.stream.key) or 'none'}",
                hint="a joined port is keyed by one field",
            )

    def _refuse_over_table(self) -> None:
        if self.source.cleanup != COMPACT:
            return
        grouping = self.pipeline.grouping
        if any(isinstance(each, Deduplicate) for each in self.pipeline.before):
            raise ProcessError(
                f"{self.source.address} is compacted: a row replaces the one before it, there is nothing to de-duplicate"
            )
        if isinstance(grouping, Aggregate) and (isinstance(grouping.window, Session) or grouping.emit == "close"):
            raise ProcessError(
                f"{self.source.address} is compacted: any row may still change, so that no window ever closes",
                hint="use tumbling or hopping windows, or none, and emit: update",
            )
        if grouping is None and self.output.cleanup == COMPACT and not self.keeps_key:
            raise ProcessError(
                f"{self.output.address} is keyed by {', '.join(self.output.key)}, the table {self.source.address} by "
                f"{', '.join(self.source.key)}: which row a tombstone takes out could not be told",
                hint="keep the key's fields, or aggregate by the new key",
            )


def processor_group(topic: str) -> str:
    """Return the consumer group of the processor that builds a topic."""
    return f"{PROCESSOR_GROUPS}{topic}"


def make_plan(pipeline: Pipeline, output: Address, resolver: Resolver, *, kafka: KafkaAccess = PLAINTEXT) -> Plan:
    """Return the plan of a pipeline over the ports that a registry resolves.

    Args:
        pipeline: the logic.
        output: the port that it builds.
        resolver: a registry.
        kafka: the connections to Kafka; servers that they name win over the bindings'.

    Raises:
        NotRegistered: a port is not registered.
        ProcessError: the pipeline cannot be run over these ports, or not all of them are on one cluster.
        UnknownCluster: no connection is known to the cluster of a port.
    """
    source, target = resolver.resolve(pipeline.input), resolver.resolve(output)
    tables = {address: resolver.resolve(address) for address in pipeline.tables}
    for name in target.key:
        _refuse_unknown_key(name, pipeline, target)
    stream = None if pipeline.stream is None else resolver.resolve(pipeline.stream)
    made = Plan(pipeline, source, target, kafka.to(target), tables, stream)
    read = {each.address: _cluster(each, kafka) for each in made.reads}
    refuse_other_clusters(target.address, _cluster(target, kafka), read)
    return made


def _cluster(binding: Binding, kafka: KafkaAccess) -> PortCluster:
    return PortCluster(binding.cluster, kafka.to(binding).bootstrap_servers)


def _refuse_unknown_key(name: str, pipeline: Pipeline, target: Binding) -> None:
    grouping = pipeline.grouping
    if isinstance(grouping, Aggregate) and pipeline.operators[-1] is grouping and name not in grouping.outputs:
        near = nearest(name, list(grouping.outputs))
        raise ProcessError(
            f"{target.address} is keyed by {name!r}, which its aggregate does not give",
            hint=f"did you mean {near!r}?" if near else f"it gives {', '.join(grouping.outputs)}",
        )
