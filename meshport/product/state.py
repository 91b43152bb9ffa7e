"""What a processor keeps as state, told from its declaration: whether the state of one pipeline serves another.

Stored state outlives the code that made it. What its rows mean follows from a few words of the declaration alone: the
input, what is remembered of duplicates, the key of the grouping, its windows and aggregations. All else (filters, names
given after the grouping, lateness, the engine) may change under it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from meshport.address import Address
from meshport.product.aggregation import Aggregation
from meshport.product.descriptor import Product
from meshport.product.duration import format_duration
from meshport.product.processing import AggregateStep, DeclaredWindow, JoinStep, Processing, Step

_DIGITS: Final = 16
# How a stored digest spells a window of each kind: the names of its class and of its lengths in the process package.
_SPELT: Final = {
    "tumbling": "Tumbling(size={0!r})",
    "hopping": "Hopping(size={0!r}, every={1!r})",
    "session": "Session(gap={0!r})",
}


class StateDifference(NamedTuple):
    """One step whose state is another one.

    Attributes:
        step: `input`, `deduplicate` (the first one; `deduplicate.2` is the second), `aggregate`, `apply`, or `join` (the one of
            two streams).
        message: what it was and would be.
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
        kind: of them.
        size: of each; of sessions the gap that ends one.
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
        by: the fields that tell records apart; empty for the event's own identity.
        within: for how long.
    """

    by: tuple[str, ...]
    within: timedelta

    def __str__(self) -> str:
        return f"by {', '.join(self.by) or 'the event id'}, within {format_duration(self.within)}"


@dataclass(frozen=True)
class GroupShape:
    """The rows of a grouping.

    Attributes:
        operator: what keeps them. What the function of an `apply` keeps is its own affair, or that of its schema.
        by: the fields that make the key.
        values: of an aggregate, output field and aggregation, in order.
        windows: of an aggregate; None for running totals.
        emit: of an aggregate, `update` or `close`.
        origins: for each field of `by` the input's field that it still holds, None for one that a step made; None as a
            whole where that is not asked.
    """

    operator: Literal["aggregate", "apply"]
    by: tuple[str, ...]
    values: tuple[tuple[str, Aggregation], ...] = ()
    windows: WindowShape | None = None
    emit: str = ""
    origins: tuple[str | None, ...] | None = None

    def __str__(self) -> str:
        values = ", ".join(f"{name}: {aggregation}" for name, aggregation in self.values)
        told = (values, "" if self.windows is None else str(self.windows), self.emit and f"emit {self.emit}")
        return ", ".join(filter(None, (f"by {', '.join(self.by)}", *told)))


@dataclass(frozen=True)
class JoinShape:
    """The records with which a join of two streams waits for partners.

    Attributes:
        stream: the other stream's topic, or its address where only the declaration is known.
        on: the field that holds the other stream's key.
        within: how far apart two partners may be.
        taken: the fields of the other stream that are kept, sorted.
        missing: what becomes of a record without a partner.
        made: the steps before it that make, name or drop fields of the records that are kept, in words.
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
        input: the topic that is read, or its address where only the declaration is known.
        duplicates: what is remembered, step by step.
        groups: what is grouped; None where nothing is.
        upserts: whether a row of the input takes the place of the one before it; None where that is not known.
        rekeyed: whether records are brought together under another key first; None where that is not known.
        pairs: what waits for partners; None where no streams are joined.
    """

    input: str | Address
    duplicates: tuple[DeduplicationShape, ...] = ()
    groups: GroupShape | None = None
    upserts: bool | None = None
    rekeyed: bool | None = None
    pairs: JoinShape | None = None

    @property
    def digest(self) -> str:
        """The name of this state in a stored checkpoint: another one is no state to go on from.

        Checkpoints that are stored have it, so that it never changes for what could be declared when they were.
        """
        parts = [repr(self.upserts), repr(self.rekeyed), repr(str(self.input))]
        parts += [repr((each.by, each.within)) for each in self.duplicates]
        if len(self.duplicates) > 1:
            # Rows of several steps were numbered by the steps between them once, and cannot be told apart by order.
            parts.append(repr("in order"))
        if self.groups is not None:
            parts.append(repr(self.groups.by))
            if self.groups.operator == "aggregate":
                values = tuple((name, each.text) for name, each in self.groups.values)
                parts += [repr(values), _spelt(self.groups.windows), repr(self.groups.emit)]
        if (pairs := self.pairs) is not None:
            parts.append(repr((str(pairs.stream), pairs.on, pairs.within, pairs.taken, pairs.missing, pairs.made)))
        return sha256(f"[{', '.join(parts)}]".encode()).hexdigest()[:_DIGITS]

    def differences(self, after: StateShape) -> Iterator[StateDifference]:
        """Each step whose stored state another pipeline cannot go on from; what one of the two does not know is no difference."""
        if not _may_be_same(self.input, after.input):
            was, now = str(self.input), str(after.input)
            yield StateDifference("input", f"the input was {was} and would be {now}", was, now)
        yield from self._remembered(after)
        yield from self._grouped(after)
        yield from self._paired(after)

    def _remembered(self, after: StateShape) -> Iterator[StateDifference]:
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
                told = [f"it told records apart {_by(was)} and would {_by(now)}"] if was.by != now.by else []
                if was.within != now.within:
                    told.append(
                        f"it remembered for {format_duration(was.within)} and would for {format_duration(now.within)}"
                    )
                message = "; ".join(told)
            step = "deduplicate" if index == 0 else f"deduplicate.{index + 1}"
            yield StateDifference(step, message, _told(was), _told(now))

    def _grouped(self, after: StateShape) -> Iterator[StateDifference]:
        was, now = self.groups, after.groups
        if was is None and now is None:
            return
        if was is None or now is None:
            step = (was or now).operator  # type: ignore[union-attr]  # one of the two is there
            message = "it is gone, and its groups with it" if now is None else "it is new, and has seen nothing before"
            yield StateDifference(step, message, _told(was), _told(now))
            return
        told = list(_group_differences(was, now))
        if None not in (self.upserts, after.upserts) and self.upserts != after.upserts:
            told.append("rows of the input replaced one another, or would, and do not in the other")
        if None not in (self.rekeyed, after.rekeyed) and self.rekeyed != after.rekeyed:
            told.append("its records came from one partition each, or would, and from several in the other")
        if told:
            yield StateDifference(now.operator, "; ".join(told), _told(was), _told(now))

    def _paired(self, after: StateShape) -> Iterator[StateDifference]:
        was, now = self.pairs, after.pairs
        if was is None and now is None:
            return
        if was is None:
            told = ["it is new, and has seen nothing before"]
        elif now is None:
            told = ["it is gone, and with it what waited for a partner"]
        else:
            told = list(_pair_differences(was, now))
        if told:
            yield StateDifference("join", "; ".join(told), _told(was), _told(now))


def declared_state(product: Product) -> StateShape | None:
    """What the process of a product keeps as state, as far as its product.yaml tells; None where Python says it or nobody.

    Args:
        product: with a port among its input ports, or one that its process names.
    """
    process = product.process
    if process is None or process.python:
        return None
    before: list[Step] = []
    duplicates: list[DeduplicationShape] = []
    groups: GroupShape | None = None
    pairs: JoinShape | None = None
    for step in process.steps:
        if step.deduplicate is not None:
            duplicates.append(DeduplicationShape(step.deduplicate.by, step.deduplicate.within))
        if step.aggregate is not None:
            groups = _aggregated(step.aggregate, before)
        if step.apply is not None:
            groups = GroupShape("apply", step.apply.by, origins=_origins(step.apply.by, before))
        if step.join is not None and step.join.within is not None:
            pairs = _paired(step.join, before)
        before.append(step)
    return StateShape(process.input or product.input_ports[0].address, tuple(duplicates), groups, pairs=pairs)


def step_path(process: Processing | None, step: str) -> tuple[str | int, ...]:
    """Where a step of a `StateDifference` stands in product.yaml, with keys within it after dots: keys and indices.

    Args:
        process: that the file declares; None where it declares none.
        step: `aggregate`, `deduplicate.2`, `apply.state`, `input`; the nearest place around one that is not there.
    """
    if process is None:
        return ("process",)
    word, _, rest = step.partition(".")
    keys = rest.split(".") if rest else []
    if word in {"input", "python"}:
        return ("process", word) if getattr(process, word) is not None else ("process",)
    number = int(keys.pop(0)) if keys and keys[0].isdecimal() else 1
    found = [
        index for index, each in enumerate(process.steps) if each.operator == word and (word != "join" or each.groups)
    ]
    if len(found) < number:
        return ("process", "steps") if process.steps else ("process",)
    return ("process", "steps", found[number - 1], word, *keys)


def _aggregated(aggregate: AggregateStep, before: Sequence[Step]) -> GroupShape:
    return GroupShape(
        "aggregate",
        aggregate.by,
        tuple(aggregate.values.items()),
        None if aggregate.window is None else _windows(aggregate.window),
        aggregate.emit,
        _origins(aggregate.by, before),
    )


def _paired(join: JoinStep, before: Sequence[Step]) -> JoinShape:
    made = tuple(each for step in before if (each := _made(step)))
    taken = tuple(sorted(set(join.take.values())))
    return JoinShape(join.table, join.on, join.within or timedelta(), taken, join.missing, made)


def _made(step: Step) -> str:
    """What a step does to the fields of a record; nothing where it leaves them."""
    if step.select is not None:
        return f"select {', '.join(step.select)}"
    if step.rename is not None:
        return f"rename {', '.join(f'{old}: {new}' for old, new in step.rename.items())}"
    if step.flatten is not None:
        return f"flatten {step.flatten}"
    made = step.derive or (step.join.take if step.join is not None else {})
    return f"{step.operator} {', '.join(made)}" if made else ""


def _windows(window: DeclaredWindow) -> WindowShape:
    if window.tumbling is not None:
        return WindowShape("tumbling", window.tumbling)
    if window.hopping is not None:
        return WindowShape("hopping", window.hopping, window.every)
    return WindowShape("session", window.session or timedelta())


def _origins(by: Sequence[str], steps: Sequence[Step]) -> tuple[str | None, ...]:
    return tuple(_origin(name, steps) for name in by)


def _origin(name: str, steps: Sequence[Step]) -> str | None:
    """The input's field that a field still holds behind some steps; None for one that a step made or dropped."""
    for step in reversed(steps):
        if step.rename is not None:
            older = next((old for old, new in reversed(step.rename.items()) if new == name), None)
            if older is None and name in step.rename:
                return None
            name = older or name
        elif (
            (step.select is not None and name not in step.select)
            or (step.derive is not None and name in step.derive)
            or (step.join is not None and name in step.join.take)
            or step.flatten == name
        ):
            return None
    return name


