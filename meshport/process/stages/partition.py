"""What the stages of a processor have in common over one partition: the batch result, the state's changelog, closed windows.

A stage does no I/O and is deterministic to the byte. `process` takes messages in the order of their offsets and returns a
`BatchResult`, whose messages are delivered in this order, so that a kill between any two deliveries does no harm (see
`meshport.process.state.rows`):

1. outputs, late and quarantined events, re-keyed records;
2. changed state rows;
3. the checkpoint.

The broker acknowledges each of the three before the next is sent; the input's offset is committed last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from meshport.errors import ProcessError
from meshport.event.trace import continued
from meshport.kafka.producer import Message
from meshport.ports.failed.packing import LARGEST, fitted
from meshport.process.logic.records import Emission
from meshport.process.state.changelog import ChangelogRecord, Checkpoint, PartitionProgress
from meshport.process.state.rows import StateRows
from meshport.process.wire.headers import changelog_message
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import quarantined
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan, StageTopics


@dataclass(slots=True)
class Counts:
    """What became of the events of a batch.

    Attributes:
        read: events of the input port that were new.
        written: output records, tombstones included.
        late: events that went to the late topic.
        quarantined: events, or re-keyed records of one, that went to the quarantine.
        repeated: events that the state reflects already, and redriven rows of a table that a later row has replaced.
        redriven: events of the redrive topic; they are not among those `read`.
        late_by: the most by which the time of a late event was before the watermark of its partition, microseconds.
        reasons: how many events were quarantined for each reason: the name of the class of the error. Never changed in place.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    quarantined: int = 0
    repeated: int = 0
    redriven: int = 0
    late_by: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict, compare=False)

    def add_quarantined(self, error: Exception) -> None:
        """Add an event that was quarantined for an error."""
        self.quarantined += 1
        reason = type(error).__name__
        self.reasons = {**self.reasons, reason: self.reasons.get(reason, 0) + 1}

    def add_late(self, events: int, by: int) -> None:
        """Add late events, the latest of them so many microseconds before the watermark."""
        self.late += events
        self.late_by = max(self.late_by, by)

    def add(self, other: Counts) -> None:
        """Add the figures of another batch."""
        self.read += other.read
        self.written += other.written
        self.add_late(other.late, other.late_by)
        self.quarantined += other.quarantined
        if other.reasons:
            names = {*self.reasons, *other.reasons}
            self.reasons = {each: self.reasons.get(each, 0) + other.reasons.get(each, 0) for each in names}
        self.repeated += other.repeated
        self.redriven += other.redriven


@dataclass(slots=True)
class BatchResult:
    """What is delivered for one batch of one partition.

    Attributes:
        outputs: for the output, late, quarantine and repartition topics.
        rows: for the changelog.
        checkpoint: for the changelog, after the rows; None where nothing new was read.
        counts: figures.
    """

    outputs: list[Message] = field(default_factory=list)
    rows: list[Message] = field(default_factory=list)
    checkpoint: Message | None = None
    counts: Counts = field(default_factory=Counts)

    def damp(self, topic: str) -> None:
        """Keep only the last message of each key in a compacted topic, as compaction does later."""
        last = {message.key: at for at, message in enumerate(self.outputs) if message.topic == topic}
        kept = [each for at, each in enumerate(self.outputs) if each.topic != topic or last[each.key] == at]
        self.counts.written -= len(self.outputs) - len(kept)
        self.outputs = kept


class _Traces:
    """Goes on with the traces of events.

    Args:
        address: of the output port.
        group: the consumer group.
    """

    def __init__(self, address: str, group: str) -> None:
        self._name = f"process {address}"
        self._group = group

    def continued(self, message: InputMessage) -> AbstractContextManager[object]:
        """Return a context in which what is made of an event of the input belongs to its trace."""
        position = {
            "messaging.operation.type": "process",
            "messaging.destination.name": message.topic,
            "messaging.destination.partition.id": str(message.partition),
            "messaging.kafka.offset": message.offset,
            "messaging.consumer.group.name": self._group,
        }
        return continued(message.headers, self._name, position)


