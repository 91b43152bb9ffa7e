"""What a port promises around its events: their time and type, the topic, the level that its schema is held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import new_major
from meshport.product import Compatibility, Protection, Status
from meshport.product.duration import format_duration

_CONTRACT: Final = (Direction.CONTRACT,)
_BACK, _BACK_ALL, _FORTH, _FORTH_ALL = "backward", "backward, all", "forward", "forward, all"
_HELD: Final = {
    Compatibility.NONE: frozenset[str](),
    Compatibility.BACKWARD: frozenset({_BACK}),
    Compatibility.BACKWARD_TRANSITIVE: frozenset({_BACK, _BACK_ALL}),
    Compatibility.FORWARD: frozenset({_FORTH}),
    Compatibility.FORWARD_TRANSITIVE: frozenset({_FORTH, _FORTH_ALL}),
    Compatibility.FULL: frozenset({_BACK, _FORTH}),
    Compatibility.FULL_TRANSITIVE: frozenset({_BACK, _BACK_ALL, _FORTH, _FORTH_ALL}),
}


def at_least(level: Compatibility, other: Compatibility) -> bool:
    """Whether a level promises all that another one does; of BACKWARD and FORWARD neither does."""
    return _HELD[level] >= _HELD[other]


def time_changed(change: Change) -> Iterator[Found]:
    """Another field says when the fact happened, or none does any more, or one does for the first time.

    `ce_time` is made from it. Readers put events into windows by it, tell late ones from it and replay from..to by it; no
    decoder notices that it means something else, so that figures change in silence. Without a time field it is the moment
    of publishing, which no repetition gives again.

    Keep `time`, and give the other moment as a field of its own; or publish a new major.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.time, after.port.time
    if was != now:
        times = [f"the field {name!r}" if name else "the moment of publishing" for name in (was, now)]
        keep = f"keep `time: {was}`" if was else "keep the port without `time`"
        yield Found(
            "time",
            f"the time of an event was {times[0]} and would be {times[1]}",
            was,
            now,
            f"{keep}, and leave the other moment an ordinary field; or {new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def event_type(change: Change) -> Iterator[Found]:
    """The CloudEvents type of the port's events changed.

    Readers choose by `ce_type` which events are theirs (CloudEvents 1.0.2, "type": used for routing and policy
    enforcement). Those that know the old one only pass the new events by, without an error. Events that are stored keep
    the old type, so that a replay brings both.

    Write the old one out: `type: <old>`. If it has to change, teach the readers both first, or publish a new major.
    """
    after = change.after
    if after is None or after.product.address != change.before.product.address:  # EVENT_SOURCE tells all of that
        return
    was, now = change.before.product.event_type(change.before.port), after.product.event_type(after.port)
    if was != now:
        yield Found(
            "type",
            f"the events' CloudEvents type was {was!r} and would be {now!r}",
            was,
            now,
            f"write `type: {was}` at the port; or let every reader take both types first",
            RollOut.READERS,
            Part.PORT,
        )


def partitions(change: Change) -> Iterator[Found]:
    """The number of partitions changed.

    A key's partition is its hash modulo their number (Kafka's default partitioner). With more partitions, new events of
    a key go elsewhere than the stored ones: their order is lost, and joins of topics that were partitioned alike break.
    Fewer is nothing that Kafka can do (INVALID_PARTITIONS, KIP-195). The topic would be wrong whoever agreed, so that no
    waiver helps.

    Rebuild the product into a new generation with that number, or publish a new major.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.partitions, after.port.partitions
    if was != now:
        why = "keys would move to others" if now > was else "Kafka takes none away"
        yield Found(
            "partitions",
            f"the topic has {was} partitions and would have {now}: {why}",
            was,
            now,
            f"keep `partitions: {was}`; rebuild the product into a new generation, or {new_major(change.before)}",
            RollOut.ANY,
            Part.PORT,
        )


def cleanup_policy(change: Change) -> Iterator[Found]:
    """Another cleanup policy: what the topic keeps is something else.

    With `compact`, Kafka removes all but the last event of each key: who reads facts finds no history, and cannot get it
    back. With `delete`, it removes what is older than the retention, rows of a table too: who reads a table misses every
    row that did not change lately.

    Keep the policy. Publish the other view as a port or product of its own; both can then be read.
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
            f"keep `cleanup: {was}` and publish the other view as another output port, or {new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def tombstones(change: Change) -> Iterator[Found]:
    """The port becomes a table: events with a null value say that a row is no more.

    A reader of facts that meets its first null fails on it, or worse, skips it and keeps a row that is gone. It is a
    warning, since CLEANUP_POLICY refuses the same edit; whoever waives that one has this left to do.

    Let each reader handle an event without data first: remove the row of its key.
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

    Kafka removes what is older as soon as the setting is applied, not only what is written from then on. A reader that
    was down for longer, or that builds itself from the beginning, misses events and is not told. It counts only where
    time removes anything: on a compacted topic Kafka does not look at `retention.ms` (topic configuration,
    `cleanup.policy`).

    Keep the retention, or agree on the shorter one with the readers and let them take what they need before.
    """
    after = change.after
    if after is None or change.before.port.cleanup == after.port.cleanup == "compact":
        return
    was, now = change.before.port.retention, after.port.retention
    if now is not None and (was is None or now < was):
        kept = "forever" if was is None else format_duration(was)
        yield Found(
            "retention",
            f"events were kept {'' if was is None else 'for '}{kept} and would be kept for {format_duration(now)}",
            kept,
            format_duration(now),
            f"keep `retention: {kept}`",
            RollOut.READERS,
            Part.PORT,
        )


def compatibility_lowered(change: Change) -> Iterator[Found]:
    """The compatibility level promises less than it did.

    Readers rely on it when they choose to follow a port without looking at each change. A level that is lowered today
    lets tomorrow's change break them: this is the edit that comes before the breaking one. Levels are ordered by what
    they hold: a direction, and whether to all versions or the newest; of BACKWARD and FORWARD neither holds what the
    other does, so that going from one to the other lowers it too. A change of archetype counts, where the level is its
    default.

    Keep the level, written out as `compatibility:` where it came from the archetype.
    """
    if (after := change.after) is None:
        return
    was, now = (each.product.compatibility(each.port) for each in (change.before, after))
    if not at_least(now, was):
        yield Found(
            "compatibility",
            f"the compatibility level was {str(was)!r} and would be {str(now)!r}, which does not hold all that it promised",
            was.value,
            now.value,
            f"write `compatibility: {was}` at the port",
            RollOut.ANY,
            Part.PORT,
        )


def protection_lowered(change: Change) -> Iterator[Found]:
    """The port would protect its declared readers only, where it protected everyone.

    From then on a change passes that breaks a reader whom the mesh does not know: a job that subscribes by itself, a
    tool on the topic. They were promised otherwise.

    Keep `protects: everyone`, or ask whoever reads the topic to declare it among its input ports first:
    `meshport readers ADDRESS` and the topic's consumer groups say who is missing.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.protects, after.port.protects
    if was is Protection.EVERYONE and now is not Protection.EVERYONE:
        yield Found(
            "protects",
            f"the port protected {was.value} and would protect {now.value} only",
            was.value,
            now.value,
            f"keep `protects: {was}`; or compare `meshport readers {change.before.address.key}` with the consumer groups of "
            "its topic, and let who is missing declare it first",
            RollOut.READERS,
            Part.PORT,
        )


def port_removed(change: Change) -> Iterator[Found]:
    """An output port, or one of its major lines, is gone from the descriptor. A port under another name is gone too.

    Its address would lead nowhere, while its topic, its subject and its readers are still there; an address is permanent.
    A line ends in the registry, which knows its readers and answers 410 with the successor from then on; no waiver can
    do that.

    Give readers a date and a place to go, retire the line once they have left, then take it out of the descriptor. The
    ports of a retired product may go.
    """
    before, product = change.before, change.product
    if change.after is not None or product is None or before.product.status is Status.RETIRED:
        return
    line = f"{before.port.name}@{before.port.major}"
    yield Found(
        "",
        f"the output port {line!r} is gone from the descriptor, and nobody has retired it",
        line,
        None,
        f"put it back; to end it, publish a higher major and a day with `deprecatedOn`, and when its readers have left, "
        f'POST /api/v1/dataproducts/{before.product.id}/retire {{"port": "{line}"}}',
        RollOut.READERS,
        Part.PORT,
    )


RULES: Final = (
    Rule("TIME_CHANGED", "the time of an event means what it meant", _CONTRACT, Scope.CHANGE, time_changed),
    Rule("EVENT_TYPE", "events keep their CloudEvents type", _CONTRACT, Scope.CHANGE, event_type),
    Rule("PARTITIONS", "keys stay in their partitions", _CONTRACT, Scope.CHANGE, partitions, waivable=False),
    Rule("CLEANUP_POLICY", "a topic keeps the kind of thing that it kept", _CONTRACT, Scope.CHANGE, cleanup_policy),
    Rule(
        "TOMBSTONES",
        "readers know of null values before they meet one",
        _CONTRACT,
        Scope.CHANGE,
        tombstones,
        Severity.WARNING,
    ),
    Rule(
        "RETENTION",
        "events are kept as long as was promised",
        _CONTRACT,
        Scope.CHANGE,
        retention,
        stops=Stops.NOBODY,
    ),
    Rule(
        "COMPATIBILITY_LOWERED",
        "the compatibility level holds all that it held",
        _CONTRACT,
        Scope.CHANGE,
        compatibility_lowered,
        stops=Stops.NOBODY,
    ),
    Rule(
        "PROTECTION_LOWERED",
        "whoever was protected stays so",
        _CONTRACT,
        Scope.CHANGE,
        protection_lowered,
        stops=Stops.NOBODY,
    ),
    Rule(
        "PORT_REMOVED",
        "an address leads somewhere until it is retired",
        _CONTRACT,
        Scope.CHANGE,
        port_removed,
        waivable=False,
    ),
)
