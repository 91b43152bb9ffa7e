"""The library's client for event loops: the answers, errors and cached values of the other client, awaited."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr

from meshport.address import Address
from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.ports.async_mesh import for_threads
from meshport.registry import AsyncRegistry, Registry, RegistryLogin
from meshport.schema import parse_schema
from meshport.seen_readers import SubscriberName
from tests.registry.schemas import plays, schema


class AsyncSwitch(httpx2.AsyncBaseTransport):
    """A transport that can be cut off."""

    def __init__(self) -> None:
        self._real = httpx2.AsyncHTTPTransport(verify=False)
        self.cut = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, or raise as for a host that does not respond."""
        if self.cut:
            raise httpx2.ConnectError("no route to host")
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the real transport."""
        await self._real.aclose()


def test_both_clients_give_the_same_answers(registry: Registry) -> None:
    """Each method of the client for event loops returns what the other client's returns, with the same parameters."""
    port = registry.register(*plays()).ports[0]
    registry.register(plays()[0], {"events@1": schema("user", "track", "device?")})
    assert port.schema_id is not None
    asked: dict[str, tuple[Any, ...]] = {
        "resolve": ("player/plays",),
        "refresh": ("player/plays",),
        "resolve_as": (Address.parse("player/plays"), SubscriberName(group="billing")),
        "product": ("player/plays",),
        "search": ("plays",),
        "lineage": ("player/plays",),
        "find": ("plays",),
        "readers": ("player/plays",),
        "field_lineage": ("player/plays", "track"),
        "versions": ("player/plays/events@1",),
        "compare": ("player/plays/events", 2),
        "export": ("odcs", "player/plays"),
        "past": ("player/plays",),
        "by_id": (port.schema_id,),
        "by_fingerprint": (port.fingerprint,),
        "by_guid": (UUID(hex=port.fingerprint[:32]),),
        "health": (),
    }
    methods = {name for name, each in vars(AsyncRegistry).items() if not name.startswith("_") and callable(each)}
    assert methods == {*asked, "close"}

    async def ask() -> dict[str, Any]:
        async with AsyncRegistry(registry.url) as client:
            return {name: await getattr(client, name)(*given) for name, given in asked.items()}

    assert asyncio.run(ask()) == {name: getattr(registry, name)(*given) for name, given in asked.items()}
    for name in methods - {"close"}:
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (AsyncRegistry, Registry))
        assert ours == theirs, name


def test_a_service_runs_on_without_the_registry(service: str, registry: Registry) -> None:
    """Without the registry, resolved bindings and fetched schemas stay usable, and every other call raises."""
    binding = registry.register(*plays()).product.bindings[0]

    async def ask() -> None:
        network = AsyncSwitch()
        async with AsyncRegistry(service, keep=0, transport=network) as client:
            assert await client.resolve("player/plays") == binding
            schema = await client.by_id(binding.schema_id)
            network.cut = True
            assert await client.resolve("player/plays") == binding
            assert await client.by_id(binding.schema_id) is schema
            for call in (client.health, client.search, lambda: client.refresh("player/plays")):
                with pytest.raises(RegistryUnavailable, match="did not answer: no route to host"):
                    await call()

    asyncio.run(ask())


def test_a_client_connects_anew_after_it_was_closed(registry: Registry) -> None:
    """A closed client serves another event loop, as where a service is started twice in one process."""
    client = AsyncRegistry(registry.url)

    async def ask() -> str:
        async with client:
            with pytest.raises(NotRegistered, match="is not registered"):
                await client.resolve("player/unknown")
            return (await client.health()).status

    assert [asyncio.run(ask()) for _ in range(2)] == ["ok", "ok"]


class Renewing:
    """A source of tokens that may wait for another service: no thread of an event loop may ask it."""

    def __init__(self) -> None:
        self._number = 1
        self.threads: set[int] = set()

    def current(self) -> SecretStr:
        """Return the token."""
        self.threads.add(threading.get_ident())
        return SecretStr(str(self._number))

    def renewed(self, refused: SecretStr) -> SecretStr | None:
        """Return the next."""
        assert refused == self.current()
        self._number += 1
        return self.current()


def test_a_refused_token_is_renewed_once_outside_of_the_loop() -> None:
    """After 401 a request is sent once more with the next token, which a thread asks for."""
    source = Renewing()
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(401 if len(seen) == 1 else 503, json={"message": "no"})

    async def ask() -> None:
        login = RegistryLogin(token=source)
        async with AsyncRegistry("http://registry", transport=httpx2.MockTransport(answer), login=login) as client:
            with pytest.raises(RegistryUnavailable, match="answered 503"):
                await client.health()

    asyncio.run(ask())
    assert seen == ["Bearer 1", "Bearer 2"]
    assert threading.get_ident() not in source.threads


def test_threads_ask_a_registry_of_an_event_loop(registry: Registry) -> None:
    """The threads of ports get the answers and errors of an `AsyncRegistry`, and an error once its loop has ended."""
    registry.register(*plays())
    client = AsyncRegistry(registry.url)

    async def ask() -> Any:
        mesh = for_threads(client)
        assert for_threads(registry) is registry
        binding = await asyncio.to_thread(mesh.resolve, Address.parse("player/plays"))
        contract = parse_schema(binding.schema_text)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: asyncio.to_thread(mesh.by_id, binding.schema_id),
            lambda: asyncio.to_thread(mesh.by_fingerprint, binding.fingerprint),
            lambda: asyncio.to_thread(mesh.by_guid, UUID(hex=binding.fingerprint[:32])),
        ]
        assert [await call() for call in calls] == [contract] * 3
        with pytest.raises(NotRegistered):
            await asyncio.to_thread(mesh.by_id, 99)
        await client.close()
        return mesh

    mesh = asyncio.run(ask())
    with pytest.raises(RegistryUnavailable, match="event loop that asks the registry has ended"):
        mesh.resolve(Address.parse("player/plays"))
