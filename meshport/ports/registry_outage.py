"""Waiting for a registry that does not answer: for what runs on for weeks, and for a schema that it meets meanwhile.

A processor or a subscriber needs the registry at its start, and for each schema that it has not seen. That the registry is away
says nothing about an event, so it is neither refused nor quarantined: the reader waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar
from uuid import UUID

from meshport.errors import RegistryUnavailable
from meshport.event import SchemaSource
from meshport.schema import Schema

__all__ = ["WaitingSchemas", "await_answer", "is_outage"]

_log: Final = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

_ASK_S: Final = 1.0
_REPORT_S: Final = 10.0


def await_answer(
    ask: Callable[[], _Answer], stop: threading.Event, *, waiter: str, report_s: float = _REPORT_S
) -> _Answer:
    """Return what a registry answers; as long as it does not answer, ask again every second.

    The wait is logged as a warning at its beginning, every `report_s` seconds, and at its end.

    Args:
        ask: asks the registry.
        stop: an event that another thread or a signal sets to end the wait.
        waiter: who waits, for the log.
        report_s: seconds between two lines of the log.

    Raises:
        RegistryUnavailable: `stop` was set before the registry answered; or what answers is no registry.
        MeshError: the registry has answered with another error.
    """
    began = time.monotonic()
    reported = None
    while True:
        try:
            answer = ask()
        except RegistryUnavailable as error:
            if stop.is_set() or not is_outage(error):
                raise
            now = time.monotonic()
            if reported is None or now - reported >= report_s:
                reported = now
                _log.warning(
                    "%s has waited %.0f s for the registry and goes on when it answers: %s",
                    waiter,
                    now - began,
                    error.message,
                )
            stop.wait(_ASK_S)
        else:
            if reported is not None:
                _log.warning("%s goes on: the registry answers after %.0f s", waiter, time.monotonic() - began)
            return answer


def is_outage(error: RegistryUnavailable) -> bool:
    """Return whether there was no answer, or one of a service in trouble; an answer of something else does not change."""
    return error.status is None or error.status >= 500


class WaitingSchemas:
    """A source of schemas that waits while the registry does not answer. What is cached is returned without a wait.

    Args:
        schemas: a registry.
        stop: ends a wait.
        waiter: who waits, for the log.
    """

    def __init__(self, schemas: SchemaSource, stop: threading.Event, *, waiter: str) -> None:
        self._schemas = schemas
        self._stop = stop
        self._waiter = waiter

    def by_id(self, schema_id: int) -> Schema:
        """See `SchemaSource` and `await_answer`."""
        return self._await(lambda: self._schemas.by_id(schema_id), f"the schema {schema_id}")

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """See `SchemaSource` and `await_answer`."""
        return self._await(lambda: self._schemas.by_fingerprint(fingerprint), f"the schema {fingerprint}")

    def by_guid(self, guid: UUID) -> Schema:
        """See `SchemaSource` and `await_answer`."""
        return self._await(lambda: self._schemas.by_guid(guid), f"the schema {guid}")

    def _await(self, ask: Callable[[], Schema], what: str) -> Schema:
        return await_answer(ask, self._stop, waiter=f"{self._waiter} ({what} is new to it)")
