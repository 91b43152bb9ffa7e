"""The client of the registry for tasks of an event loop: what a service asks while it runs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from uuid import UUID

from meshport.address import Address
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import Health, Lineage, ProductPage, ProductPast, Reader
from meshport.compat.port_history import PortVersions, VersionComparison
from meshport.field_flows import FieldFlows
from meshport.registry import calls
from meshport.registry.calls import to_address
from meshport.registry.kept import FetchedSchemas, ResolvedBindings
from meshport.registry.login import RegistryLogin
from meshport.registry.requests import AsyncRequests, AsyncTransport, login_of
from meshport.schema import Schema
from meshport.search import SearchPage
from meshport.seen_readers import SubscriberName

__all__ = ["AsyncRegistry"]


class AsyncRegistry:
    """A client of one registry for the tasks of one event loop, so that a process needs one.

    It asks what services ask while they run; each method is that of `Registry`, awaited. Bindings and schemas are kept as
    there, so that a service runs on while the registry is down. Commands register, change and approve; they have `Registry`.

    Args:
        url: of the registry, `http://host:port` or `http://user:password@host:port`; `host:port` means the former.
        timeout: seconds to wait for one response; a connection is waited for 5 seconds at most.
        keep: seconds for which a resolved binding is returned without a request.
        transport: the transport of requests; for tests inside one process.
        login: of the registry; by default that of the environment, or the one that `meshport login` kept for the URL.

    Attributes:
        url: of the registry, without user and password.

    Raises:
        RegistryUnavailable: the URL is none.
        LoginRefused: see `meshport.registry.login.registry_login`.
        FileError: a certificate, or the login that is kept, cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        keep: float = 10.0,
        transport: AsyncTransport | None = None,
        login: RegistryLogin | None = None,
    ) -> None:
        self._requests = AsyncRequests(url, timeout=timeout, transport=transport, login=login or login_of(url))
        self.url = self._requests.url
        self._bindings = ResolvedBindings(keep)
        self._schemas = FetchedSchemas()

    async def resolve(self, address: Address | str) -> Binding:
        """See `Registry.resolve`."""
        return await self._requests.take(self._bindings.resolve(to_address(address)))

    async def resolve_as(self, address: Address, reader: SubscriberName) -> Binding:
        """See `Registry.resolve_as`."""
        return await self._requests.take(self._bindings.resolve(address, reader))

    async def refresh(self, address: Address | str) -> Binding:
        """See `Registry.refresh`."""
        return await self._requests.take(self._bindings.refresh(to_address(address)))

    async def product(self, which: UUID | Address | str) -> RegisteredProduct:
        """See `Registry.product`."""
        return await self._requests.take(calls.product(which))

    async def search(
        self, text: str | None = None, *, offset: int = 0, limit: int = 50, **narrowed: str
    ) -> ProductPage:
        """See `Registry.search`."""
        return await self._requests.take(calls.search(text, offset=offset, limit=limit, **narrowed))

    async def find(self, text: str, *, offset: int = 0, limit: int = 20, **narrowed: str) -> SearchPage:
        """See `Registry.find`."""
        return await self._requests.take(calls.find(text, offset=offset, limit=limit, **narrowed))

    async def lineage(self, address: Address | str) -> Lineage:
        """See `Registry.lineage`."""
        return await self._requests.take(calls.lineage(address))

    async def field_lineage(self, address: Address | str, field: str | None = None) -> FieldFlows:
        """See `Registry.field_lineage`."""
        return await self._requests.take(calls.field_lineage(address, field))

    async def export(self, form: str, address: Address | str | None = None) -> Any:
        """See `Registry.export`."""
        return await self._requests.take(calls.export(form, None if address is None else to_address(address)))

    async def versions(self, port: Address | str) -> PortVersions:
        """See `Registry.versions`."""
        return await self._requests.take(calls.versions(port))

    async def compare(self, port: Address | str, number: int, against: int | None = None) -> VersionComparison:
        """See `Registry.compare`."""
        return await self._requests.take(calls.compare(port, number, against))

    async def readers(self, address: Address | str) -> tuple[Reader, ...]:
        """See `Registry.readers`."""
        return await self._requests.take(calls.readers(address))

    async def past(self, address: Address | str) -> ProductPast:
        """See `Registry.past`."""
        return await self._requests.take(calls.past(address))

    async def by_id(self, schema_id: int) -> Schema:
        """See `Registry.by_id`."""
        return await self._requests.take(self._schemas.by_id(schema_id))

    async def by_fingerprint(self, fingerprint: str) -> Schema:
        """See `Registry.by_fingerprint`."""
        return await self._requests.take(self._schemas.by_fingerprint(fingerprint))

    async def by_guid(self, guid: UUID) -> Schema:
        """See `Registry.by_guid`."""
        return await self._requests.take(self._schemas.by_guid(guid))

    async def health(self) -> Health:
        """See `Registry.health`."""
        return await self._requests.take(calls.health())

    async def close(self) -> None:
        """Close the connections. Cached bindings and schemas stay usable; a further request connects anew."""
        await self._requests.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
