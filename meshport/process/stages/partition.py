"""What both stages of a processor share over one partition: figures, the state's changelog, windows that close.

A stage is pure, and deterministic to the byte. `process` takes messages in the order of their offsets and gives a
`BatchResult`: what is to be delivered, in which order, so that a kill between any two deliveries costs nothing (see
`meshport.process.state.rows`):

1. outputs, late and quarantined events, re-keyed records;
2. changed state rows;
3. the checkpoint.

Each group is acknowledged by the broker before the next is sent, and the input is acknowledged last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from meshport.errors import ProcessError
from meshport.kafka.producer import Message
from meshport.process.logic.records import Emission
from meshport.process.state.changelog import STAMP_HEADER, ChangelogRecord, Checkpoint
from meshport.process.state.rows import StateRows
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
        late: events that went to the late port.
        quarantined: events, or re-keyed records of one, that went to the quarantine.
        repeated: events that the state reflects already, and redriven rows of a table that a later row has replaced.
        redriven: events of the redrive topic; they are not among those `read`.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    quarantined: int = 0
    repeated: int = 0
    redriven: int = 0

    def add(self, other: Counts) -> None:
        """Add the figures of another batch."""
        self.read += other.read
        self.written += other.written
        self.late += other.late
        self.quarantined += other.quarantined
        self.repeated += other.repeated
        self.redriven += other.redriven


@dataclass(slots=True)
class BatchResult:
    """What one batch of one partition comes to.

    Attributes:
        outputs: for the output, late, quarantine and re-keyed topics.
        rows: for the changelog.
        checkpoint: for the changelog, after the rows; None where nothing new was read.
        counts: figures.
    """

    outputs: list[Message] = field(default_factory=list)
    rows: list[Message] = field(default_factory=list)
    checkpoint: Message | None = None
    counts: Counts = field(default_factory=Counts)


class PartitionStage(Protocol):
    """A stage over one partition, whichever it is."""

    @property
    def next_offset(self) -> int:
        """The offset after the last one that the state reflects."""
        ...

    @property
    def watermark(self) -> int | None:
        """How far event time has come, microseconds."""
        ...

    def process(self, messages: Sequence[InputMessage]) -> BatchResult:
        """Take messages in, in the order of their offsets; those that the state reflects are passed over."""
        ...

    def settle(self) -> None:
        """Take note that all of the last batch is acknowledged."""
        ...


class Partition:
    """What both stages share: offset, rows and their changelog."""

    def __init__(self, stage: StageTopics, partition: int, rows: StateRows, checkpoint: Checkpoint, shape: str) -> None:
        if checkpoint.shape not in {"", shape}:
            raise ProcessError(
                f"the state in {stage.changelog} [{partition}] was made by another pipeline (shape {checkpoint.shape}, "
                f"this one's is {shape})",
                hint="rebuild the product into a new generation (`meshport rebuild`), or give it a new major; "
                "`meshport gate check` tells it before a processor is deployed",
            )
        self._stage = stage
        self._partition = partition
        self._shape = shape
        self._rows = rows
        self._offset = checkpoint.offset
        self._stored = checkpoint.stamp
        self._due = checkpoint.due

    @property
    def next_offset(self) -> int:
        """The offset after the last one that the state reflects."""
        return self._offset + 1

    def _finish(self, batch: BatchResult, watermark: int | None, sources: dict[int, list[int | None]]) -> BatchResult:
        if self._stamp == self._stored:
            return batch
        entries = self._rows.entries(self._stored)
        batch.rows = [self._logged(entry) for entry in entries]
        batch.checkpoint = self._checkpoint(watermark, sources)
        return batch

    @property
    def _stamp(self) -> int:
        return self._offset + self._rows.redriven

    def _checkpoint(self, watermark: int | None, sources: dict[int, list[int | None]]) -> Message:
        rows = self._rows
        place = (self._offset, watermark, sources)
        return self._logged(
            Checkpoint(*place, rows.count, rows.checksum, self._shape, rows.redriven, self._due).entry()
        )

    def _logged(self, entry: ChangelogRecord) -> Message:
        headers = [(STAMP_HEADER, str(entry.stamp).encode())] if entry.value is None else []
        return Message(self._stage.changelog, entry.key, entry.value, headers, None, self._partition)

    def settle(self) -> None:
        """Take note that all of the last batch is acknowledged."""
        self._rows.settle()
        self._stored = self._stamp


class WindowWriter:
    """Gives out the windows that closed. One that cannot be written is set aside; no event is to blame for it."""

    def __init__(self, plan: Plan, outputs: Outputs) -> None:
        self._outputs = outputs
        self._topic = plan.quarantine_topic

    def write(self, emissions: Sequence[Emission], by: InputMessage, recorded: int, batch: BatchResult) -> None:
        """Write windows, or set them aside.

        Args:
            emissions: the windows.
            by: the message that made them close.
            recorded: when that was recorded, microseconds.
            batch: takes the messages.
        """
        for emission in emissions:
            try:
                made = self._outputs.of_window(emission, recorded)
            except Exception as error:  # noqa: BLE001 - the edge to a product's own functions
                self.set_aside(emission.name, emission.record, by, error, batch)
            else:
                batch.counts.written += len(made)
                batch.outputs += made

    def set_aside(
        self, name: str, record: Mapping[str, Any], by: InputMessage, error: Exception, batch: BatchResult
    ) -> None:
        """Quarantine what cannot be written, under its name."""
        batch.counts.quarantined += 1
        window = by._replace(key=name.encode(), value=repr(record).encode(), headers=())
        batch.outputs.append(quarantined(self._topic, window, error, window=name))
