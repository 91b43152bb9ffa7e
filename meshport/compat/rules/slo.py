"""What a product promises of how good its data is: the service levels (ODCS `slaProperties`) that hold for a port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.service_levels import LevelChange, figure, level_change, path_of, promise_text, promised
from meshport.product import ServiceLevel

_CONTRACT: Final = (Direction.CONTRACT,)


def slo_weakened(change: Change) -> Iterator[Found]:
    """A service level promises less than it did.

    Readers build on it: an alarm after the promised delay, a report that counts on completeness. Which way is weaker
    depends on the property: of a delay (timeliness, intervalOfChange, latency ..., errorRate) a larger figure, of a share
    or an amount (completeness, availability, accuracy, throughput, retention) a smaller one. Units are converted (ms, s,
    m, h, d, w, y); a figure in a unit that cannot be compared counts as weaker. A level of the port takes the place of one
    of all ports.

    Keep the level, or agree on the new one with the readers first.
    """
    for was, now in _changed_levels(change, LevelChange.WEAKER):
        yield Found(
            path_of(was),
            f"{was.property!r} was promised at {promise_text(was)} and would be at {promise_text(now)}, which is weaker",
            promise_text(was),
            promise_text(now),
            f"keep {_line(was)} in slaProperties, or have the readers agree first",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


def slo_removed(change: Change) -> Iterator[Found]:
    """A service level is no longer promised.

    It is the weakest promise of all: whatever readers built on the old one rests on nothing. Nothing measures it any more
    either.

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
                    f"keep {_line(was)} in slaProperties",
                    RollOut.READERS,
                    part=Part.PRODUCT,
                )


def slo_changed(change: Change) -> Iterator[Found]:
    """A service level of a property that the gate does not know has another figure.

    ODCS takes any property, and nobody here can tell which way is weaker; that is why it is a warning.

    Look at it yourself; if it promises less, agree on it with the readers first.
    """
    for was, now in _changed_levels(change, LevelChange.OTHER):
        yield Found(
            path_of(was),
            f"{was.property!r} was promised at {promise_text(was)} and would be at {promise_text(now)}; "
            "which is weaker is not known",
            promise_text(was),
            promise_text(now),
            f"if it promises less, keep {_line(was)} in slaProperties, or have the readers agree first",
            part=Part.PRODUCT,
        )


RULES: Final = (
    Rule(
        "SLO_WEAKENED",
        "a service level promises what it promised",
        _CONTRACT,
        Scope.CHANGE,
        slo_weakened,
        stops=Stops.NOBODY,
    ),
    Rule(
        "SLO_REMOVED",
        "a service level stays promised",
        _CONTRACT,
        Scope.CHANGE,
        slo_removed,
        stops=Stops.NOBODY,
    ),
    Rule(
        "SLO_CHANGED",
        "a service level that nobody can order is looked at",
        _CONTRACT,
        Scope.CHANGE,
        slo_changed,
        Severity.WARNING,
    ),
)


def _changed_levels(change: Change, kind: LevelChange) -> Iterator[tuple[ServiceLevel, ServiceLevel]]:
    """The service levels of the port that none of the new ones keeps, with the nearest new one, where that is of a kind."""
    if change.after is None or change.product is None:
        return
    left = promised(change.product, change.after.port.name)
    for name, levels in promised(change.before.product, change.before.port.name).items():
        for was in levels:
            became = {level_change(was, now): now for now in left.get(name, ())}
            if became and not became.keys() & {LevelChange.KEPT, LevelChange.STRONGER} and kind in became:
                yield was, became[kind]


def _line(level: ServiceLevel) -> str:
    given = {"property": level.property, "value": figure(level), "unit": level.unit, "port": level.port}
    return "`{" + ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None) + "}`"
