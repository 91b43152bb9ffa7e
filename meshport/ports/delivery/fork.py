"""Publishers in a process that a fork made: the client's threads are in the parent process, so they take no more events."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["ForkAware", "keep_client", "leave_at_fork"]


class ForkAware(Protocol):
    """What a fork copies and its process cannot use."""

    def leave_to_parent(self) -> None:
        """Take no more events. Called in the process that the fork made."""


_opened: Final[WeakSet[ForkAware]] = WeakSet()
# A client that a fork copied has no threads; destroying it would wait for them for ever.
_inherited: Final[list[object]] = []


def leave_at_fork(each: ForkAware) -> None:
    """Call `leave_to_parent` in each process that a fork makes from now on, while the object is in use."""
    _opened.add(each)


def keep_client(client: object) -> None:
    """Keep a client that a fork copied until the process ends."""
    _inherited.append(client)


def _leave_to_parent() -> None:
    for each in list(_opened):
        each.leave_to_parent()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)
