"""The named moments at which a processor kills itself with SIGKILL, and how each engine gets there.

All of it happens in the child process of a campaign (`tests.campaigns.child`): seams of the product are wrapped there, and
nothing in the product knows. A point that an engine does not have is None for it, with the reason beside it.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import Producer as ClientProducer

from meshport.kafka import transaction
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Member, Transactions
from meshport.process.logic.operators import Record
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.worker import Worker
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.state.keys import CHECKPOINT_KEY
from tests.campaigns.logic import COLUMNS, Function

Needs = Literal["nothing", "a member that joins", "quiet", "a SIGTERM"]
Engine = Literal["batch", "faust"]


class Trap:
    """Kills this process at the n-th crossing.

    Args:
        crossings: how many.
        dice: for what happens within a call.
    """

    def __init__(self, crossings: int, dice: random.Random) -> None:
        self._left = crossings
        self._lock = threading.Lock()
        self.dice = dice
        self.armed = False  # for points that need something else to have happened first

    def cross(self) -> None:
        """Be here once more."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                spring()

    def cross_within(self, longest_s: float) -> None:
        """Be here once more, and die a moment later, within the call that follows."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                threading.Timer(self.dice.random() * longest_s, spring).start()


def spring() -> None:
    """The end."""
    os.kill(os.getpid(), signal.SIGKILL)


def put(owner: Any, name: str, value: object) -> None:
    """Replace a part of the product, in this process."""
    setattr(owner, name, value)


def _before(owner: Any, name: str, then: Callable[..., None]) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        then(*args)
        return real(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, then: Callable[..., None]) -> None:
    """Do something after each call of a function of the product; it gets what was returned, and the arguments."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        returned = real(*args, **kwargs)
        then(returned, *args)
        return returned

    setattr(owner, name, wrapped)


# -- what both engines share: the worker and its log -----------------------------------------------------------------

Delivery = Literal["outputs", "rows", "checkpoint"]


def _kind(messages: Sequence[Message]) -> Delivery:
    first = messages[0]
    if not first.topic.endswith("changelog"):
        return "outputs"
    return "checkpoint" if first.key == CHECKPOINT_KEY else "rows"


def _deliveries(when: Literal["before", "after"], kind: Delivery) -> Callable[[Trap], None]:
    def arm(trap: Trap) -> None:
        def then(*args: Any) -> None:
            if _kind(args[-1]) == kind:
                trap.cross()

        (_before if when == "before" else after)(KafkaLog, "deliver", then)

    return arm


