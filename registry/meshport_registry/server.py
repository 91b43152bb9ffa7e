"""Running the registry with uvicorn, in the main thread or in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from meshport import __version__
from meshport.errors import MeshError, RegistryUnavailable
from meshport.newer import VERSION_HEADER
from meshport_registry.app import create_app
from meshport_registry.connections import BoundedHttp, Connections
from meshport_registry.errors import StoreFailed
from meshport_registry.identity.door import knows_identities
from meshport_registry.identity.tls import renew_certificate, server_context
from meshport_registry.measures import metrics_served
from meshport_registry.settings import Settings, database_url
from meshport_registry.store import RegistryStore

# Load balancers close idle connections after 60 s: the side that sends has to be the first.
_KEEP_ALIVE_S: Final = 65
# Seconds for which a thread that computes keeps the interpreter from the event loop; Python's own value is 5 ms.
_SWITCH_S: Final = 0.001


def serve(settings: Settings) -> None:
    """Serve until interrupted.

    One process has one event loop, one writing thread and one response cache. For more throughput start more processes
    on one PostgreSQL database.

    Raises:
        RegistryUnavailable: the port is taken, the database cannot be opened, a file of TLS cannot be used, or everyone
            could reach the registry and it knows no identities.
        MetricsUnavailable: the port of the metrics is taken.
    """
    server, listener = _prepare(settings)
    sys.setswitchinterval(_SWITCH_S)
    with suppress(KeyboardInterrupt):  # uvicorn shuts down on the signal, then raises it again
        server.run(sockets=[listener])


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Serve in a thread while the context is open, and yield the URL once the service accepts requests.

    Raises:
        RegistryUnavailable: the port is taken, the database cannot be opened, a file of TLS cannot be used, or everyone
            could reach the registry and it knows no identities.
        MetricsUnavailable: the port of the metrics is taken.
    """
    server, listener = _prepare(settings)
    host, port = listener.getsockname()[:2]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="registry", daemon=True)
    thread.start()
    server.ready.wait()
    try:
        yield settings.public_url or f"{settings.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """A uvicorn server with bounded connections, and an event that is set once it accepts requests."""

    def __init__(self, config: uvicorn.Config, settings: Settings, metrics: ExitStack) -> None:
        super().__init__(config)
        self._settings = settings
        self._metrics = metrics
        self.server_state = Connections(settings.connections)
        self.ready = threading.Event()
        self._renewal: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.ssl is None or self._settings.tls is None:
            await super().startup(sockets)
        else:
            await self._start_tls(sockets or [], self.config.ssl)
            self._renewal = asyncio.create_task(renew_certificate(self.config.ssl, self._settings.tls))
        self.ready.set()

    async def _start_tls(self, sockets: list[socket.socket], tls: ssl.SSLContext) -> None:
        """Start as uvicorn does, with a bound of the handshake, for which uvicorn leaves a client a minute."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.servers = [
            await asyncio.get_running_loop().create_server(
                self._connection,
                sock=each,
                ssl=tls,
                ssl_handshake_timeout=self._settings.connections.head_s,
                backlog=self.config.backlog,
            )
            for each in sockets
        ]
        self.started = True

    def _connection(self) -> BoundedHttp:
        assert isinstance(self.server_state, Connections)  # noqa: S101 - set by the constructor
        return BoundedHttp(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        await asyncio.to_thread(self._metrics.close)
        await super().shutdown(sockets)


def _prepare(settings: Settings) -> tuple[_Server, socket.socket]:
    """Return a server and its bound socket, its database opened.

    Raises:
        RegistryUnavailable: the port is taken, the database cannot be opened, a file of TLS cannot be used, or everyone
            could reach the registry and it knows no identities.
        MetricsUnavailable: the port of the metrics is taken.
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
        raise RegistryUnavailable(error.message, hint=error.hint or "is --database right, and does it run?") from error
    metrics = ExitStack()
    try:
        tls = None if settings.tls is None else server_context(settings.tls)
        _refuse_strangers(settings, store)
        metrics.enter_context(metrics_served(settings.metrics, store))
    except MeshError:
        listener.close()
        store.close()
        raise
    config = uvicorn.Config(
        create_app(settings, store),
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        headers=[(VERSION_HEADER, __version__)],
        date_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=_KEEP_ALIVE_S,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    return _Server(config, settings, metrics), listener


def _refuse_strangers(settings: Settings, store: RegistryStore) -> None:
    """Refuse to let other machines in where no caller has an identity.

    Raises:
        RegistryUnavailable: other machines can reach the registry, and nothing says who their callers are.
    """
    if settings.allow_anonymous or settings.listens_here_only or knows_identities(settings, store):
        return
    raise RegistryUnavailable(
        f"the registry would listen on {settings.host} for everyone: it knows no identities",
        hint="make a key (`meshport registry key create --database ...`), or give --oidc-issuer or --client-ca; "
        "--allow-anonymous lets everyone in",
    )
