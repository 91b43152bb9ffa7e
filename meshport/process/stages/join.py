"""The stage that joins the records of two streams, which it reads from one repartition topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshport.address import Address
from meshport.errors import ProcessError
from meshport.kafka.producer import Message
from meshport.process.logic.operators import JoinStream
from meshport.process.logic.records import EventRecord
from meshport.process.logic.transform import Lookup, Transform
from meshport.process.stages.partition import BatchResult
from meshport.process.stages.repartition import RepartitionStage
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.keys import JoinSide
from meshport.process.state.rows import StateRows
from meshport.process.state.stream_join import JoinResult, StreamJoin
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import RekeyedRecord
from meshport.process.wire.outputs import Outputs
from meshport.process.wire.plan import Plan


class JoinStage(RepartitionStage):
    """Joins the records of one partition of a repartition topic.

    A pair that cannot be written is quarantined with the event that came second. That event still waits for other partners:
    otherwise the set of pairs would depend on which of two events came first. Redriven, it makes the pairs that failed.

    Args:
        plan: the plan.
        partition: of the repartition topic.
        state: of that partition.
        tables: the joined tables.

    Raises:
        ProcessError: the pipeline joins no streams, or the state was made by a pipeline of another shape.
    """

    def __init__(
        self, plan: Plan, partition: int, state: tuple[StateRows, Checkpoint], *, tables: Mapping[Address, Lookup]
    ) -> None:
        super().__init__(plan, partition, state, Outputs(plan, Transform(plan.pipeline.after, tables)))
        join = plan.pipeline.grouping
        if plan.stream is None or not isinstance(join, JoinStream):
            raise ProcessError("there are no streams to join")
        self._topics = {JoinSide.LEFT: plan.source.topic, JoinSide.RIGHT: plan.stream.topic}
        self._join = StreamJoin(join, plan.stream.key[0], plan.equal_stream_key, self._topics)
        self._join.watch(self._rows)

    def _apply(self, record: EventRecord, found: RekeyedRecord, offset: int, batch: BatchResult) -> None:
        side = JoinSide.LEFT if found.original.topic == self._topics[JoinSide.LEFT] else JoinSide.RIGHT
        results = (self._join.retry if found.alone else self._join.add)(side, record, self._rows)
        made, failed = self._written(results)
        if failed:
            self._join.note_failed(side, record, [each.partner for each, _ in failed], self._rows)
            self._quarantine(record, found, failed[0][1], batch)
        else:
            self._note_processed(record, found)
        self._rows.keep(offset)
        batch.counts.written += len(made)
        batch.outputs += made

    def _close(self, horizon: int, message: InputMessage, recorded: int, batch: BatchResult) -> None:  # noqa: ARG002 - each result has its own
        made, failed = self._written(self._join.advance(horizon, self._rows))
        for each, error in failed:
            self._windows.quarantine(each.id, each.record, message, error, batch)
        batch.counts.written += len(made)
        batch.outputs += made

    def _written(self, results: Sequence[JoinResult]) -> tuple[list[Message], list[tuple[JoinResult, Exception]]]:
        """Return the messages of results, and the results that cannot be written."""
        made: list[Message] = []
        failed: list[tuple[JoinResult, Exception]] = []
        for each in results:
            try:
                made += self._outputs.of_join(each)
            except Exception as error:  # noqa: BLE001 - raised by a product's own functions; the pair is quarantined
                failed.append((each, error))
        return made, failed
