"""Sends rows of an outbox, so that an aggregate's are stored in their order and one that is refused holds up no other's.

A broker refuses whole batches. So after a refusal the rows are sent again in halves, in order, until the one that is refused
alone is found.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import MeshError, RegistryUnavailable
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import KafkaConfig
from meshport.kafka.gapless import Attempt, GaplessProducer
from meshport.kafka.producer import Message
from meshport.outbox.shard import Aggregate, WaitingRow
from meshport.ports.registry_outage import await_answer
from meshport.ports.resolver import Resolver

__all__ = ["RowSender", "SentRows"]

# A port may be bound to another topic while the relay runs.
_RESOLVE_S: Final = 10.0


@dataclass
class SentRows:
    """What became of rows; those that are in neither may be stored or not, and are sent again.

    Attributes:
        stored: acknowledged by the broker.
        refused: cannot be sent, with the reason.
    """

    stored: list[WaitingRow] = field(default_factory=list)
    refused: list[tuple[WaitingRow, MeshError]] = field(default_factory=list)


class RowSender:
    """Sends rows to the topics that their addresses lead to. One thread uses it.

    Args:
        resolver: a registry. While it is away, addresses that it has resolved before lead to the same topics.
        kafka: the connections to Kafka.
        stop: ends a wait for the registry.
        on_replaced: called whenever a producer has failed for good and is replaced.
    """

    def __init__(
        self,
        resolver: Resolver,
        kafka: KafkaAccess,
        stop: threading.Event,
        *,
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        self._bindings = _Bindings(resolver, stop)
        self._kafka = kafka
        self._stop = stop
        self._on_replaced = on_replaced
        self._producers: dict[KafkaConfig, GaplessProducer] = {}

    def send(self, rows: Sequence[WaitingRow], *, pause: Callable[[], bool]) -> SentRows:
        """Send rows, and wait until each is stored, refused, or the client has failed.

        Args:
            rows: in order.
            pause: see `GaplessProducer.attempt`.

        Raises:
            RegistryUnavailable: the registry was away, and `stop` was set.
        """
        done = SentRows()
        held: set[Aggregate] = set()
        waiting = [list(rows)]
        while waiting:
            chunk = self._resolved([row for row in waiting.pop() if row.aggregate not in held], done, held)
            for kafka, part in chunk.items():
                left, suspected = self._send_part(kafka, part, done, held, pause)
                if not left:
                    continue
                if not suspected:
                    return done  # the client has failed, or is being closed; later rows must not overtake these
                middle = len(left) // 2
                waiting += [left[middle:], left[:middle]]  # a single row goes alone, before all that follow
        return done

    def _send_part(
        self,
        kafka: KafkaConfig,
        part: Sequence[tuple[WaitingRow, str]],
        done: SentRows,
        held: set[Aggregate],
        pause: Callable[[], bool],
    ) -> tuple[list[WaitingRow], bool]:
        """Send rows to one cluster once; return what is left of them, and whether a batch was refused."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        messages = [Message(topic, row.event.key, row.event.payload, row.event.headers(now)) for row, topic in part]
        attempt = self._producer(kafka).attempt(messages, pause=pause)
        _note(attempt, part, done, held)
        settled = attempt.stored | attempt.refused.keys()
        left = [row for index, (row, _) in enumerate(part) if index not in settled and row.aggregate not in held]
        if len(part) == 1 and attempt.suspected:
            ((row, _),) = part
            done.refused.append((row, attempt.suspected[0]))
            held.add(row.aggregate)
            left = []
        if attempt.suspected or attempt.refused:
            self._bindings.forget()
        return left, bool(attempt.suspected)

    def _resolved(
        self, rows: Sequence[WaitingRow], done: SentRows, held: set[Aggregate]
    ) -> dict[KafkaConfig, list[tuple[WaitingRow, str]]]:
        """Return rows with their topics, by cluster; those of an address that leads nowhere are refused."""
        found: dict[KafkaConfig, list[tuple[WaitingRow, str]]] = {}
        targets: dict[str, tuple[KafkaConfig, str] | MeshError] = {}
        for row in rows:
            address = row.event.address
            if address not in targets:
                targets[address] = self._target(address)
            target = targets[address]
            if isinstance(target, MeshError):
                if row.aggregate not in held:
                    held.add(row.aggregate)
                    done.refused.append((row, target))
            else:
                kafka, topic = target
                found.setdefault(kafka, []).append((row, topic))
        return found

    def _target(self, address: str) -> tuple[KafkaConfig, str] | MeshError:
        try:
            binding = self._bindings.of(address)
            return self._kafka.to(binding), binding.topic
        except RegistryUnavailable:
            raise
        except MeshError as error:
            return error

    def _producer(self, kafka: KafkaConfig) -> GaplessProducer:
        if kafka not in self._producers:
            self._producers[kafka] = GaplessProducer(kafka, on_replaced=self._on_replaced)
        return self._producers[kafka]

    def close(self) -> None:
        """Drop what has no outcome, and close the connections."""
        for producer in self._producers.values():
            producer.close()
        self._producers.clear()


def _note(attempt: Attempt, part: Sequence[tuple[WaitingRow, str]], done: SentRows, held: set[Aggregate]) -> None:
    done.stored += [part[index][0] for index in sorted(attempt.stored)]
    for index, error in sorted(attempt.refused.items()):
        row, _ = part[index]
        if row.aggregate not in held:
            held.add(row.aggregate)
            done.refused.append((row, error))


class _Bindings:
    """The bindings of addresses, asked for again from time to time."""

    def __init__(self, resolver: Resolver, stop: threading.Event) -> None:
        self._resolver = resolver
        self._stop = stop
        self._known: dict[str, tuple[float, Binding]] = {}

    def of(self, address: str) -> Binding:
        """Return the binding of an address.

        Raises:
            AddressError: it is no address.
            NotRegistered: the registry does not know it.
            RegistryUnavailable: the registry was away, and `stop` was set.
        """
        known = self._known.get(address)
        if known is not None and monotonic() - known[0] < _RESOLVE_S:
            return known[1]
        parsed = Address.parse(address)
        try:
            binding = self._resolver.resolve(parsed)
        except RegistryUnavailable:
            if known is None:
                binding = await_answer(lambda: self._resolver.resolve(parsed), self._stop, waiter="the relay")
            else:
                binding = known[1]
        self._known[address] = (monotonic(), binding)
        return binding

    def forget(self) -> None:
        """Ask again for each address at its next row; what is known holds while the registry is away."""
        self._known = {address: (float("-inf"), binding) for address, (_, binding) in self._known.items()}
