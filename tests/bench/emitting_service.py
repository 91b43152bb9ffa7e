"""A FastAPI service that publishes an event for each request, in one of several ways; `tests.bench.emitting` measures it.

`python -m tests.bench.emitting_service REGISTRY ADDRESS DATABASE PORT`
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from meshport import AsyncPublisher, AsyncRegistry, Publisher, Registry, lifespan
from meshport.outbox import Outbox

# Requests are cancelled after up to so many seconds: before, while and after their event is sent.
_CANCEL_S = 0.1
_OUTCOME_S = 60.0
# Connections to the database: what a service of this size has.
_POOL = 20


def service(registry_url: str, address: str, database: str) -> FastAPI:
    """The application, with one publisher of each kind and an outbox."""
    registry = AsyncRegistry(registry_url)
    app = FastAPI(lifespan=lifespan(orders=AsyncPublisher(address, registry)))
    threads = Publisher(address, Registry(registry_url))
    outbox = Outbox(address, Registry(registry_url))
    engine = create_async_engine(database, pool_size=_POOL, max_overflow=0, pool_timeout=_OUTCOME_S)
    sale = text("INSERT INTO sale (order_id) VALUES (:order_id)")

    @app.post("/nothing")
    async def nothing(request: Request) -> str:
        return str(_stamped(await request.json())["order_id"])

    @app.post("/async")
    async def in_the_loop(request: Request) -> str:
        return await _orders(request).publish(_stamped(await request.json()))

    @app.post("/pool")
    def in_a_pool(record: dict[str, Any]) -> str:
        return threads.submit(_stamped(record)).result(_OUTCOME_S)

    @app.post("/rows")
    async def a_row(request: Request) -> str:
        record = _stamped(await request.json())
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(sale, {"order_id": record["order_id"]})
        return str(record["order_id"])

    @app.post("/outbox")
    async def a_row_and_its_event(request: Request) -> str:
        record = _stamped(await request.json())
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(sale, {"order_id": record["order_id"]})
            return await outbox.add_async(session, record)

    @app.post("/cancelled")
    async def cancelled(request: Request) -> str:
        record = _stamped(await request.json())
        try:
            async with asyncio.timeout(random.uniform(0, _CANCEL_S)):
                return await _orders(request).publish(record)
        except TimeoutError:
            return ""

    @app.get("/waiting")
    async def waiting(request: Request) -> int:
        return _orders(request).waiting

    return app


def _orders(request: Request) -> AsyncPublisher:
    found: AsyncPublisher = request.state.orders
    return found


def _stamped(record: dict[str, Any]) -> dict[str, Any]:
    record["ordered_at"] = datetime.now(UTC)
    return record


def main() -> None:
    """Serve until SIGTERM."""
    registry_url, address, database, port = sys.argv[1:]
    uvicorn.run(service(registry_url, address, database), port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
