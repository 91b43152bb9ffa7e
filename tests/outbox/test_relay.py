"""The relay publishes what has committed, in the order of each aggregate, and marks it after the broker's acknowledgement."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from meshport.errors import NotRegistered, OutboxUnavailable
from meshport.kafka.admin import Admin
from meshport.metrics import outbox as metrics
from meshport.outbox import Relay, shard_relay
from meshport.outbox.databases import look_at
from meshport.outbox.shard_relay import BEHIND
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.outbox.shop import Shop, first, published
from tests.waiting import wait_for

BIG = "x" * 30_000


@contextmanager
def relaying(shop: Shop, mesh: Mesh, **options: Any) -> Iterator[Relay]:
    """A relay of the shop's outbox."""
    with Relay(shop.url, mesh.registry, kafka=CONNECTIONS, **options) as relay:
        yield relay


def publish_all(shop: Shop, mesh: Mesh, **options: Any) -> None:
    """Run a relay until no row waits."""
    with relaying(shop, mesh, **options):
        wait_for(lambda: not shop.waiting, lambda: f"{shop.waiting} rows to be published")


def test_what_has_committed_is_published_in_the_order_of_each_aggregate(shop: Shop, ports: Mesh) -> None:
    """Events of both lines of work are stored once, in order, whole; what was rolled back is not."""
    binding = ports.product()
    ids: dict[str, list[str]] = {sensor: [] for sensor in "abc"}
    for n in range(20):
        for sensor in ids:
            ids[sensor] += shop.emit(binding, [(sensor, n)])
    with closing(shop.connected()) as connection:
        shop.add(connection, binding, "a", 99)
        connection.rollback()
    publish_all(shop, ports)
    assert published(binding) == ids