class PartitionStage(ABC):
    """A stage over one partition: its position, its state rows and their changelog.

    Attributes:
        logs: what each checkpoint records as `Checkpoint.logs`.

    Args:
        stage: the topics of the stage.
        partition: of the topic that the stage reads.
        rows: the state.
        checkpoint: that the state was restored at.
        plan: the plan.

    Raises:
        ProcessError: the state was made by a pipeline of another shape.
    """

    def __init__(self, stage: StageTopics, partition: int, rows: StateRows, checkpoint: Checkpoint, plan: Plan) -> None:
        shape = plan.shape
        if checkpoint.shape not in {"", shape}:
            raise ProcessError(
                f"the state in {stage.changelog} [{partition}] was made by another pipeline (shape {checkpoint.shape}, "
                f"this one's is {shape})",
                topic=stage.changelog,
                partition=partition,
                hint="rebuild the product into a new generation (`meshport rebuild`), or give it a new major; "
                "`meshport gate check` reports it before a processor is deployed",
            )
        self._stage = stage
        self._partition = partition
        self._shape = shape
        self._damped_topic = plan.output.topic if plan.damped else None
        self._rows = rows
        self._offset = checkpoint.offset
        self._stored = checkpoint.stamp
        self._due = checkpoint.due
        self.logs = checkpoint.logs
        self._traces = _Traces(str(plan.output.address), plan.group)

    @property
    def next_offset(self) -> int:
        """The offset after the last one that the state reflects."""
        return self._offset + 1

    def skip_to(self, offset: int) -> None:
        """Continue from a later offset: the input before it is not processed. The next `process` stores it."""
        self._rows.skip_to(offset - 1)
        self._offset = offset - 1

    @property
    def state_size(self) -> tuple[int, int]:
        """The number of state rows, and the bytes of their keys and values, as of the last batch."""
        return self._rows.count, self._rows.size

    @property
    @abstractmethod
    def watermark(self) -> int | None:
        """The event time that the partition has reached, microseconds; None before there is any."""

    @abstractmethod
    def process(self, messages: Sequence[InputMessage]) -> BatchResult:
        """Process messages in the order of their offsets, and skip those that the state reflects."""

    def mark_stored(self) -> None:
        """Note that the deliveries of the last batch are acknowledged."""
        self._rows.mark_stored()
        self._stored = self._stamp

    def _finish(
        self, batch: BatchResult, watermark: int | None, sources: dict[int, PartitionProgress] | None = None
    ) -> BatchResult:
        """Add the changelog's messages to a batch, and leave out the outputs that it does not need."""
        if self._damped_topic is not None:
            batch.damp(self._damped_topic)
        if self._stamp == self._stored:
            return batch
        changes = self._rows.changes(self._stored)
        batch.rows = [self._row(each) for each in changes]
        batch.checkpoint = self._checkpoint(watermark, sources)
        return batch

    def _row(self, record: ChangelogRecord) -> Message:
        message = changelog_message(self._stage.changelog, self._partition, record)
        if record.value is None or len(record.value) < LARGEST // 2:
            return message
        packed = fitted(message)
        if packed.value is None or packed.key != record.key:
            raise ProcessError(
                f"a state row of {self._stage.topic} [{self._partition}] has {len(record.value)} bytes in the changelog at "
                f"offset {self._offset}: {record.key[:200].decode(errors='replace')}",
                topic=self._stage.topic,
                partition=self._partition,
                offset=self._offset,
                hint=f"a row has at most {LARGEST} bytes, compressed, in two versions: keep less for each key",
            )
        return packed

    @property
    def _stamp(self) -> int:
        return self._offset + self._rows.redriven

    def _checkpoint(self, watermark: int | None, sources: dict[int, PartitionProgress] | None = None) -> Message:
        rows = self._rows
        checkpoint = Checkpoint(
            self._offset,
            watermark,
            sources or {},
            rows.count,
            rows.checksum,
            self._shape,
            rows.redriven,
            self._due,
            self.logs,
        )
        return changelog_message(self._stage.changelog, self._partition, checkpoint.to_record())


class WindowWriter:
    """Writes the results of windows that closed. One that cannot be written is quarantined by itself, without an event.

    Args:
        plan: the plan.
        outputs: makes the messages.
    """

    def __init__(self, plan: Plan, outputs: Outputs) -> None:
        self._outputs = outputs
        self._quarantine_topic = plan.quarantine_topic

    def write(self, emissions: Sequence[Emission], closed_by: InputMessage, recorded: int, batch: BatchResult) -> None:
        """Add the messages of windows to a batch.

        Args:
            emissions: the results.
            closed_by: the message that closed the windows.
            recorded: when the event of that message was recorded, microseconds.
            batch: what the messages are added to.
        """
        for emission in emissions:
            try:
                made = self._outputs.of_window(emission, recorded)
            except Exception as error:  # noqa: BLE001 - raised by a product's own functions
                self.quarantine(emission.name, emission.record, closed_by, error, batch)
            else:
                batch.counts.written += len(made)
                batch.outputs += made

    def quarantine(
        self, name: str, record: Mapping[str, Any], closed_by: InputMessage, error: Exception, batch: BatchResult
    ) -> None:
        """Quarantine a result that cannot be written, under its name."""
        batch.counts.add_quarantined(error)
        window = closed_by._replace(key=name.encode(), value=repr(record).encode(), headers=())
        batch.outputs.append(quarantined(self._quarantine_topic, window, error, window=name))
