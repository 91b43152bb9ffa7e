"""Members of a processor's group and transactional producers that are not the processor's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from meshport.kafka.transaction import Member, Transactions
from meshport.process.engines import batch
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS
from meshport.process.wire.plan import Plan
from tests.process.topics import Topics
from tests.waiting import PATIENCE_S, wait_for


def transactions(topics: Topics, name: str = "") -> Transactions:
    """A transactional producer that is not the processor's."""
    made = Transactions(topics.plan.kafka, name or f"t{uuid4().hex[:8]}", settings=PRODUCER_SETTINGS)
    made.start()
    return made


def joined(plan: Plan) -> Member:
    """A member of the processor's group with all partitions of its source.

    The repartition topic does not begin at 0 once the processor has deleted what it has committed.
    """
    member = Member(plan.kafka, plan.group)
    member.join(
        [plan.source.topic],
        on_assign=lambda partitions: dict.fromkeys(partitions, 0),
        on_revoke=lambda _: None,
    )
    return member


def first_messages(member: Member) -> int:
    """Read until messages come; return the offset after the first of them."""
    found: list[int] = []

    def some() -> bool:
        found.extend(message.offset() for message in member.read(100, 0.1))
        return bool(found)

    wait_for(some, pause_s=0)
    return found[0] + 1


def a_second_producer(topics: Topics) -> None:
    """Take the transactional id of the member `one`, as the coordinator does that times its transaction out."""
    transactions(topics, f"{topics.plan.group}.one").close()


def a_second_member(topics: Topics) -> None:
    """Take the name of the member `one` in the group, as a request to join does that is repeated."""
    with Member(topics.plan.kafka, topics.plan.group, instance="one") as rival:
        rival.join(
            [topics.plan.source.topic], on_assign=lambda given: dict.fromkeys(given, 0), on_revoke=lambda _: None
        )
        first_messages(rival)


@contextmanager
def member_one(topics: Topics) -> Iterator[list[BaseException]]:
    """Run the processor as the member `one` of the batch engine, in a thread that ends with the block, by no error.

    Yields:
        The error that has ended it, once there is one.
    """
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            batch.run_processor(topics.plan, topics.ports, stop=stop, member="one")
        except BaseException as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    running = threading.Thread(target=run)
    running.start()
    try:
        yield failed
    finally:
        stop.set()
        running.join(PATIENCE_S)
    assert failed == []
