"""What a port promises of its topic: partitions, what it keeps and for how long, and on how many brokers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import WAIVE, new_major
from meshport.product import OutputPort
from meshport.product.duration import format_duration
from meshport.product.topic_settings import IN_SYNC, TOMBSTONES_MS

_CONTRACT: Final = (Direction.CONTRACT,)
_REPLICAS: Final = 3
_TOMBSTONES_KEPT_MS: Final = 86_400_000  # Kafka's default


def topic_changed(change: Change) -> Iterator[Found]:
    """The port adopts another topic, or reads the events of its topic in another form.

    An address leads to one log: readers keep their offsets in it, and another topic has none of these events at these offsets.
    `envelope` decides whether the attributes of an event come from its headers: with a change of it every stored event gets
    another id and time, so that a reader takes each for a new one.

    Keep both, or publish the other topic as a port or a major of its own.
    """
    if (after := change.after) is None:
        return
    if after.product.address != change.before.product.address:  # EVENT_SOURCE reports a changed address
        return
    before, port = change.before.port, after.port
    was, now = change.before.product.topic(before), after.product.topic(port)
    if was != now:
        keep = f"keep `topic: {was}`" if before.topic else "keep the port without `topic`"
        yield Found(
            "topic",
            f"the topic was {was!r} and would be {now!r}: readers keep their offsets in the first",
            was,
            now,
            f"{keep}; or {new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )
    was, now = (each.envelope or "cloudevents" for each in (before, port))
    if was != now:
        yield Found(
            "envelope",
            f"the envelope was {was!r} and would be {now!r}: every stored event would get another id",
            was,
            now,
            f"keep `envelope: {was}`; or {new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def partitions(change: Change) -> Iterator[Found]:
    """The port declares fewer partitions than its topic has.

    Kafka cannot reduce the number (INVALID_PARTITIONS, KIP-195), and a key's partition is its hash modulo that number. No
    waiver lets it pass, because the topic would be wrong whatever was approved.

    Declare as many as the topic has. `meshport rebuild ADDRESS --partitions N` binds a generation with fewer.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.partitions, after.port.partitions
    if now < was:
        yield Found(
            "partitions",
            f"the topic has {was} partitions and would have {now}: Kafka cannot remove partitions",
            was,
            now,
            f"write `partitions: {was}`; or `meshport rebuild {after.product.address.key} --partitions {now} --swap always` "
            f"first; or {new_major(change.before)}",
            RollOut.ANY,
            Part.PORT,
        )


