"""What is measured of the registry: requests, answers from memory, writes that wait; and whether it is ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import select
from starlette.types import Scope

from meshport.errors import MeshError
from meshport.metrics import registry as metrics
from meshport.metrics.readiness import ReadyState
from meshport.metrics.refresh import before_scrape
from meshport.metrics.server import serve_states
from meshport_registry.store import RegistryStore

__all__ = ["RequestMeasures", "metrics_served"]

# What a client sends as its method may be any word; a label has to be bounded.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_NO_ROUTE: Final = "none"


class RequestMeasures:
    """Counts requests. Used on the event loop.

    Args:
        store: the database.

    Attributes:
        schemas: answers of `GET /schemas/ids/{id}` from memory. A hot route only adds 1; metrics take the sum when they are read.
        bindings: answers of `GET /api/v1/resolve/...` from memory.
    """

    def __init__(self, store: RegistryStore) -> None:
        self.schemas = 0
        self.bindings = 0
        self._store = store
        self._copied = (0, 0)
        self._schemas = metrics.CACHED.labels("/schemas/ids/{id}")
        self._bindings = metrics.CACHED.labels("/api/v1/resolve/{domain}/{product}")
        before_scrape(self.update)

    def update(self) -> None:
        """Copy what has changed since the last call."""
        now, before = (self.schemas, self.bindings), self._copied
        self._copied = now
        self._schemas.inc(now[0] - before[0])
        self._bindings.inc(now[1] - before[1])
        metrics.WRITES_WAITING.set(self._store.waiting_writes)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that memory did not answer."""
        route, method = _labels(scope)
        metrics.REQUESTS.labels(route, method, str(status)).inc()
        metrics.DURATION.labels(route, method).observe(seconds)

    def refused(self, scope: Scope, status: int) -> None:
        """Count a request of a caller that is not known, which reaches no route."""
        metrics.REQUESTS.labels(_NO_ROUTE, _labels(scope)[1], str(status)).inc()


def _labels(scope: Scope) -> tuple[str, str]:
    route = getattr(scope.get("route"), "path", _NO_ROUTE)
    return route, scope["method"] if scope["method"] in _METHODS else "other"


@contextmanager
def metrics_served(at: str | None, store: RegistryStore) -> Iterator[None]:
    """Serve `/metrics`, `/health` and `/ready` while the context is open; ready means that the database answers.

    Args:
        at: see `meshport.metrics.server.served`.
        store: the database.

    Raises:
        MetricsUnavailable: the port is taken.
    """

    def states() -> list[ReadyState]:
        try:
            store.read_now(lambda connection: connection.execute(select(1)).scalar())
        except MeshError as error:
            return [ReadyState("registry", ready=False, reasons=(error.message,))]
        return [ReadyState("registry", ready=True)]

    if at is None:
        yield
        return
    with serve_states(at, states):
        yield
