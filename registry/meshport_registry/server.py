"""The registry as a process, or as a thread of one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from meshport.errors import RegistryUnavailable
from meshport_registry.app import create_app
from meshport_registry.errors import StoreFailed
from meshport_registry.settings import Settings, database_url
from meshport_registry.store import Store


def serve(settings: Settings) -> None:
    """Serve until interrupted.

    One process with one event loop: group commit and the ready answers live in it. To grow, start more of them on one
    PostgreSQL.

    Raises:
        RegistryUnavailable: the port is taken, or the database cannot be opened.
    """
    server, listener = _prepare(settings)
    with suppress(KeyboardInterrupt):  # uvicorn has closed everything in good order, and hands the signal on
        server.run(sockets=[listener])


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Serve in a thread for as long as the context lasts; gives the URL once requests are taken.

    Raises:
        RegistryUnavailable: the port is taken, or the database cannot be opened.
    """
    server, listener = _prepare(settings)
    host, port = listener.getsockname()[:2]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="registry", daemon=True)
    thread.start()
    server.ready.wait()
    try:
        yield settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """uvicorn, with an event to wait for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _prepare(settings: Settings) -> tuple[_Server, socket.socket]:
    """A server and its socket; what can go wrong at a start goes wrong here, before a line is served."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        raise RegistryUnavailable(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", hint="choose another --port"
        ) from error
    try:
        store = Store(database_url(settings.database), longest_queue=settings.longest_queue).open()
    except StoreFailed as error:
        listener.close()
        raise RegistryUnavailable(error.message, hint="is --database right, and does it run?") from error
    config = uvicorn.Config(
        create_app(settings, store),
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
    )
    return _Server(config), listener
