"""One relay has a shard at a time; one that lost it marks nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from meshport.errors import ShardLost
from meshport.outbox.databases import open_shard
from meshport.outbox.shard import Shard
from tests.mesh_session import Mesh
from tests.outbox.shop import Shop

EXPIRED = "UPDATE outbox_relay SET expires_at = '2000-01-01 00:00:00'"


def opened(shop: Shop) -> Shard:
    """The only shard of an outbox, over a connection of its own."""
    return open_shard(shop.url, 0, 1, stopped=lambda: True)


def lose(shop: Shop, shard: Shard) -> None:
    """Have the lock end while its relay does not notice: its lease expires, or a pool gives its session to another one."""
    if shop.url.startswith("sqlite"):
        shop.ask(EXPIRED)
    else:
        shard._connection.execute("SELECT pg_advisory_unlock_all()")  # type: ignore[attr-defined]  # of PostgresShard


def test_a_relay_that_lost_its_shard_marks_nothing(shop: Shop, in_memory_mesh: Mesh) -> None:
    """The fencing token of its successor refuses the marks of a relay that was stopped meanwhile."""
    shop.emit(in_memory_mesh.product(), [("a", 1), ("a", 2)])
    with closing(opened(shop)) as one, closing(opened(shop)) as two:
        assert one.acquire()
        assert not two.acquire()
        rows = one.fetch(10)
        lose(shop, one)
        assert two.acquire()
        for stored, errors, released in (([1], {}, ()), ([], {1: "it fails"}, ()), ([], {}, [rows[0].aggregate])):
            with pytest.raises(ShardLost, match="another relay has taken shard 0"):
                one.settle(stored, errors, released)
        assert shop.ask("SELECT published_at, error FROM outbox") == [(None, None), (None, None)]
        two.settle([row.number for row in two.fetch(10)], {})
    assert shop.ask("SELECT fence FROM outbox") == [(2,), (2,)]


def test_a_lease_of_a_process_that_has_ended_is_free(tmp_path: Path) -> None:
    """On the machine of the process that held it, another relay takes it before it expires; elsewhere it waits."""
    shop = Shop.create(f"sqlite:///{tmp_path / 'shop.db'}")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for host, free in (("another-machine", False), (socket.gethostname(), True)):
        shop.ask("DELETE FROM outbox_relay")
        shop.ask(
            "INSERT INTO outbox_relay (shard, fence, holder, expires_at)"
            f" VALUES (0, 7, '{host}:{ended.pid}/1', '9999-01-01 00:00:00')"
        )
        with closing(opened(shop)) as shard:
            assert shard.acquire() is free


def test_a_shard_that_is_given_back_is_free_at_once(shop: Shop) -> None:
    """A relay that ends as it should leaves no lock behind, and its successor has a newer token."""
    for fence in (1, 2):
        with closing(opened(shop)) as shard:
            assert shard.acquire()
        assert shop.ask("SELECT fence, holder FROM outbox_relay") == [(fence, None)]
