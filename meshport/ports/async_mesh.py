"""A registry of an event loop, asked by the threads that wait for Kafka."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Final, Protocol, TypeVar, cast, runtime_checkable
from uuid import UUID

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import RegistryUnavailable
from meshport.ports.resolver import Resolver
from meshport.ports.subscriber import Mesh
from meshport.schema import Schema
from meshport.seen_readers import SubscriberName

__all__ = ["AsyncMesh", "AsyncResolver", "BlockingMesh", "for_threads"]

_Answer = TypeVar("_Answer")
# A loop that answers nothing for so long has ended: a request takes 30 s at most.
_LOOP_S: Final = 60.0
_ENDED: Final = "the event loop that asks the registry has ended"


class AsyncResolver(Protocol):
    """A `Resolver` for the tasks of an event loop; `meshport.registry.AsyncRegistry` asks the registry service."""

    async def resolve(self, address: Address) -> Binding:
        """See `Resolver.resolve`."""
        ...


@runtime_checkable
class AsyncNamedResolver(Protocol):
    """A `NamedResolver` for the tasks of an event loop."""

    async def resolve_as(self, address: Address, reader: SubscriberName) -> Binding:
        """See `NamedResolver.resolve_as`."""
        ...


class AsyncMesh(AsyncResolver, Protocol):
    """What a subscriber asks of a registry, awaited."""

    async def by_id(self, schema_id: int) -> Schema:
        """See `SchemaSource`."""
        ...

    async def by_fingerprint(self, fingerprint: str) -> Schema:
        """See `SchemaSource`."""
        ...

    async def by_guid(self, guid: UUID) -> Schema:
        """See `SchemaSource`."""
        ...


class BlockingMesh:
    """Asks an `AsyncMesh` from other threads than that of its event loop.

    Args:
        mesh: used by one event loop.
        loop: that loop.
    """

    def __init__(self, mesh: AsyncMesh, loop: asyncio.AbstractEventLoop) -> None:
        self._mesh = mesh
        self._loop = loop

    def resolve(self, address: Address) -> Binding:
        """See `Resolver.resolve`."""
        return self._ask(lambda: self._mesh.resolve(address))

    def resolve_as(self, address: Address, reader: SubscriberName) -> Binding:
        """See `NamedResolver`."""
        mesh = self._mesh
        return self._ask(
            lambda: mesh.resolve_as(address, reader) if isinstance(mesh, AsyncNamedResolver) else mesh.resolve(address)
        )

    def by_id(self, schema_id: int) -> Schema:
        """See `SchemaSource`."""
        return self._ask(lambda: self._mesh.by_id(schema_id))

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """See `SchemaSource`."""
        return self._ask(lambda: self._mesh.by_fingerprint(fingerprint))

    def by_guid(self, guid: UUID) -> Schema:
        """See `SchemaSource`."""
        return self._ask(lambda: self._mesh.by_guid(guid))

    def _ask(self, call: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        async def ask() -> _Answer:
            return await call()

        asked = ask()
        try:
            answer = asyncio.run_coroutine_threadsafe(asked, self._loop)
        except RuntimeError as error:  # the loop is closed
            asked.close()
            raise RegistryUnavailable(_ENDED) from error
        try:
            return answer.result(_LOOP_S)
        except (TimeoutError, CancelledError) as error:
            answer.cancel()
            raise RegistryUnavailable(_ENDED) from error


def for_threads(mesh: Resolver | AsyncResolver) -> Mesh:
    """Return a registry for the threads of this event loop's ports: itself, or one that asks it within this loop.

    Its schemas can be asked for where those of the given one can.
    """
    if inspect.iscoroutinefunction(mesh.resolve):
        return BlockingMesh(cast(AsyncMesh, mesh), asyncio.get_running_loop())
    return cast(Mesh, mesh)