def _group_differences(was: GroupShape, now: GroupShape) -> Iterator[str]:
    if was.operator != now.operator:
        yield f"the groups were those of `{was.operator}` and would be those of `{now.operator}`"
        return
    if was.by != now.by:
        yield f"the key was {', '.join(was.by)} and would be {', '.join(now.by)}"
    elif None not in (was.origins, now.origins):
        for name, one, other in zip(was.by, was.origins or (), now.origins or (), strict=True):
            if one != other:
                yield f"the key's {name!r} was {_origin_told(one)} and would be {_origin_told(other)}"
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


def _pair_differences(was: JoinShape, now: JoinShape) -> Iterator[str]:
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
    """Whether two inputs may be one; what an address leaves open, such as the live major, is told by a registry alone."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return one.of_product == other.of_product and all(
        None in pair or pair[0] == pair[1] for pair in ((one.port, other.port), (one.major, other.major))
    )


def _spelt(windows: WindowShape | None) -> str:
    return "None" if windows is None else _SPELT[windows.kind].format(windows.size, windows.every)


def _told(state: DeduplicationShape | GroupShape | JoinShape | None) -> str | None:
    return None if state is None else str(state)


def _by(duplicates: DeduplicationShape) -> str:
    return f"by {', '.join(duplicates.by)}" if duplicates.by else "by the event's own id"


def _origin_told(origin: str | None) -> str:
    return "made by a step" if origin is None else f"the input's {origin!r}"