def test_an_added_event_wakes_the_relay(shop: Shop, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay publishes an event that is added while it idles, long before it would look by itself."""
    monkeypatch.setattr(shard_relay, "_IDLE_S", 3600.0)
    binding = in_memory_mesh.product()
    with relaying(shop, in_memory_mesh) as relay:
        wait_for(lambda: relay.readiness.state().ready, "the relay to have its database")
        for n in range(3):
            shop.emit(binding, [("a", n)])
            wait_for(lambda: not shop.waiting, "the event to be published")


def test_a_row_that_becomes_visible_late_is_published(postgres_shop: Shop, in_memory_mesh: Mesh) -> None:
    """A transaction that took its number first and commits last loses nothing, though later numbers are published before."""
    shop, binding = postgres_shop, in_memory_mesh.product()
    with closing(shop.connected()) as late, relaying(shop, in_memory_mesh):
        early = shop.add(late, binding, "late", 1)
        shop.emit(binding, [("other", n) for n in range(5)])
        wait_for(lambda: shop.ask("SELECT 1 FROM outbox") and not shop.waiting, "the committed rows to be published")
        late.commit()
        wait_for(lambda: not shop.waiting, "the late row to be published")
    assert published(binding)["late"] == [early]


def test_the_order_is_that_of_the_aggregates_lock(postgres_shop: Shop, in_memory_mesh: Mesh) -> None:
    """A transaction with an earlier id that waits for the aggregate adds the later event, and it is published as the later one.

    Another one in between, still open, holds `pg_snapshot_xmin` back: by that bound the later event would be published alone.
    """
    shop, binding = postgres_shop, in_memory_mesh.product()
    shop.ask('ALTER TABLE outbox ADD COLUMN "transaction" xid8 NOT NULL DEFAULT pg_current_xact_id()')
    with closing(shop.connected()) as first_to_write, closing(shop.connected()) as open_meanwhile:
        first_to_write.execute("SELECT pg_current_xact_id()")
        open_meanwhile.execute("SELECT pg_current_xact_id()")
        with shop.transaction() as first_to_lock:
            earlier = shop.add(first_to_lock, binding, "a", 1)
        later = shop.add(first_to_write, binding, "a", 2)
        first_to_write.commit()
        below = 'SELECT id FROM outbox WHERE "transaction" < pg_snapshot_xmin(pg_current_snapshot())'
        assert shop.ask(below) == [(later,)]
        publish_all(shop, in_memory_mesh)
        open_meanwhile.rollback()
    assert published(binding)["a"] == [earlier, later]


@pytest.mark.kafka
def test_a_row_that_the_broker_refuses_blocks_its_aggregate_and_no_other(
    shop: Shop, mesh: Mesh, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Events before and after it in its batch are stored; those of its aggregate wait, and go on once the cause is mended."""
    monkeypatch.setattr(shard_relay, "RETRY_S", 0.1)
    binding = mesh.product(partitions=1, config={"max.message.bytes": 20_000})
    before = shop.emit(binding, [("a", n) for n in range(3)])
    (refused,) = shop.emit(binding, [("b", 1)], note=BIG)
    after = shop.emit(binding, [("b", 2), ("b", 3)])
    before += shop.emit(binding, [("a", n) for n in range(3, 6)])
    with relaying(shop, mesh):
        wait_for(lambda: shop.waiting == 3, lambda: f"all but three rows to be published: {shop.waiting} wait")
        look = look_at(shop.url, 10)
        assert look.state.blocked_aggregates == 1
        ((number, aggregate, id_, error),) = (
            (each.number, each.aggregateid, each.id, each.error) for each in look.blocked
        )
        assert (number, aggregate, id_) == (4, "b", refused)
        assert "MSG_SIZE_TOO_LARGE" in error
        assert [error for (error,) in shop.ask("SELECT error FROM outbox WHERE number IN (5, 6)")] == [BEHIND, BEHIND]
        stored = published(binding)
        assert first(stored["a"]) == before
        assert "b" not in stored
        assert [each for each in caplog.messages if f"row 4 of the outbox, event {refused}" in each]
        Admin(mesh.kafka).set_config(binding.topic, {"max.message.bytes": "100000"})
        wait_for(lambda: not shop.waiting, lambda: f"the aggregate to go on: {look_at(shop.url, 10).blocked}")
    assert first(published(binding)["b"]) == [refused, *after]


def test_a_row_that_the_client_refuses_blocks_its_aggregate(
    shop: Shop, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the row is removed, the later events of its aggregate are published."""
    monkeypatch.setattr(shard_relay, "RETRY_S", 0.1)
    binding = in_memory_mesh.product()
    shop.emit(binding, [("b", 1)], note="x" * 1_040_000)
    later = shop.emit(binding, [("b", 2)])
    other = shop.emit(binding, [("a", 1)])
    with relaying(shop, in_memory_mesh):
        wait_for(lambda: look_at(shop.url, 1).state.blocked == 2, "the aggregate to be blocked")
        assert published(binding) == {"a": other}
        shop.ask("DELETE FROM outbox WHERE number = 1")
        wait_for(lambda: not shop.waiting, "the later event to be published")
    assert published(binding)["b"] == later


def test_an_address_that_leads_nowhere_blocks_its_own_events(
    shop: Shop, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of a port that is not registered wait; those of others are published."""
    monkeypatch.setattr(shard_relay, "RETRY_S", 0.1)
    binding = in_memory_mesh.product()
    gone = binding.model_copy(update={"address": replace(binding.address, product="gone")})
    shop.emit(gone, [("a", 1), ("b", 1)])
    ids = shop.emit(binding, [("a", 1)])
    refused = metrics.RELAYED.labels(str(gone.address), "refused")
    with relaying(shop, in_memory_mesh):
        wait_for(lambda: look_at(shop.url, 10).state.blocked == 2, "two blocked rows")
    assert published(binding) == {"a": ids}
    assert {each.aggregateid for each in look_at(shop.url, 10).blocked} == {"a", "b"}
    assert refused._value.get() >= 2
    with pytest.raises(NotRegistered):
        in_memory_mesh.registry.resolve(gone.address)


def test_several_shards_share_the_rows(shop: Shop, in_memory_mesh: Mesh) -> None:
    """Each shard is held once, and each aggregate's events are in order."""
    binding = in_memory_mesh.product()
    ids: dict[str, list[str]] = {f"s{number}": [] for number in range(12)}
    for n in range(10):
        for sensor in ids:
            ids[sensor] += shop.emit(binding, [(sensor, n)])
    with relaying(shop, in_memory_mesh, shards=3):
        wait_for(lambda: not shop.waiting, "all rows to be published")
        assert [each.shard for each in look_at(shop.url, 0).holders if each.holder] == [0, 1, 2]
    assert published(binding) == ids
    assert not [each for each in look_at(shop.url, 0).holders if each.holder]


def test_published_rows_are_removed_in_batches(
    shop: Shop, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were published longer ago than they are kept are removed, a batch at a time."""
    monkeypatch.setattr(shard_relay, "_CLEAN", 7)
    monkeypatch.setattr(shard_relay, "_CLEAN_S", 0.05)
    binding = in_memory_mesh.product()
    shop.emit(binding, [("a", n) for n in range(30)])
    with relaying(shop, in_memory_mesh, keep_s=0):
        wait_for(lambda: shop.ask("SELECT count(*) FROM outbox") == [(0,)], "the table to be empty")
    assert len(published(binding)["a"]) == 30


def test_a_second_relay_waits_and_takes_over(shop: Shop, in_memory_mesh: Mesh) -> None:
    """A relay of a database that another one publishes is ready, publishes nothing, and goes on where that one ended."""
    binding = in_memory_mesh.product()
    with relaying(shop, in_memory_mesh) as one:
        shop.emit(binding, [("a", 1)])
        wait_for(lambda: not shop.waiting, "the first relay to publish")
        with relaying(shop, in_memory_mesh) as two:
            wait_for(lambda: two.readiness.state().ready, "the second relay to reach the database")
            assert [each.fence for each in look_at(shop.url, 0).holders] == [1]
            one.stop()
            shop.emit(binding, [("a", 2)])
            wait_for(lambda: not shop.waiting, "the second relay to publish")
    assert shop.ask("SELECT fence FROM outbox ORDER BY number") == [(1,), (2,)]


def test_relays_that_divide_a_database_differently_do_not_work_together(
    shop: Shop, in_memory_mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """The second one waits, and says which number of shards the others have."""
    with relaying(shop, in_memory_mesh):
        wait_for(lambda: look_at(shop.url, 0).holders, "the first relay to have its shard")
        with relaying(shop, in_memory_mesh, shards=2):
            wait_for(
                lambda: any("divide the outbox in 1 shards, this one in 2" in each for each in caplog.messages), "it"
            )
        assert [each.shard for each in look_at(shop.url, 0).holders if each.holder] == [0]


def test_a_lost_connection_is_made_again(postgres_shop: Shop, in_memory_mesh: Mesh) -> None:
    """A relay whose session the database ends takes its shard again, with a new token, and goes on."""
    shop, binding = postgres_shop, in_memory_mesh.product()
    with relaying(shop, in_memory_mesh):
        for n in range(3):
            shop.emit(binding, [("a", n)])
            wait_for(lambda: not shop.waiting, "the event to be published")
            shop.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND objid = 0 AND classid = 'outbox'::regclass::oid"
            )
    assert first(published(binding)["a"]) == [id_ for (id_,) in shop.ask("SELECT id FROM outbox ORDER BY number")]


def test_what_is_stored_is_marked_when_the_relay_stops(shop: Shop, in_memory_mesh: Mesh) -> None:
    """A relay that is stopped at work has marked rows, and no row that is not in the log."""
    binding = in_memory_mesh.product()
    shop.emit(binding, [("a", n) for n in range(2_000)])
    stop = threading.Event()
    relay = Relay(shop.url, in_memory_mesh.registry, kafka=CONNECTIONS)
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    wait_for(lambda: shop.waiting < 2_000, "the first batch", pause_s=0.0)
    stop.set()
    thread.join()
    marked = [id_ for (id_,) in shop.ask("SELECT id FROM outbox WHERE published_at IS NOT NULL ORDER BY number")]
    assert marked
    assert first(published(binding)["a"])[: len(marked)] == marked


def test_an_old_transaction_is_reported(
    postgres_shop: Shop, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay warns of a transaction that stays open, with the session that it belongs to."""
    monkeypatch.setattr(shard_relay, "_OLD_TRANSACTION_S", 0.0)
    caplog.set_level(logging.WARNING)
    with closing(postgres_shop.connected()) as open_transaction:
        open_transaction.execute("SELECT pg_current_xact_id()")
        pid = open_transaction.info.backend_pid
        with relaying(postgres_shop, in_memory_mesh):
            wait_for(lambda: [each for each in caplog.messages if f"process {pid}" in each], "the warning")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////nowhere/shop.db", "unable to open database file"),
        ("sqlite://", "in memory"),
        ("mysql://shop", "cannot be in mysql"),
        ("postgresql://u:secret@127.0.0.1:1/shop", "connection"),
    ],
)
def test_a_database_that_is_not_there_ends_the_relay_at_its_start(in_memory_mesh: Mesh, url: str, shown: str) -> None:
    """The error has no password."""
    with pytest.raises(OutboxUnavailable, match=shown) as caught:
        Relay(url, in_memory_mesh.registry, kafka=CONNECTIONS).run()
    assert "secret" not in str(caught.value)


def test_a_database_without_an_outbox_is_said(shop: Shop, in_memory_mesh: Mesh) -> None:
    """The error names the command that creates one."""
    shop.ask("DROP TABLE outbox")
    with pytest.raises(OutboxUnavailable, match="outbox") as caught:
        Relay(shop.url, in_memory_mesh.registry, kafka=CONNECTIONS).run()
    assert "meshport outbox create" in (caught.value.hint or "")
