"""The relay: publishes the rows of an outbox after their transactions have committed.

A row is marked as published once the broker has acknowledged its event, so that an event is published again, under the same
id, where a relay ends in between. Two relays that work on the same rows change nothing in the order in which a reader
sees the events of an aggregate first: each sends them in their order, and none leaves one out that is not marked.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final, Self

from meshport.errors import MeshError, OutboxUnavailable, ShardLost
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.metrics.readiness import Readiness
from meshport.outbox.databases import database_name, look_at, open_shard
from meshport.outbox.row_sender import RowSender
from meshport.outbox.shard import Shard
from meshport.ports.resolver import Resolver

__all__ = ["Relay"]

_log: Final = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0
_STANDBY_S: Final = 1.0
MOST_SHARDS: Final = 64


class Relay:
    """Publishes the events of an outbox, in the order in which their transactions committed for each aggregate.

    As a process it is `meshport relay`. In a thread of a service it is a context:

        with Relay(database_url, registry, kafka=kafka):
            serve()

    Several relays of one database share its shards: each shard is published by one of them, and one that ends is replaced by
    another. A relay waits while its database, its registry or Kafka does not answer.

    Args:
        database: the URL of the database, as SQLAlchemy takes it: PostgreSQL, or SQLite in a file.
        resolver: a registry.
        kafka: the connections to Kafka.
        shards: in how many the rows are divided, 1 to 64; each is published by a thread and a connection of its own. Equal for
            all relays of the database.
        keep_s: for how many seconds published rows are kept.

    Raises:
        ValueError: `shards` or `keep_s` is out of range.
        OutboxUnavailable: the URL is not one of PostgreSQL or SQLite.
    """

    def __init__(
        self,
        database: str,
        resolver: Resolver,
        *,
        kafka: KafkaAccess = PLAINTEXT,
        shards: int = 1,
        keep_s: float = 600.0,
    ) -> None:
        if not 1 <= shards <= MOST_SHARDS:
            raise ValueError(f"an outbox is divided in 1 to {MOST_SHARDS} shards, not in {shards}")
        if not keep_s >= 0:
            raise ValueError(f"published rows are kept for 0 seconds or more, not for {keep_s}")
        self.name: Final = database_name(database)
        """Of the database, without what may be secret."""
        self.readiness: Final = Readiness(f"relay of {self.name}", ["database"])
        """Whether the relay has its database, and moves; see `meshport.metrics`."""
        self._database, self._shards, self._keep_s = database, shards, keep_s
        self._resolver, self._kafka = resolver, kafka
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def run(self, stop: threading.Event | None = None) -> None:
        """Publish until `stop` is set, or `stop()` is called. Events in flight are waited for, for some seconds.

        Raises:
            OutboxUnavailable: the database does not answer at the start, or has no outbox.
            BrokerUnavailable: a cluster refuses the relay's login or certificate.
            KafkaError: the client refuses its configuration.
        """
        if stop is not None:
            self._stop = stop
        look_at(self._database, 0)
        threads = [
            threading.Thread(target=self._run_shard, args=(number,), name=f"relay-{number}", daemon=True)
            for number in range(self._shards)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if self._failed is not None:
            raise self._failed

    def start(self) -> None:
        """Publish in a thread until `stop`; raises what `run` raises at the start."""
        look_at(self._database, 0)
        self._thread = threading.Thread(target=self._run_in_thread, name="relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what `start` or `run` began, and wait for the thread.

        Raises:
            KafkaError: as `run`, if the relay had ended by it.
        """
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
            if self._failed is not None:
                raise self._failed

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except MeshError as failed:
            if kind is None:
                raise
            _log.warning("the relay of %s had ended: %s", self.name, failed)  # beside the error that ends the block

    def _run_in_thread(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - `stop` raises it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failed is None:
            self._failed = error
            self.readiness.lack("relay", f"ended by {error}")
            _log.error("the relay of %s ends: %s", self.name, error)
        self._stop.set()

    def _run_shard(self, number: int) -> None:
        reported = ""
        while not self._stop.is_set():
            try:
                self._hold(number)
                reported = ""
            except (OutboxUnavailable, ShardLost) as error:
                self.readiness.lack("database", str(error.message))
                if error.message != reported:
                    reported = error.message
                    _log.warning("shard %d of the outbox %s, tried again: %s", number, self.name, error)
                self._stop.wait(_AGAIN_S)
            except BaseException as error:  # noqa: BLE001 - `run` raises it
                self._fail(error)

    def _hold(self, number: int) -> None:
        """Wait for a shard, and publish its rows until the relay stops."""
        from meshport.outbox.shard_relay import ShardRelay  # noqa: PLC0415 - the metrics' client takes 40 ms to import

        shard = open_shard(self._database, number, self._shards, stopped=self._stop.is_set)
        try:
            while not self._acquired(shard):
                if self._stop.wait(_STANDBY_S):
                    return
            _log.info("publishes shard %d of %d of the outbox %s", number, self._shards, self.name)
            sender = RowSender(self._resolver, self._kafka, self._stop, on_replaced=ShardRelay.count_producer)
            try:
                ShardRelay(shard, sender, self.readiness, self._stop, keep_s=self._keep_s).run()
            finally:
                sender.close()
        finally:
            shard.close()

    def _acquired(self, shard: Shard) -> bool:
        acquired = shard.acquire()
        self.readiness.meet("database")
        return acquired