def partitions_added(change: Change) -> Iterator[Found]:
    """The port declares more partitions than it had.

    A key's partition is its hash modulo the number of partitions (Kafka's default partitioner). In a topic that grows, new
    events of a key go to another partition than the stored ones: their order is lost, and state by key is split. A new
    generation has every key in one partition, and readers continue in it without a gap or a repeat.

    First `meshport rebuild ADDRESS --partitions N --swap always`, then `meshport apply`; the registry then knows the new number
    and finds nothing. Where the gate compares with git, which knows no generations, waive the rule for that change. `apply`
    and the registry refuse it before the rebuild, waived or not.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.partitions, after.port.partitions
    if now > was:
        rebuild = f"`meshport rebuild {after.product.address.key} --partitions {now} --swap always` first"
        agree = f"where its other writers have added them, let the readers know, then {WAIVE}"
        yield Found(
            "partitions",
            f"the topic has {was} partitions and would have {now}: keys would move to others",
            was,
            now,
            f"{agree if after.port.adopted else rebuild}; or keep `partitions: {was}`",
            RollOut.ANY,
            Part.PORT,
        )


def cleanup_policy(change: Change) -> Iterator[Found]:
    """The cleanup policy changed, so that the topic keeps something else.

    With `compact`, Kafka removes all but the last event of each key: a reader of facts finds no history, and cannot get it
    back. With `delete`, Kafka removes everything older than the retention, rows of a table included: a reader of the table
    misses every row that did not change lately.

    Keep the policy. Publish the other view as a port or a product of its own, so that both can be read.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.cleanup, after.port.cleanup
    if was != now:
        lost = (
            "all but the last event of each key"
            if now == "compact"
            else "rows that did not change within the retention"
        )
        yield Found(
            "cleanup",
            f"the cleanup policy was {was!r} and would be {now!r}: Kafka would remove {lost}",
            was,
            now,
            f"keep `cleanup: {was}` and publish the other view as another output port; or {new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def tombstones(change: Change) -> Iterator[Found]:
    """The port becomes a table: events with a null value, tombstones, delete a row.

    A reader of facts fails on its first null, or worse, skips it and keeps a row that was deleted. It is a warning, since
    CLEANUP_POLICY refuses the same edit; this remains to be done if that rule is waived.

    Let each reader handle an event without data first: delete the row of its key.
    """
    if (after := change.after) is None:
        return
    if change.before.port.cleanup == "delete" and after.port.cleanup == "compact":
        yield Found(
            "cleanup",
            "readers would meet events with a null value for the first time",
            "delete",
            "compact",
            "let the readers treat an event without data as the end of its key's row, before the first is published",
            RollOut.READERS,
            Part.PORT,
        )


def retention(change: Change) -> Iterator[Found]:
    """Events are kept for a shorter time.

    Kafka removes older events as soon as the setting is applied, including events written before. A reader that was down for
    longer, or that builds its state from the beginning, misses events without being notified. Kafka ignores `retention.ms`
    on a compacted topic (topic configuration, `cleanup.policy`); there it removes tombstones after `delete.retention.ms`,
    and a reader that was down for longer keeps rows that were deleted.

    Keep the retention, or agree on the shorter one with the readers and let them read what they need before.
    """
    after = change.after
    if after is None:
        return
    if change.before.port.cleanup == after.port.cleanup == "compact":
        yield from _tombstones_kept(change.before.port, after.port)
        return
    was, now = change.before.port.retention, after.port.retention
    if now is not None and (was is None or now < was):
        kept = "forever" if was is None else format_duration(was)
        yield Found(
            "retention",
            f"events were kept {'' if was is None else 'for '}{kept} and would be kept for {format_duration(now)}",
            kept,
            format_duration(now),
            f"keep `retention: {kept}`; or agree with the readers, then {WAIVE}",
            RollOut.READERS,
            Part.PORT,
        )


def _tombstones_kept(before: OutputPort, after: OutputPort) -> Iterator[Found]:
    was, now = (int((each.config or {}).get(TOMBSTONES_MS, _TOMBSTONES_KEPT_MS)) for each in (before, after))
    if now < was:
        kept, left = (format_duration(timedelta(milliseconds=each)) for each in (was, now))
        yield Found(
            f"config.{TOMBSTONES_MS}",
            f"tombstones were kept for {kept} and would be kept for {left}: a reader that was down for longer keeps rows "
            "that were deleted",
            str(was),
            str(now),
            f"keep `config: {{{TOMBSTONES_MS}: {was}}}`; or agree with the readers, then {WAIVE}",
            RollOut.READERS,
            Part.PORT,
        )


def durability_lowered(change: Change) -> Iterator[Found]:
    """An acknowledged event is stored on fewer brokers.

    A publisher does not send an event again that the broker has acknowledged. With fewer replicas, or fewer that have to store an
    event before it is acknowledged (`min.insync.replicas`), fewer brokers have to fail at once for it to be lost, and readers
    to miss it for all time. It is a warning: the contract holds as long as the brokers do. A port that declares nothing has
    three replicas, of which two store an event, where its cluster has three brokers.

    Keep the numbers, or let the owner and the readers know what is at stake.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port, after.port
    if _replicas(now) < _replicas(was):
        yield _weaker(
            "replicationFactor", "replicas", _replicas(was), _replicas(now), f"replicationFactor: {_replicas(was)}"
        )
    elif _in_sync(now) < _in_sync(was):
        keep = f"config: {{{IN_SYNC}: {_in_sync(was)}}}"
        yield _weaker(f"config.{IN_SYNC}", "replicas in sync", _in_sync(was), _in_sync(now), keep)


def _weaker(path: str, what: str, was: int, now: int, keep: str) -> Found:
    text = f"an event was acknowledged with {was} {what}, and would be with {now}"
    return Found(path, text, was, now, f"keep `{keep}`", RollOut.ANY, Part.PORT)


def _replicas(port: OutputPort) -> int:
    return port.replication_factor or _REPLICAS


def _in_sync(port: OutputPort) -> int:
    return int((port.config or {}).get(IN_SYNC, 2 if _replicas(port) >= _REPLICAS else 1))


RULES: Final = (
    Rule("TOPIC_CHANGED", "an address keeps its log", _CONTRACT, Scope.CHANGE, topic_changed, holds_unused=True),
    Rule(
        "PARTITIONS",
        "a topic keeps its partitions",
        _CONTRACT,
        Scope.CHANGE,
        partitions,
        waivable=False,
        holds_unused=True,
    ),
    Rule(
        "PARTITIONS_ADDED",
        "keys stay in their partitions",
        _CONTRACT,
        Scope.CHANGE,
        partitions_added,
        holds_unused=True,
    ),
    Rule("CLEANUP_POLICY", "a topic keeps its cleanup policy", _CONTRACT, Scope.CHANGE, cleanup_policy),
    Rule(
        "TOMBSTONES",
        "readers expect null values before the first is written",
        _CONTRACT,
        Scope.CHANGE,
        tombstones,
        Severity.WARNING,
    ),
    Rule(
        "RETENTION",
        "events are kept for the promised time",
        _CONTRACT,
        Scope.CHANGE,
        retention,
        stops=Stops.NO_READER,
    ),
    Rule(
        "DURABILITY_LOWERED",
        "an acknowledged event stays on as many brokers",
        _CONTRACT,
        Scope.CHANGE,
        durability_lowered,
        Severity.WARNING,
    ),
)
