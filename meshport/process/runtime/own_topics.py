"""The topics that a processor makes for itself, and their settings.

In none of them does time remove what is not processed. Changelogs are compacted; late, quarantine and redrive topics are
kept for ever; from the repartition topic the processor itself deletes what it has committed (`repartition_purge`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from meshport.errors import KafkaError
from meshport.kafka.admin import Admin
from meshport.kafka.topic import Topic
from meshport.ports.failed.packing import LARGEST
from meshport.process.wire.plan import Plan

__all__ = ["CHANGELOG", "CHANGELOG_WHILE_BUILT", "ensure_topics", "lacking_retention"]

_log: Final = logging.getLogger(__name__)

# Compaction must not, within these ten minutes, drop a row because of a zombie's late write of an older one.
CHANGELOG: Final = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": "600000",
    "delete.retention.ms": "86400000",
    "min.cleanable.dirty.ratio": "0.5",
    "segment.bytes": str(64 * 1024 * 1024),
    "max.message.bytes": str(LARGEST),
}
"""The topic settings of a changelog."""

CHANGELOG_WHILE_BUILT: Final = {
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "60000",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(32 * 1024 * 1024),  # the active segment is never compacted
}
"""The settings that differ while a rebuild writes the changelog: its one writer fences its predecessors and nothing reads
the changelog yet, so the log cleaner may drop replaced rows at once, and the final restore reads fewer entries."""

# The cluster's own default may bound topics by their size.
_UNBOUNDED: Final = {"retention.ms": "-1", "retention.bytes": "-1"}
_KEPT_FOREVER: Final = {"cleanup.policy": "delete", **_UNBOUNDED, "max.message.bytes": str(LARGEST)}
# Kafka frees whole segments.
_REPARTITION: Final = {**_KEPT_FOREVER, "segment.bytes": str(64 * 1024 * 1024)}

_NO_RIGHT: Final = "TOPIC_AUTHORIZATION_FAILED"


def ensure_topics(plan: Plan, admin: Admin) -> None:
    """Create the topics that the processor itself owns: changelogs, repartition, late, quarantine and redrive topics.

    A repartition topic that an earlier version of Meshport made with a retention of seven days gets its present settings,
    where the login may `alter-configs` of the topic; else `meshport apply` sets them.

    Raises:
        TopicError: one exists with another number of partitions.
    """
    known = admin.partitions_of(*(each.stage.changelog for each in plan.sources), plan.redrive_topic)
    if plan.repartition is not None and not admin.ensure_topic(
        plan.repartition.topic, plan.repartition.partitions, _REPARTITION
    ):
        _lift_retention(plan.repartition.topic, admin)
    # These have a partition for each of an input; messages are written to it by number, so that more can be added.
    for topic, partitions, config in (
        *((each.stage.changelog, each.stage.partitions, CHANGELOG) for each in plan.sources),
        (plan.redrive_topic, plan.redrive_partitions, _KEPT_FOREVER),
    ):
        if 0 < known.get(topic, 0) < partitions:
            admin.add_partitions(topic, partitions)
        admin.ensure_topic(topic, partitions, config)
    if plan.repartition is not None:
        admin.ensure_topic(plan.repartition.changelog, plan.repartition.partitions, CHANGELOG)
    admin.ensure_topic(plan.quarantine_topic, plan.output.partitions, _KEPT_FOREVER)
    if plan.timed:
        admin.ensure_topic(plan.late_topic, plan.output.partitions, _KEPT_FOREVER)


def lacking_retention(topic: Topic) -> Mapping[str, str]:
    """Return the settings that a repartition topic lacks, where time or size would remove unprocessed records; else none."""
    bounded = any(topic.setting(name) not in {None, value} for name, value in _UNBOUNDED.items())
    return {name: value for name, value in _REPARTITION.items() if topic.config.get(name) != value} if bounded else {}


def _lift_retention(name: str, admin: Admin) -> None:
    try:
        found = admin.topic(name)
        if found is not None and (lacking := lacking_retention(found)):
            admin.set_config(name, lacking)
            _log.info("%s keeps every record until it is processed; it kept %s ms", name, found.setting("retention.ms"))
    except KafkaError as error:
        if error.code != _NO_RIGHT:
            raise
        _log.warning(
            "%s: this login may not `alter-configs` of the topic, whose retention may remove records before they are "
            "processed where the processor stands still. `meshport apply`, with a login that may, sets it once",
            error.message,
            extra={"facts": error.facts},
        )
