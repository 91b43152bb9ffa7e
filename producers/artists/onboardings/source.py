"""Sends the signings of the reference world to the service of artist relations, which emits them.

The service is the one that the variable ARTISTS_SERVICE names, which has its own database. Without it, one runs here for as long
as the source does.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx2
import uvicorn
from sqlalchemy.orm import Session

from meshport.address import Address
from meshport.errors import DeliveryUnknown, ProjectError, PublishError
from meshport.kafka.clusters import KafkaAccess
from meshport.ports.resolver import Resolver
from meshport.product.loading import load_callable, load_module
from meshport.project.sources import SourceEvent, SourceWriter

_HERE: Final = Path(__file__).parent
_REQUEST_S: Final = 60.0
_FLUSH_S: Final = 300.0
_LOOK_EVERY_S: Final = 0.02


class Signings:
    """Every signing of one world, and the service that it is sent to.

    Args:
        seed: of the world.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __iter__(self) -> Iterator[SourceEvent]:
        events: Iterator[SourceEvent] = load_callable(_HERE, "../../world.py:onboardings")(self._seed)
        return events

    @contextmanager
    def opened(self, address: Address, resolver: Resolver, *, kafka: KafkaAccess) -> Iterator[SourceWriter]:
        """Yield what calls the service; it runs on a database of its own where none is named."""
        service = load_module(_HERE / "service.py")
        if named := os.environ.get("ARTISTS_SERVICE"):
            with _calling(named) as client:
                writer = _Caller(service, address, client)
                yield writer
                writer.flush()
            return
        with TemporaryDirectory(prefix="meshport-artists-") as folder:
            database = f"sqlite:///{folder}/artists.db"
            with _served(service.application(database, resolver, kafka)) as url, _calling(url) as client:
                writer = _Beside(service, address, client, database)
                try:
                    yield writer
                    writer.flush()
                finally:
                    writer.close()


class _Caller:
    """Calls the service for each signing; the service knows those that it has stored."""

    def __init__(self, service: Any, address: Address, client: httpx2.Client) -> None:
        self._service, self._address, self._client = service, address, client
        self._flushed = True

    def skip(self, event: SourceEvent) -> None:
        """Sign it again: of events that the relay published twice, the count of those that are stored has one too many."""
        self.publish(event)

    def publish(self, event: SourceEvent) -> None:
        """Sign; the answer comes after the signing and its event are stored in the service's database."""
        self._flushed = False
        body = self._signing(event).model_dump(mode="json")
        answer = self._ask("POST", "/signings", json=body)
        if answer.status_code not in {200, 201}:
            found = f"the service of {self._address} answers {answer.status_code} to {event.id}: {answer.text}"
            raise PublishError(found, address=str(self._address), ids=(event.id,))

    def flush(self) -> None:
        """Wait until the relay has published every signing."""
        if self._flushed:
            return
        until = time.monotonic() + _FLUSH_S
        while (state := self._emission()).waiting:
            if state.blocked:
                raise PublishError(f"{state.blocked} signings cannot be published", address=str(self._address))
            if time.monotonic() > until:
                raise DeliveryUnknown(f"{state.waiting} signings were not published within {_FLUSH_S:g} s")
            time.sleep(_LOOK_EVERY_S)
        self._flushed = True

    def _emission(self) -> Any:
        answer = self._ask("GET", "/emission")
        if not answer.is_success:
            raise ProjectError(f"the service of {self._address} answers {answer.status_code}: {answer.text}")
        return self._service.Emission.model_validate_json(answer.content)

    def _ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            return self._client.request(method, path, timeout=_REQUEST_S, **more)
        except httpx2.HTTPError as error:
            raise ProjectError(f"the service of {self._address} does not answer: {error}") from error

    def _signing(self, event: SourceEvent) -> Any:
        return self._service.Signing.model_validate({**(event.record or {}), "signing_id": event.id})


class _Beside(_Caller):
    """Calls a service that runs here on a new database."""

    def __init__(self, service: Any, address: Address, client: httpx2.Client, database: str) -> None:
        super().__init__(service, address, client)
        self._engine = service.open_database(database)

    def skip(self, event: SourceEvent) -> None:
        """Store a signing that was emitted before, so that the next one of its artist is known as a change."""
        with Session(self._engine) as session, session.begin():
            self._service.sign(session, self._signing(event))

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()


def _calling(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, trust_env=False)


@contextmanager
def _served(application: Any) -> Iterator[str]:
    """Serve an application in a thread, and yield its URL."""
    server = _Server(uvicorn.Config(application, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="artist relations", daemon=True)
        thread.start()
        server.ready.wait()
        try:
            if server.should_exit:
                raise ProjectError("the service of artist relations has not started; its log says why")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    """A server that reports when it accepts requests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does."""
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