def _within_outputs(trap: Trap) -> None:
    real = KafkaLog.deliver

    def counted(messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            trap.cross()
            yield message

    def deliver(log: KafkaLog, messages: Iterable[Message]) -> None:
        listed = list(messages)
        real(log, counted(listed) if _kind(listed) == "outputs" else listed)

    put(KafkaLog, "deliver", deliver)


def _restore_begins(trap: Trap) -> None:
    _before(KafkaLog, "entries", lambda *_: trap.cross())


def _within_restore(trap: Trap) -> None:
    real = KafkaLog.entries

    def entries(log: KafkaLog, topic: str, partition: int) -> Iterator[ChangelogRecord]:
        for entry in real(log, topic, partition):
            trap.cross()
            yield entry

    put(KafkaLog, "entries", entries)


def _restored(trap: Trap) -> None:
    after(Worker, "assign", lambda *_: trap.cross())


def _function(trap: Trap) -> None:
    trap.armed = True  # `guarded` does the rest: the function is the campaign's own


def guarded(function: Function, trap: Trap) -> Function:
    """The product's function, with the trap in it."""

    def with_trap(record: Record) -> bool:
        if trap.armed:
            trap.cross()
        return function(record)

    return with_trap


# -- batch -----------------------------------------------------------------------------------------------------------


def _started(trap: Trap) -> None:
    after(Transactions, "start", lambda *_: trap.cross())


_SEND = "send_offsets_to_transaction"
_COMMIT = "commit_transaction"


def _client_call(name: str, when: Literal["before", "after", "within"]) -> Callable[[Trap], None]:
    """Around a call of librdkafka's transactional producer."""

    def arm(trap: Trap) -> None:
        def call(client: Any, *args: Any) -> None:
            if when == "before":
                trap.cross()
            elif when == "within":
                trap.cross_within(0.015)
            getattr(ClientProducer, name)(client, *args)
            if when == "after":
                trap.cross()

        trapped = type("TrappedProducer", (ClientProducer,), {name: call})
        put(transaction, "ClientProducer", trapped)

    return arm


def _callbacks(*, assigned: Callable[[], None] = lambda: None, revoked: Callable[[], None] = lambda: None) -> None:
    real = Member.join

    def join(
        member: Member, topics: Sequence[str], *, on_assign: Callable[..., Any], on_revoke: Callable[..., Any]
    ) -> None:
        def on_assigned(places: Sequence[TopicPartition]) -> Any:
            if places:
                assigned()
            return on_assign(places)

        def on_revoked(places: Sequence[TopicPartition]) -> None:
            if places:
                revoked()
            on_revoke(places)

        real(member, topics, on_assign=on_assigned, on_revoke=on_revoked)

    put(Member, "join", join)


def _batch_assigned(trap: Trap) -> None:
    _callbacks(assigned=trap.cross)


def _batch_revoked(trap: Trap) -> None:
    _callbacks(revoked=trap.cross)


def _batch_between(trap: Trap) -> None:
    def revoked() -> None:
        trap.armed = True

    def reads(*_: Any) -> None:
        if trap.armed:
            trap.cross()

    _callbacks(revoked=revoked)
    _before(Member, "read", reads)


def _batch_idle(trap: Trap) -> None:
    def found(messages: Sequence[object], *_: Any) -> None:
        if not messages:
            trap.cross()

    after(Member, "read", found)


def _batch_ends(trap: Trap) -> None:
    _before(Transactions, "close", lambda *_: trap.cross())


# -- faust -----------------------------------------------------------------------------------------------------------


def _faust_call(name: str, when: Literal["before", "after", "within"]) -> Callable[[Trap], None]:
    """Around one of the engine's own coroutines; of those with partitions, where there are some."""

    def arm(trap: Trap) -> None:
        from meshport.process.engines.faust import FaustEngine  # noqa: PLC0415 - as above
        from meshport.process.engines.faust_commits import TrackedConsumer  # noqa: PLC0415 - loads faust

        owner: Any = TrackedConsumer if name == "_commit_offsets" else FaustEngine
        real = getattr(owner, name)

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            there = bool(args[1]) if owner is TrackedConsumer else bool(args[2])
            if there and when == "before":
                trap.cross()
            elif there and when == "within":
                trap.cross_within(0.015)
            returned = await real(*args, **kwargs)
            if there and when == "after":
                trap.cross()
            return returned

        setattr(owner, name, wrapped)

    return arm


def _faust_between(trap: Trap) -> None:
    from meshport.process.engines.faust import FaustEngine  # noqa: PLC0415 - loads faust

    revoke: Any = FaustEngine._on_revoked
    assign: Any = FaustEngine._on_assigned

    async def revoked(engine: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        await revoke(engine, app, *args, **kwargs)
        trap.armed = trap.armed or bool(args[0])

    async def assigned(engine: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        if trap.armed:
            trap.cross()
        await assign(engine, app, *args, **kwargs)

    put(FaustEngine, "_on_revoked", revoked)
    put(FaustEngine, "_on_assigned", assigned)


def _faust_idle(trap: Trap) -> None:
    from meshport.process.engines.faust import FaustEngine  # noqa: PLC0415 - loads faust

    real: Any = FaustEngine._turn

    async def turn(engine: Any) -> None:
        worked = engine._worker.counts.read
        await real(engine)
        if engine._worker.counts.read == worked and engine.next_offsets:
            trap.cross()

    put(FaustEngine, "_turn", turn)


def _faust_ends(trap: Trap) -> None:
    from meshport.process.engines.faust_commits import MeshApp  # noqa: PLC0415 - loads faust

    real: Any = MeshApp.stop

    async def stop(app: Any) -> None:
        trap.cross()
        await real(app)

    put(MeshApp, "stop", stop)


@dataclass(frozen=True)
class Point:
    """One moment.

    Attributes:
        name: of the moment.
        batch: arms the trap in a process of the batch engine; None where it has no such moment.
        faust: as `batch`.
        most: crossings to die at, from 1 to this.
        needs: what has to be done to it from outside.
    """

    name: str
    batch: Callable[[Trap], None] | None
    faust: Callable[[Trap], None] | None
    most: int = 3
    needs: Needs = "nothing"


def _both(name: str, arm: Callable[[Trap], None], most: int = 3) -> Point:
    return Point(name, arm, arm, most)


JOINS: Needs = "a member that joins"

POINTS: tuple[Point, ...] = (
    # faust has no name to take from a predecessor
    Point("after init_transactions", _started, None, 1),
    Point("in on_assign", _batch_assigned, _faust_call("_on_assigned", "before"), 1),
    _both("before a restore", _restore_begins, 4),
    _both("in a restore", _within_restore, 150),
    _both("after a restore", _restored, 4),
    _both("in a function", _function, 60),
    _both("before outputs", _deliveries("before", "outputs")),
    _both("at the k-th output", _within_outputs, 80),
    _both("after outputs, before rows", _deliveries("after", "outputs")),
    _both("after rows, before the checkpoint", _deliveries("after", "rows")),
    _both("after the checkpoint", _deliveries("after", "checkpoint")),
    Point("before the group's place", _client_call(_SEND, "before"), _faust_call("_commit_offsets", "before")),
    # faust commits the group's offset last of all, so this is also its moment after the commit
    Point("after the group's place", _client_call(_SEND, "after"), _faust_call("_commit_offsets", "after")),
    Point("within the commit", _client_call(_COMMIT, "within"), _faust_call("_commit_offsets", "within")),
    Point("after the commit, before a read", _client_call(_COMMIT, "after"), None),
    Point("in on_revoke", _batch_revoked, _faust_call("_on_revoked", "before"), 1, JOINS),
    Point("between revoke and assign", _batch_between, _faust_between, 1, JOINS),
    Point("while idle", _batch_idle, _faust_idle, 5, "quiet"),
    Point("at shutdown", _batch_ends, _faust_ends, 1, "a SIGTERM"),
)


def points_of(engine: Engine, plan: str = "windows") -> list[Point]:
    """The points that an engine has, and a plan: columns are computed without a function of the product's own."""
    has = [point for point in POINTS if getattr(point, engine) is not None]
    return [point for point in has if plan != COLUMNS or getattr(point, engine) is not _function]


def arm(engine: Engine, name: str, crossings: int, seed: int) -> Trap:
    """Set the trap of a point in this process.

    Raises:
        ValueError: the engine has no such point.
    """
    trap = Trap(crossings, random.Random(seed))
    for point in points_of(engine):
        if point.name == name:
            getattr(point, engine)(trap)
            return trap
    raise ValueError(f"{engine} has no point {name!r}")
