"""ASGI middleware that enters refused and failed calls into the audit before they are answered."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshport.audit import AuditOutcome
from meshport.errors import MeshError
from meshport_registry.audit.call import AuditedCall
from meshport_registry.audit.chain import AuditRecord, append
from meshport_registry.audit.pacing import Pacing
from meshport_registry.store import RegistryStore

# Between two transactions of refusals, so that they share one: 100 a second at most, and 10 in a flood. A transaction
# stops the event loop for up to a millisecond, which a hundredth of the others' requests must not notice.
_PAUSE_S: Final = 0.01
_PAUSE_IN_FLOOD_S: Final = 0.1
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_log: Final = logging.getLogger(__name__)


class RefusalLog:
    """Enters calls that changed nothing, all that wait in one transaction. Use it on the event loop only.

    Args:
        store: the database.
    """

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._waiting: list[tuple[AuditRecord, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._pacing = Pacing()

    async def enter(self, record: AuditRecord) -> None:
        """Return once the call is entered, or the database did not take it, which is logged."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((record, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._enter_all(), name="audit-refusals")
        await future
        if record.outcome is AuditOutcome.REFUSED:  # after the entry: answers that were entered together go out apart
            await self._pacing.turn()

    async def _enter_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            records = [record for record, _ in batch]
            try:
                await self._store.write(lambda connection, records=records: append(connection, *records))  # type: ignore[misc]
            except MeshError as error:
                for each in records:
                    _log.error(
                        "not in the audit: %s by %s, %s: %s", each.detail, each.caller, each.outcome, error.message
                    )
            finally:
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)
            await asyncio.sleep(_PAUSE_IN_FLOOD_S if self._pacing.crowded else _PAUSE_S)


class AuditMiddleware:
    """Enters each refused call (401, 403) and each failed change into the audit before its answer is sent.

    It is the outermost middleware, so that no refusal passes it by. What is refused below HTTP, such as a TLS handshake,
    does not reach it.

    Args:
        app: the service; its `state.refusals` is the `RefusalLog`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = AuditedCall(scope)
        scope.setdefault("state", {})["audit"] = call

        async def audited(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                await _enter(scope, call, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, audited)
        except Exception:
            await _enter(scope, call, HTTPStatus.INTERNAL_SERVER_ERROR)  # answered outside of all middleware
            raise


async def _enter(scope: Scope, call: AuditedCall, status: int) -> None:
    refused = status in _REFUSED
    # A body that is too large was not read, so there was no change to fail; while its answer waited, its 4 MB would count.
    too_large = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if call.entered or not (refused or (call.may_change and not too_large)):
        return
    call.entered = True
    refusals: RefusalLog = scope["app"].state.refusals
    await refusals.enter(call.record(AuditOutcome.REFUSED if refused else AuditOutcome.FAILED, int(status)))
