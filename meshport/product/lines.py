"""The major lines of a port: which one an address without a major resolves to, and which dates the lines may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Protocol

from meshport.product.migration import Migration


class Line(Protocol):
    """One major line of a port, as its product declares it."""

    @property
    def name(self) -> str:
        """The port's name."""

    @property
    def major(self) -> int:
        """The contract's major version."""

    @property
    def live_from(self) -> date | None:
        """The day from which an address without a major resolves to this line; None for all time."""

    @property
    def deprecated_on(self) -> date | None:
        """The day after which readers should have left; None where none is declared."""

    @property
    def envelope(self) -> str | None:
        """`none` where the topic's events are no CloudEvents."""

    @property
    def migration(self) -> Migration | None:
        """How the events of an earlier line are read as events of this one; None where they are not."""


def utc_today() -> date:
    """Return the current day in UTC; every date of a line is one in UTC."""
    return datetime.now(UTC).date()


def live_major(starts: Mapping[int, date | None], today: date) -> int | None:
    """Return the major that an address without one resolves to: the highest that is live.

    Args:
        starts: `live_from` by major, of the lines that the address may resolve to.
        today: the day (UTC).

    Returns:
        The major; the lowest where none is live yet, so that an address resolves while any line is left; None without
        lines.
    """
    live = [major for major, start in starts.items() if start is None or start <= today]
    return max(live) if live else min(starts, default=None)


def next_major(majors: Iterable[int], major: int) -> int | None:
    """Return the line that readers of `major` move to; None where `major` is the highest."""
    return min((each for each in majors if each > major), default=None)


def misdated(lines: Iterable[Line]) -> Iterator[tuple[int, str, str]]:
    """Yield the dates of a product's lines that contradict each other.

    Only the lines are checked, not the product's status, which the registry changes independently of the descriptor.

    Args:
        lines: every output port.

    Yields:
        The line's index, its key (`liveFrom`, `deprecatedOn`), and what is wrong.
    """
    numbered = list(enumerate(lines))
    for index, line in numbered:
        called = f"{line.name}@{line.major}"
        ports = {each.major: each for _, each in numbered if each.name == line.name}
        before = max((major for major in ports if major < line.major), default=None)
        after = next_major(ports, line.major)
        start = None if before is None else ports[before].live_from
        if line.major == 1 and line.live_from is not None:
            yield index, "liveFrom", f"{called} is the port's first line: an address without a major leads here anyway"
        elif start is not None and (line.live_from is None or line.live_from < start):
            begins = f"from {line.live_from}" if line.live_from else "at once"
            yield (
                index,
                "liveFrom",
                f"{called} would be live {begins}, before {line.name}@{before}, which is from {start}",
            )
        if line.deprecated_on is None:
            continue
        if after is None:
            yield (
                index,
                "deprecatedOn",
                f"readers of {called} have no later major to move to; add {line.name}@{line.major + 1}, or deprecate "
                "the whole product",
            )
            continue
        moves = ports[after].live_from
        if moves is not None and line.deprecated_on < moves:
            yield (
                index,
                "deprecatedOn",
                f"readers should have left {called} by {line.deprecated_on}, but an address without a major leads to "
                f"{line.name}@{after} from {moves} on only",
            )


def migrated_from(line: Line) -> int | None:
    """Return the major whose events are read as events of a line; None where there is none."""
    return None if line.migration is None else line.migration.earlier(line.major)


def mismigrated(lines: Iterable[Line]) -> Iterator[tuple[int, str, str]]:
    """Yield the migrations of a product's lines that lead nowhere.

    Args:
        lines: every output port.

    Yields:
        The line's index, the key of its `migration`, and what is wrong.
    """
    every = list(lines)
    for index, line in enumerate(every):
        major = migrated_from(line)
        if major is None:
            continue
        called, majors = f"{line.name}@{line.major}", sorted(each.major for each in every if each.name == line.name)
        earlier = next((each for each in every if (each.name, each.major) == (line.name, major)), None)
        if major >= line.major:
            yield index, "from", f"{called} cannot migrate events of {line.name}@{major}, which is no earlier line"
        elif earlier is None:
            known = ", ".join(f"{line.name}@{each}" for each in majors if each < line.major) or "none"
            yield index, "from", f"there is no line {line.name}@{major} to migrate; earlier lines: {known}"
        elif "none" in {line.envelope, earlier.envelope}:
            yield index, "from", f"only CloudEvents are migrated; {called} or {line.name}@{major} has `envelope: none`"
