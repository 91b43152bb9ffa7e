"""A product with transactions in a newcomer's mesh: counted without the markers of its transactions, killed and gone on."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.e2e import flights
from tests.e2e.newcomer import Newcomer
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka

SHORT = "network/short-hauls"
TOPIC = "network.short-hauls.events.v1"
LOGIC = """\
from meshport.process import Filter


def steps():
    return [Filter("distance < 500")]
"""


def names(newcomer: Newcomer) -> set[str | None]:
    """The names of the members of the processor's group."""
    group = f"meshport.process.{TOPIC}"
    looking = AdminClient({"bootstrap.servers": newcomer.up.facts["bootstrap_servers"]})
    described = looking.describe_consumer_groups([group])[group].result(PATIENCE_S)
    return {member.group_instance_id for member in described.members}


def test_a_processor_with_transactions(newcomer: Newcomer, quarter: Path) -> None:
    """The lag counts to the event and ends at zero; killed -9, the processor continues under its name, and nothing is doubled."""
    newcomer.write_product(SHORT, "0c0f5a56-0f1f-4c3a-9a62-6a0f8a4d8a2e", LOGIC)
    newcomer.type("apply")
    wait_for(lambda: SHORT in newcomer.up.pids, lambda: newcomer.up.said)

    def short() -> int:
        return sum(each["distance"] < 500 for each in newcomer.published)

    def there() -> bool:
        standing = newcomer.standing(SHORT)
        return (standing.stored, standing.waiting) == (short(), 0)

    wait_for(lambda: newcomer.offsets(TOPIC) > 0, lambda: newcomer.up.said)
    wait_for(there, lambda: f"{newcomer.standing(SHORT)} for {short()}")
    assert newcomer.offsets(TOPIC) > short()  # the markers
    named = names(newcomer)
    assert len(named) == 1  # as who, the group gives its successor the partitions back at once
    assert named != {None}
    newcomer.up.kill(SHORT)
    newcomer.publish_some(flights.later(flights.read(quarter)[:1000], 4))
    wait_for(there, lambda: f"{newcomer.standing(SHORT)} for {short()}")
    assert names(newcomer) == named
