"""What a second major line means to the readers of the first: it moves no reader before the announced day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import DAY
from meshport.product import OutputPort, Status
from meshport.product.lines import next_major

_CONTRACT: Final = (Direction.CONTRACT,)


def moves_readers(change: Change) -> Iterator[Found]:
    """A higher major of the port would be live at once, or earlier than announced, while this one has readers.

    An address without a major resolves to the highest major whose `liveFrom` has come, and most readers subscribe by such an
    address. A new major exists because its contract breaks them. Without a future day they would read it from their next
    start on, although nothing changed on their side. A producer that publishes to an address without a major moves too. A
    line without `liveFrom` is live at once.

    Give the new line a `liveFrom` that leaves time to move, as `meshport new ADDRESS --major` does (30 days), publish to both
    lines meanwhile, and never move the day earlier; a day that has passed can stay as it is. Readers move by naming the new
    major. They can stay by naming the old one, until its `deprecatedOn`.
    """
    before, product, port = change.before.product, change.product, change.before.port
    if product is None or change.after is None or before.status in {Status.DRAFT, Status.RETIRED}:
        return
    known, lines = before.lines(port.name), product.lines(port.name)
    following = next_major(lines, port.major)
    if following is None or (following not in known and following < max(known)):
        return  # a line below the live one moves no reader
    was, now = known.get(following), lines[following]
    if not _sooner(was, now, change.today):
        return
    line = f"{port.name}@{following}"
    announced = None if was is None else was.live_from
    yield Found(
        f"outputPorts.{line}",
        f"readers of {port.name!r} that name no major would be moved from {port.name}@{port.major} to {line!r} "
        + (
            "at once"
            if announced is None
            else f"from {now.live_from} on, and were told {announced}"
            if now.live_from
            else f"at once, and were told {announced}"
        ),
        None if announced is None else announced.isoformat(),
        None if now.live_from is None else now.live_from.isoformat(),
        f"keep `liveFrom: {announced}` at {line}"
        if announced
        else f"give {line} a day to come, `liveFrom: {DAY}`, as `meshport new {before.address.key} --major` writes it; "
        f"until then readers move by naming {product.address.at(port.name, following).key}",
        RollOut.READERS,
        Part.PRODUCT,
    )


def line_dates(change: Change) -> Iterator[Found]:
    """Readers would have less time to leave this line than announced.

    After `deprecatedOn` the line is not expected to have readers: the producer may stop publishing to it, and the line may be
    retired. Teams plan their move by that day. The day by itself stops no reader, so this is a warning.

    Move the day later only. `meshport readers ADDRESS` lists the readers that have not left.
    """
    after, was = change.after, change.before.port.deprecated_on
    if after is None or was is None:
        return
    now = after.port.deprecated_on
    if now is not None and now < was:
        yield Found(
            "deprecatedOn",
            f"readers had until {was} to leave {after.port.name}@{after.port.major} and would have until {now}",
            was.isoformat(),
            now.isoformat(),
            f"keep `deprecatedOn: {was}`",
            RollOut.READERS,
            Part.PORT,
        )


RULES: Final = (
    Rule(
        "MAJOR_MOVES_READERS",
        "no reader moves to another contract before the announced day",
        _CONTRACT,
        Scope.CHANGE,
        moves_readers,
        stops=Stops.UNPINNED,
    ),
    Rule(
        "LINE_DATES",
        "readers have the announced time to leave a line",
        _CONTRACT,
        Scope.CHANGE,
        line_dates,
        Severity.WARNING,
        stops=Stops.NO_READER,
    ),
)


def _sooner(was: OutputPort | None, now: OutputPort, today: date) -> bool:
    """Return whether a line would become live without notice, or before the announced day."""
    starts = now.live_from or date.min
    if was is None:
        return starts <= today
    return was.live_from is not None and was.live_from > today and starts < was.live_from
