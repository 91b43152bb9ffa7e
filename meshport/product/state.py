"""The shape of a processor's stored state, and whether another pipeline can continue from it.

Stored state outlives the code that wrote it. The meaning of its rows follows from a few parts of the declaration: the
input, what is remembered of duplicates, the key of the grouping, its windows and its aggregations. All else (filters, names
given after the grouping, lateness, the engine) may change while the state stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from meshport.address import Address
from meshport.product.aggregation import Aggregation
from meshport.product.duration import format_duration

_DIGITS: Final = 16
# How a stored digest spells the windows of each kind: the repr of their class in the process package.
_WINDOW_REPRS: Final = {
    "tumbling": "Tumbling(size={0!r})",
    "hopping": "Hopping(size={0!r}, every={1!r})",
    "session": "Session(gap={0!r})",
}


class StateDifference(NamedTuple):
    """A step whose state has another meaning in another pipeline.

    Attributes:
        step: `input`, `deduplicate` (the first one; `deduplicate.2` is the second), `aggregate`, `apply`, or `join` (of two
            streams).
        message: what it was and what it would be.
        before: the state that the step kept, in words; None where it kept none.
        after: the state that it would keep, likewise.
    """

    step: str
    message: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class WindowShape:
    """Event-time windows.

    Attributes:
        kind: the kind of the windows.
        size: the length of each; for sessions the gap that ends one.
        every: the hop of hopping windows.
    """

    kind: Literal["tumbling", "hopping", "session"]
    size: timedelta
    every: timedelta | None = None

    def __str__(self) -> str:
        every = "" if self.every is None else f" every {format_duration(self.every)}"
        return f"{self.kind} {format_duration(self.size)}{every}"


@dataclass(frozen=True)
class DeduplicationShape:
    """What a `deduplicate` step remembers.

    Attributes:
        by: the fields that identify a record; empty for the event's own identity.
        within: for how long (event time).
    """

    by: tuple[str, ...]
    within: timedelta

    def __str__(self) -> str:
        return f"by {', '.join(self.by) or 'the event id'}, within {format_duration(self.within)}"


@dataclass(frozen=True)
class GroupShape:
    """The rows of an `aggregate` or an `apply`.

    Attributes:
        operator: the step that keeps them. What the function of an `apply` keeps is described by its schema alone.
        by: the fields that make the key.
        values: of an aggregate, the output fields and their aggregations, in order.
        windows: of an aggregate; None for running totals.
        emit: of an aggregate, `update` or `close`; `batch` keeps the rows of `update`.
        origins: for each field of `by` the input's field whose value it holds, None for one that a step made. None as a
            whole where it is unknown.
    """

    operator: Literal["aggregate", "apply"]
    by: tuple[str, ...]
    values: tuple[tuple[str, Aggregation], ...] = ()
    windows: WindowShape | None = None
    emit: str = ""
    origins: tuple[str | None, ...] | None = None

    def __str__(self) -> str:
        values = ", ".join(f"{name}: {aggregation}" for name, aggregation in self.values)
        rest = (values, "" if self.windows is None else str(self.windows), self.emit and f"emit {self.emit}")
        return ", ".join(filter(None, (f"by {', '.join(self.by)}", *rest)))


@dataclass(frozen=True)
class JoinShape:
    """The records that wait for partners in a join of two streams.

    Attributes:
        stream: the other stream's topic, or its address where only the declaration is known.
        on: the field that holds the other stream's key.
        within: how far apart in event time two partners may be.
        taken: the fields of the other stream that are kept, sorted.
        missing: what becomes of a record without a partner.
        made: in words, the earlier steps that add, rename or drop fields of the records that are kept.
    """

    stream: str | Address
    on: str
    within: timedelta
    taken: tuple[str, ...]
    missing: str
    made: tuple[str, ...] = ()

    def __str__(self) -> str:
        taken = f"{', '.join(self.taken)} taken"
        return ", ".join((f"by {self.on}, within {format_duration(self.within)}", taken, self.missing, *self.made))


@dataclass(frozen=True)
class StateShape:
    """What a pipeline keeps as state.

    Attributes:
        input: the input's topic, or its address where only the declaration is known.
        duplicates: what each `deduplicate` step remembers, in order.
        groups: the rows of the grouping; None where nothing is grouped.
        upserts: whether a row of the input replaces the row before it; None where that is unknown.
        rekeyed: whether records are re-keyed before they are grouped; None where that is unknown, as it depends on the key of
            the input's port unless the declaration says `repartition: always`.
        pairs: the records that wait for partners; None where no streams are joined.
    """

    input: str | Address
    duplicates: tuple[DeduplicationShape, ...] = ()
    groups: GroupShape | None = None
    upserts: bool | None = None
    rekeyed: bool | None = None
    pairs: JoinShape | None = None

    @property
    def digest(self) -> str:
        """The name of this state in a stored checkpoint; a checkpoint with another one cannot be continued.

        Stored checkpoints hold it, so it stays the same for every declaration that was possible when they were written.
        """
        parts = [repr(self.upserts), repr(self.rekeyed), repr(str(self.input))]
        parts += [repr((each.by, each.within)) for each in self.duplicates]
        if len(self.duplicates) > 1:
            # Earlier versions numbered the rows of several such steps by their index among all steps.
            parts.append(repr("in order"))
        if self.groups is not None:
            parts.append(repr(self.groups.by))
            if self.groups.operator == "aggregate":
                values = tuple((name, each.text) for name, each in self.groups.values)
                parts += [repr(values), _window_repr(self.groups.windows), repr(self.groups.emit)]
        if (pairs := self.pairs) is not None:
            parts.append(repr((str(pairs.stream), pairs.on, pairs.within, pairs.taken, pairs.missing, pairs.made)))
        return sha256(f"[{', '.join(parts)}]".encode()).hexdigest()[:_DIGITS]

    def differences(self, after: StateShape) -> Iterator[StateDifference]:
        """Yield each step whose stored state the other pipeline cannot continue from; what one of them leaves open is equal."""
        if not _may_be_same(self.input, after.input):
            was, now = str(self.input), str(after.input)
            yield StateDifference("input", f"the input was {was} and would be {now}", was, now)
        yield from self._duplicate_differences(after)
        yield from self._group_difference(after)
        yield from self._join_difference(after)

    def _duplicate_differences(self, after: StateShape) -> Iterator[StateDifference]:
        for index in range(max(len(self.duplicates), len(after.duplicates))):
            was = self.duplicates[index] if index < len(self.duplicates) else None
            now = after.duplicates[index] if index < len(after.duplicates) else None
            if was == now:
                continue
            if was is None:
                message = "it is new, and remembers nothing of what was read before"
            elif now is None:
                message = "it is gone, and what it remembers with it"
            else:
                changes = [f"it identified records {_by(was)} and would {_by(now)}"] if was.by != now.by else []
                if was.within != now.within:
                    changes.append(
                        f"it remembered for {format_duration(was.within)} and would for {format_duration(now.within)}"
                    )
                message = "; ".join(changes)
            step = "deduplicate" if index == 0 else f"deduplicate.{index + 1}"
            yield StateDifference(step, message, _text(was), _text(now))

    def _group_difference(self, after: StateShape) -> Iterator[StateDifference]:
        was, now = self.groups, after.groups
        if was is None and now is None:
            return
        if was is None or now is None:
            step = (was or now).operator  # type: ignore[union-attr]  # one of the two is there
            message = "it is gone, and its groups with it" if now is None else "it is new, and has seen nothing before"
            yield StateDifference(step, message, _text(was), _text(now))
            return
        changes = list(_group_changes(was, now))
        if None not in (self.upserts, after.upserts) and self.upserts != after.upserts:
            changes.append("rows of the input replaced one another, or would, and do not in the other")
        declared = isinstance(self.input, Address) and isinstance(after.input, Address)
        if declared and self.rekeyed != after.rekeyed:
            one, other = ("always" if each.rekeyed else "when-needed" for each in (self, after))
            changes.append(f"repartition was {one} and would be {other}")
        elif None not in (self.rekeyed, after.rekeyed) and self.rekeyed != after.rekeyed:
            changes.append("its records came from one partition each, or would, and from several in the other")
        if changes:
            yield StateDifference(now.operator, "; ".join(changes), _text(was), _text(now))

    def _join_difference(self, after: StateShape) -> Iterator[StateDifference]:
        was, now = self.pairs, after.pairs
        if was is None and now is None:
            return
        if was is None:
            changes = ["it is new, and has seen nothing before"]
        elif now is None:
            changes = ["it is gone, and with it what waited for a partner"]
        else:
            changes = list(_join_changes(was, now))
        if changes:
            yield StateDifference("join", "; ".join(changes), _text(was), _text(now))


def _group_changes(was: GroupShape, now: GroupShape) -> Iterator[str]:
    if was.operator != now.operator:
        yield f"the groups were those of `{was.operator}` and would be those of `{now.operator}`"
        return
    if was.by != now.by:
        yield f"the key was {', '.join(was.by)} and would be {', '.join(now.by)}"
    elif None not in (was.origins, now.origins):
        for name, one, other in zip(was.by, was.origins or (), now.origins or (), strict=True):
            if one != other:
                yield f"the key's {name!r} was {_origin_text(one)} and would be {_origin_text(other)}"
    before, after = dict(was.values), dict(now.values)
    yield from (f"{name!r} ({how}) is gone" for name, how in before.items() if name not in after)
    yield from (f"{name!r} ({how}) is new" for name, how in after.items() if name not in before)
    both = [name for name in before if name in after]
    yield from (
        f"{name!r} was {before[name]} and would be {after[name]}" for name in both if before[name] != after[name]
    )
    if was.values != now.values and before == after:
        yield f"the values were {', '.join(before)} and would be in the order {', '.join(after)}"
    if was.windows != now.windows:
        yield f"the windows were {was.windows or 'none'} and would be {now.windows or 'none'}"
    if was.emit != now.emit:
        yield f"emit was {was.emit} and would be {now.emit}"


def _join_changes(was: JoinShape, now: JoinShape) -> Iterator[str]:
    if not _may_be_same(was.stream, now.stream):
        yield f"the other stream was {was.stream} and would be {now.stream}"
    if was.on != now.on:
        yield f"the key was {was.on} and would be {now.on}"
    if was.within != now.within:
        yield f"partners waited for {format_duration(was.within)} and would for {format_duration(now.within)}"
    if was.taken != now.taken:
        yield f"what was kept of the other stream was {', '.join(was.taken)} and would be {', '.join(now.taken)}"
    if was.missing != now.missing:
        yield f"missing was {was.missing} and would be {now.missing}"
    if was.made != now.made:
        yield f"the records that wait were made by {_steps(was.made)} and would be by {_steps(now.made)}"


def _steps(made: Sequence[str]) -> str:
    return "; ".join(made) or "no step"


def _may_be_same(one: str | Address, other: str | Address) -> bool:
    """Whether two inputs may be the same; only a registry knows what an address leaves open, such as its live major."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return one.of_product == other.of_product and all(
        None in pair or pair[0] == pair[1] for pair in ((one.port, other.port), (one.major, other.major))
    )


def _window_repr(windows: WindowShape | None) -> str:
    return "None" if windows is None else _WINDOW_REPRS[windows.kind].format(windows.size, windows.every)


def _text(state: DeduplicationShape | GroupShape | JoinShape | None) -> str | None:
    return None if state is None else str(state)


def _by(duplicates: DeduplicationShape) -> str:
    return f"by {', '.join(duplicates.by)}" if duplicates.by else "by the event's own id"


def _origin_text(origin: str | None) -> str:
    return "made by a step" if origin is None else f"the input's {origin!r}"
