"""The registry as a process."""

from __future__ import annotations

import uvicorn

from meshport_registry.app import create_app
from meshport_registry.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until interrupted.

    One process with one event loop: group commit and the ready answers live in it. To grow, start more of them on one
    PostgreSQL.
    """
    server(settings).run()


def server(settings: Settings) -> uvicorn.Server:
    """The server, not started yet; `should_exit` ends it, `servers[0].sockets` tells its port."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
        )
    )
