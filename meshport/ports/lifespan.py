"""Publishers and subscribers for as long as a service runs: the lifespan of a FastAPI or Starlette application.

An ASGI server has an application start before the first request and end after the last one. Starlette, and FastAPI on it, take
an asynchronous context manager for that, and give what it yields to each request as its `state`. Nothing here imports either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from meshport.event import Event
from meshport.ports.async_subscriber import AsyncSubscriber

__all__ = ["SubscriberTask", "lifespan"]

_log: Final = logging.getLogger(__name__)


def lifespan(**parts: AbstractAsyncContextManager[Any]) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return the `lifespan` of an application: it opens the parts in their order at the start and closes them at the end.

    `FastAPI(lifespan=lifespan(sales=AsyncPublisher(...)))` gives each request `request.state.sales`. A part that cannot be
    opened keeps the application from starting. An application with a lifespan of its own enters this one within it:
    `async with lifespan(...)(app) as state`.

    Args:
        parts: by name, what `async with` opens: an `AsyncRegistry`, an `AsyncPublisher`, an `AsyncSubscriber`, a
            `SubscriberTask`, or anything else. A part comes after those that it uses.
    """

    @asynccontextmanager
    async def opened(_: Any) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            yield {name: await stack.enter_async_context(each) for name, each in parts.items()}

    return opened


class SubscriberTask:
    """A subscriber whose events are handled while a service runs; `async with` begins and ends that.

    At the end no further event is begun, those that are being handled are waited for, and their offsets are committed. An error
    of `handle` ends the reading at once; it is logged, and raised at the end. The service runs on: its readiness should ask
    `failed`.

    Args:
        subscriber: opened and closed with this.
        handle: handles one event, see `AsyncSubscriber.run`.
        concurrency: how many events are handled at a time at most.
        grace_s: seconds for which events that are being handled are waited for at the end; then their tasks are cancelled.
    """

    def __init__(
        self,
        subscriber: AsyncSubscriber,
        handle: Callable[[Event], Awaitable[object]],
        *,
        concurrency: int = 100,
        grace_s: float = 20.0,
    ) -> None:
        self._subscriber = subscriber
        self._handle = handle
        self._concurrency = concurrency
        self._grace_s = grace_s
        self._task: asyncio.Task[None] | None = None

    @property
    def failed(self) -> BaseException | None:
        """The error that ended the reading; None while it goes on."""
        task = self._task
        return task.exception() if task is not None and task.done() and not task.cancelled() else None

    async def __aenter__(self) -> Self:
        await self._subscriber.open()
        self._task = asyncio.create_task(self._subscriber.run(self._handle, concurrency=self._concurrency))
        self._task.add_done_callback(self._log_failure)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._task
        self._subscriber.stop()
        try:
            if task is not None:
                await asyncio.wait([task], timeout=self._grace_s)
                if not task.done():
                    task.cancel()
                    await asyncio.wait([task])
        finally:
            await self._subscriber.__aexit__(kind, error or self.failed, trace)
        if error is None and self.failed is not None:
            raise self.failed

    def _log_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s is not read any more: %s", self._subscriber.address, error, exc_info=error)
