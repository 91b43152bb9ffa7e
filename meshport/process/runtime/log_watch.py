"""The watch over the topics of a running processor: one that was made again ends it, and so do partitions that were added."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from meshport.errors import PartitionsAdded, TopicRemade
from meshport.kafka.topic_log import LogWatch, TopicLogs
from meshport.process.wire.added_partitions import partitions_added, with_added_partitions
from meshport.process.wire.logs import rebuild_hint, state_topics
from meshport.process.wire.plan import Plan

_log: Final = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class PlanWatch:
    """Compares the topics of a plan with those that its processor began with; see `LogWatch`.

    Args:
        plan: what the processor runs.

    Raises:
        KafkaError: the cluster did not answer.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._logs = LogWatch(
            plan.kafka,
            *state_topics(plan),
            reader=f"what {plan.group} has processed or keeps as state is of another log",
            hint=rebuild_hint(plan),
            group=plan.group,
        )
        self._side = self._side_watch()

    def _side_watch(self) -> LogWatch:
        # The processor only appends to these. Where one was made again its earlier messages are lost, and nothing else is wrong.
        topics = [self._plan.quarantine_topic, *([self._plan.late_topic] if self._plan.timed else [])]
        hint = "the processor goes on and writes to the new topic"
        return LogWatch(self._plan.kafka, *topics, reader="the events that it held are gone", hint=hint)

    def explaining(self) -> AbstractContextManager[None]:
        """Raise TopicRemade in the place of another error where a topic of the state was made again."""
        return self._logs.explaining()

    def look(self) -> None:
        """Take what the cluster has answered, without waiting.

        Raises:
            TopicRemade: a topic that the state belongs to was deleted and made again.
            PartitionsAdded: an input has more partitions than were planned.
        """
        self._logs.look()
        for stage in self._plan.stages:
            if (count := self._logs.partitions.get(stage.topic, 0)) > stage.partitions:
                raise partitions_added(self._plan, stage.topic, count)
        try:
            self._side.look()
        except TopicRemade as error:
            _log.warning("%s; %s", error.message, error.hint, extra={"facts": error.facts})
            self._side = self._side_watch()


def present_plan(plan: Plan) -> Plan:
    """Return the plan with the partitions that its inputs have now; see `with_added_partitions`.

    Raises:
        PartitionsAdded: the logic cannot take partitions up that were added.
        KafkaError: the cluster did not answer.
    """
    topics = [each.stage.topic for each in plan.sources]
    logs = TopicLogs(plan.kafka).of(*topics)
    return with_added_partitions(plan, {topic: log.partitions for topic, log in logs.items()})


def run_with_added_partitions(plan: Plan, run: Callable[[Plan], _Result]) -> _Result:
    """Run a plan, and again with more partitions whenever some are added to its input.

    Args:
        plan: the plan.
        run: runs a plan until it is stopped, or raises PartitionsAdded.

    Raises:
        PartitionsAdded: the logic cannot take partitions up that were added.
    """
    while True:
        plan = present_plan(plan)
        try:
            return run(plan)
        except PartitionsAdded as error:
            _log.info("%s", error.message, extra={"facts": error.facts})
            plan = with_added_partitions(plan, {error.topic or "": error.found or 0})
