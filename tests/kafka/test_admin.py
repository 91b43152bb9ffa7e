"""What an admin client says of topics that others create and delete meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from meshport.kafka.admin import Admin
from meshport.local.cluster import Cluster
from tests.waiting import wait_for


def test_a_topic_that_comes_and_goes_is_there_or_is_not(kafka: Cluster) -> None:
    """A topic that is created and deleted while it is looked at is reported whole or as None, never as an error."""
    name, looker, maker = f"t{uuid4().hex[:8]}", Admin(kafka.config), Admin(kafka.config)

    def come_and_go() -> None:
        for _ in range(20):
            maker.ensure_topic(name, 3)
            maker.delete_topic(name)
            wait_for(lambda: name not in maker.partitions(), f"{name} to be deleted")

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(come_and_go)
        while not others.done():
            found = looker.topic(name)
            seen.add(found if found is None else found.partitions)
        others.result()
    assert seen == {None, 3}
