"""Running the registry with uvicorn, in the main thread or in a thread of its own."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn

from meshport.errors import RegistryUnavailable
from meshport_registry.app import create_app
from meshport_registry.connections import BoundedHttp, ConnectionLimits, Connections
from meshport_registry.errors import StoreFailed
from meshport_registry.settings import Settings, database_url
from meshport_registry.store import RegistryStore

# Seconds for which a thread that computes keeps the interpreter from the event loop; Python's own value is 5 ms.
_SWITCH_S: Final = 0.001


def serve(settings: Settings) -> None:
    """Serve until interrupted.

    One process has one event loop, one writing thread and one response cache. For more throughput start more processes
    on one PostgreSQL database.

    Raises:
        RegistryUnavailable: the port is taken, or the database cannot be opened.
    """
    server, listener = _prepare(settings)
    sys.setswitchinterval(_SWITCH_S)
    with suppress(KeyboardInterrupt):  # uvicorn shuts down on the signal, then raises it again
        server.run(sockets=[listener])


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Serve in a thread while the context is open, and yield the URL once the service accepts requests.

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
    """A uvicorn server with bounded connections, and an event that is set once it accepts requests."""

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self.server_state = Connections(limits)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _prepare(settings: Settings) -> tuple[_Server, socket.socket]:
    """Return a server and its bound socket, its database opened.

    Raises:
        RegistryUnavailable: the port is taken, or the database cannot be opened.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        raise RegistryUnavailable(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", hint="choose another --port"
        ) from error
    try:
        store = RegistryStore(database_url(settings.database), longest_queue=settings.longest_queue).open()
    except StoreFailed as error:
        listener.close()
        raise RegistryUnavailable(error.message, hint="is --database right, and does it run?") from error
    config = uvicorn.Config(
        create_app(settings, store),
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
    )
    return _Server(config, settings.connections), listener
