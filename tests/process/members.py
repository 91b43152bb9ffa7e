"""Members of a processor's group and transactional producers that are not the processor's."""

from __future__ import annotations

from uuid import uuid4

from meshport.kafka.transaction import Member, Transactions
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS
from meshport.process.wire.plan import Plan
from tests.process.topics import Topics
from tests.waiting import wait_for


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
