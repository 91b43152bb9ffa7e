"""Sends the signings of the reference world to the service of artist relations, which emits them."""

from __future__ import annotations

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
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from meshport.address import Address
from meshport.errors import DeliveryUnknown, ProjectError, PublishError
from meshport.kafka.clusters import KafkaAccess
from meshport.outbox.databases import look_at
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
        """Run the service on a database of its own, and yield what calls it."""
        service = load_module(_HERE / "service.py")
        with TemporaryDirectory(prefix="meshport-artists-") as folder:
            database = f"sqlite:///{folder}/artists.db"
            with (
                _served(service.application(database, resolver, kafka)) as url,
                httpx2.Client(base_url=url, trust_env=False) as client,
            ):
                engine = service.open_database(database)
                try:
                    writer = _Caller(service, engine, database, address, client)
                    yield writer
                    writer.flush()
                finally:
                    engine.dispose()


class _Caller:
    """Calls the service for each signing."""

    def __init__(self, service: Any, engine: Engine, database: str, address: Address, client: httpx2.Client) -> None:
        self._service, self._engine, self._database = service, engine, database
        self._address, self._client = address, client
        self._flushed = True

    def skip(self, event: SourceEvent) -> None:
        """Store a signing that was emitted before, so that the next one of its artist is known as a change."""
        with Session(self._engine) as session, session.begin():
            self._service.sign(session, self._signing(event))

    def publish(self, event: SourceEvent) -> None:
        """Sign; the answer comes after the signing and its event are stored in the service's database."""
        self._flushed = False
        body = self._signing(event).model_dump(mode="json")
        try:
            answer = self._client.post("/signings", json=body, timeout=_REQUEST_S)
        except httpx2.HTTPError as error:
            raise ProjectError(f"the service of {self._address} does not answer: {error}") from error
        if answer.status_code not in {200, 201}:
            found = f"the service of {self._address} answers {answer.status_code} to {event.id}: {answer.text}"
            raise PublishError(found, address=str(self._address), ids=(event.id,))

    def flush(self) -> None:
        """Wait until the relay has published every signing."""
        if self._flushed:
            return
        until = time.monotonic() + _FLUSH_S
        while (state := look_at(self._database, 1).state).waiting:
            if state.blocked:
                raise PublishError(f"{state.blocked} signings cannot be published", address=str(self._address))
            if time.monotonic() > until:
                raise DeliveryUnknown(f"{state.waiting} signings were not published within {_FLUSH_S:g} s")
            time.sleep(_LOOK_EVERY_S)
        self._flushed = True

    def _signing(self, event: SourceEvent) -> Any:
        return self._service.Signing.model_validate({**(event.record or {}), "signing_id": event.id})


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
