"""What a port promises around its events: their time and type, the level of its schema, whom it protects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import WAIVE, new_major
from meshport.product import Compatibility, Protection, Status

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
    """Return whether a level promises everything that another one does; BACKWARD and FORWARD do not promise each other."""
    return _HELD[level] >= _HELD[other]


def time_changed(change: Change) -> Iterator[Found]:
    """The time of an event is taken from another field, or from a field for the first or last time.

    `ce_time` is made from this field. Readers assign events to windows by it, judge them late by it and replay a range of it.
    No decoder notices that it means something else, so figures change silently. Without a time field it is the moment of
    publishing, which a repeated publish does not reproduce.

    Keep `time`, and give the other moment a field of its own; or publish a new major.
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

    Readers select events by `ce_type` (CloudEvents 1.0.2, "type": used for routing and policy enforcement). A reader that
    knows only the old type skips the new events without an error. Stored events keep the old type, so a replay contains
    both.

    Declare the old one: `type: <old>`. If it has to change, let the readers accept both first, or publish a new major.
    """
    after = change.after
    if (
        after is None or after.product.address != change.before.product.address
    ):  # EVENT_SOURCE reports a changed address
        return
    was, now = change.before.product.event_type(change.before.port), after.product.event_type(after.port)
    if was != now:
        yield Found(
            "type",
            f"the events' CloudEvents type was {was!r} and would be {now!r}",
            was,
            now,
            f"write `type: {was}` at the port; or let every reader take both types first, then {WAIVE}",
            RollOut.READERS,
            Part.PORT,
        )


def compatibility_lowered(change: Change) -> Iterator[Found]:
    """The compatibility level promises less than before.

    Readers that rely on the level follow a port without reviewing each change. A level that is lowered today lets tomorrow's
    change break them: this edit comes before the breaking one. Levels are ordered by their direction, and by whether they
    hold for all versions or the newest. BACKWARD and FORWARD do not include each other, so changing one into the other lowers
    the level too. A change of archetype counts if the level is its default.

    Keep the level; write it as `compatibility:` if it came from the archetype.
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
    """The port protects its declared readers only, after it protected everyone.

    From then on a change passes even if it breaks a reader that is not known to the mesh: a job that subscribes by itself, a
    tool on the topic. These readers were promised otherwise.

    Keep `protects: everyone`, or ask the readers of the topic to declare it among their input ports first: comparing
    `meshport readers ADDRESS` with the topic's consumer groups shows which are missing.
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
            f"its topic, let who is missing declare it, then {WAIVE}",
            RollOut.READERS,
            Part.PORT,
        )


def port_removed(change: Change) -> Iterator[Found]:
    """An output port, or one of its major lines, is no longer in the descriptor; a renamed port counts as removed.

    Its address would resolve to nothing, while its topic, its subject and its readers still exist; an address is permanent. A
    line is retired in the registry, which knows its readers and answers 410 with the successor from then on. A waiver cannot
    do that.

    Give readers a day and a successor, retire the line once they have left, then remove it from the descriptor. The ports of
    a retired product may be removed.
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
        f"put it back; when its readers have left, `meshport retire {before.address.key}`, then remove it",
        RollOut.READERS,
        Part.PORT,
    )


RULES: Final = (
    Rule("TIME_CHANGED", "the time of an event keeps its meaning", _CONTRACT, Scope.CHANGE, time_changed),
    Rule("EVENT_TYPE", "events keep their CloudEvents type", _CONTRACT, Scope.CHANGE, event_type),
    Rule(
        "COMPATIBILITY_LOWERED",
        "the compatibility level promises no less",
        _CONTRACT,
        Scope.CHANGE,
        compatibility_lowered,
        stops=Stops.NO_READER,
    ),
    Rule(
        "PROTECTION_LOWERED",
        "protected readers stay protected",
        _CONTRACT,
        Scope.CHANGE,
        protection_lowered,
        stops=Stops.NO_READER,
    ),
    Rule(
        "PORT_REMOVED",
        "an address resolves until it is retired",
        _CONTRACT,
        Scope.CHANGE,
        port_removed,
        waivable=False,
        holds_unused=True,
    ),
)
