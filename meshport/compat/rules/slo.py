"""What a product promises of the quality of its data: the service levels (ODCS `slaProperties`) of a port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import WAIVE
from meshport.compat.service_levels import LevelChange, figure, level_change, path_of, promise_text, promised
from meshport.product import ServiceLevel

_CONTRACT: Final = (Direction.CONTRACT,)


def slo_weakened(change: Change) -> Iterator[Found]:
    """A service level promises less than before.

    Readers rely on it: an alarm after the promised delay, a report that needs complete data. The direction depends on the
    property: for a delay or an error rate (timeliness, intervalOfChange, latency ..., errorRate) a larger figure is weaker,
    for a share or an amount (completeness, availability, accuracy, throughput, retention) a smaller one. Units are converted
    (ms, s, m, h, d, w, y); a figure in a unit that cannot be compared counts as weaker. A level of the port overrides the
    same level of all ports.

    Keep the level, or agree on the new one with the readers first.
    """
    for was, now in _changed_levels(change, LevelChange.WEAKER):
        yield Found(
            path_of(was),
            f"{was.property!r} was promised at {promise_text(was)} and would be at {promise_text(now)}, which is weaker",
            promise_text(was),
            promise_text(now),
            f"{_keep(was, now)}; or have the readers agree first, then {WAIVE}",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


def slo_removed(change: Change) -> Iterator[Found]:
    """A service level is no longer promised.

    This is the weakest promise of all: readers that relied on the old level have no promise left, and it is no longer
    measured.

    Keep the level, with a figure that can be kept.
    """
    if change.after is None or change.product is None:
        return
    left = promised(change.product, change.after.port.name)
    for name, levels in promised(change.before.product, change.before.port.name).items():
        if name not in left:
            for was in levels:
                yield Found(
                    path_of(was),
                    f"{was.property!r} was promised at {promise_text(was)} and would not be promised any more",
                    promise_text(was),
                    None,
                    f"keep {_line(was)} in slaProperties; or have the readers agree first, then {WAIVE}",
                    RollOut.READERS,
                    part=Part.PRODUCT,
                )


def slo_changed(change: Change) -> Iterator[Found]:
    """A service level has another figure, and the gate does not know its property.

    ODCS allows any property. The gate cannot decide which figure is weaker, so this is a warning.

    Compare the figures. If the new one promises less, agree on it with the readers first.
    """
    for was, now in _changed_levels(change, LevelChange.OTHER):
        yield Found(
            path_of(was),
            f"{was.property!r} was promised at {promise_text(was)} and would be at {promise_text(now)}; "
            "which is weaker is not known",
            promise_text(was),
            promise_text(now),
            f"if it promises less, {_keep(was, now)}; or have the readers agree first",
            part=Part.PRODUCT,
        )


RULES: Final = (
    Rule(
        "SLO_WEAKENED",
        "a service level promises no less",
        _CONTRACT,
        Scope.CHANGE,
        slo_weakened,
        stops=Stops.NO_READER,
    ),
    Rule(
        "SLO_REMOVED",
        "a service level stays promised",
        _CONTRACT,
        Scope.CHANGE,
        slo_removed,
        stops=Stops.NO_READER,
    ),
    Rule(
        "SLO_CHANGED",
        "a service level of an unknown property is compared by its owner",
        _CONTRACT,
        Scope.CHANGE,
        slo_changed,
        Severity.WARNING,
    ),
)


def _changed_levels(change: Change, kind: LevelChange) -> Iterator[tuple[ServiceLevel, ServiceLevel]]:
    """Yield each service level that no new level keeps, with the new level that has one kind of relation to it."""
    if change.after is None or change.product is None:
        return
    left = promised(change.product, change.after.port.name)
    for name, levels in promised(change.before.product, change.before.port.name).items():
        for was in levels:
            became = {level_change(was, now): now for now in left.get(name, ())}
            if became and not became.keys() & {LevelChange.KEPT, LevelChange.STRONGER} and kind in became:
                yield was, became[kind]


def _keep(was: ServiceLevel, now: ServiceLevel) -> str:
    """Return the advice to keep a level, or to take away the one of the port that overrides it."""
    if now.port is not None and was.port is None:
        return f"take {_line(now)} out of slaProperties, where {_line(was)} holds for every port"
    return f"keep {_line(was)} in slaProperties"


def _line(level: ServiceLevel) -> str:
    given = {"property": level.property, "value": figure(level), "unit": level.unit, "port": level.port}
    return "`{" + ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None) + "}`"
