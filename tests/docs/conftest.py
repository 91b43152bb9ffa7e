"""A secured Kafka for the pages that make products of the same names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshport.kafka.acls import ClusterAcls
from meshport.kafka.admin import Admin
from meshport.local.cluster import Cluster
from tests.connections import connection

NAMES = ("shop.", "legacy.")
LOGINS = tuple(f"User:{name}" for name in NAMES)


@pytest.fixture
def secured_page(secured: Cluster) -> Iterator[Cluster]:
    """The session's secured Kafka without topics and ACLs of the page's products: what other tests left, and then the page's."""
    _clear(secured)
    yield secured
    _clear(secured)


def _clear(secured: Cluster) -> None:
    kafka = connection(secured.bootstrap_servers)
    admin, acls = Admin(kafka), ClusterAcls(kafka)
    for topic in admin.partitions():
        if topic.startswith(NAMES):
            admin.delete_topic(topic)
    acls.delete([each for each in acls.all() or () if each.name.startswith(NAMES) or each.principal.startswith(LOGINS)])
