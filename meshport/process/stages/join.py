"""The second stage of a processor that joins streams: it reads one partition of what both were brought together in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.kafka.producer import Message
from meshport.process.logic.pipeline import JoinStream
from meshport.process.logic.records import EventRecord
from meshport.process.logic.transform import Lookup, Transform
from meshport.process.stages.partition import BatchResult
from meshport.process.stages.repartition import RepartitionStage
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.rows import StateRows
from meshport.process.state.stream_join import JoinResult, JoinSide, StreamJoin
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import RekeyedRecord
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan


class JoinStage(RepartitionStage):
    """Reads the re-keyed topic and pairs the records of both streams.

    A pair that cannot be written is set aside with the event that came second, which waits for other partners all the same:
    were it taken back, which pairs there are would depend on who came first. Redriven, it makes the pairs that failed.
    """

    def __init__(
        self, plan: Plan, partition: int, state: tuple[StateRows, Checkpoint], *, tables: Mapping[Address, Lookup]
    ) -> None:
        super().__init__(plan, partition, state, Outputs(plan, Transform(plan.pipeline.after, tables)))
        join = plan.pipeline.grouping
        if plan.stream is None or not isinstance(join, JoinStream):
            raise ProcessError("there are no streams to join")
        self._topics = {JoinSide.LEFT: plan.source.topic, JoinSide.RIGHT: plan.stream.topic}
        self._join = StreamJoin(join, plan.stream.key[0], self._topics)
        self._join.watch(self._rows)

    def _take(self, item: EventRecord, found: RekeyedRecord, offset: int, batch: BatchResult) -> None:
        side = JoinSide.LEFT if found.original.topic == self._topics[JoinSide.LEFT] else JoinSide.RIGHT
        joined = (self._join.again if found.alone else self._join.add)(side, item, self._rows)
        made, failed = self._made(joined)
        if failed:
            self._join.failed(side, item, [each.partner for each, _ in failed], self._rows)
            self._set_aside(item, found, failed[0][1], batch)
        elif found.alone:
            self._owed.settle(*self._owing(item, found), again=True)
        self._rows.keep(offset)
        batch.counts.written += len(made)
        batch.outputs += made

    def _pass(self, horizon: int, message: InputMessage, recorded: int, batch: BatchResult) -> None:  # noqa: ARG002 - each has its own
        made, failed = self._made(self._join.advance(horizon, self._rows))
        for each, error in failed:
            self._closing.set_aside(each.id, each.record, message, error, batch)
        batch.counts.written += len(made)
        batch.outputs += made

    def _made(self, joined: Sequence[JoinResult]) -> tuple[list[Message], list[tuple[JoinResult, Exception]]]:
        """The messages of what was joined, and what cannot be written."""
        made: list[Message] = []
        failed: list[tuple[JoinResult, Exception]] = []
        for each in joined:
            try:
                made += self._outputs.of_joined(each)
            except Exception as error:  # noqa: BLE001 - the edge to a product's own functions; the pair is set aside
                failed.append((each, error))
        return made, failed
