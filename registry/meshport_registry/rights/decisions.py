"""The decisions of a registry process: the applied policies, and what was decided by them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from sqlalchemy import Connection

from meshport.policy import MESH, Action, Decision, PolicySet, Resource
from meshport_registry.access.grants import next_end
from meshport_registry.errors import StoreFailed
from meshport_registry.identity.caller import LOCAL, LOCAL_GROUP, Caller
from meshport_registry.lifecycle import revision
from meshport_registry.rights.applied import applied_set, newest_number
from meshport_registry.store import RegistryStore, Work

LONGEST_LAG_S: Final = 1.0
"""Seconds after which a change of policies or products, made by another process, decides about reads here at the latest."""
# Of each of the two caches. A decision takes about 500 bytes with its caller and resource.
_MOST: Final = 20_000
_log: Final = logging.getLogger(__name__)


class Decisions:
    """Decides who may do what, by the policies that the database has. Use it on the event loop only.

    Decisions and resources are kept until the change counter of the database moves, or a grant ends. Before a change is
    decided about, the counter is read; for reads it may be `LONGEST_LAG_S` old. While the database does not answer, reads that
    need nothing else of it go on as they were decided.

    Args:
        store: the database.
        clock: returns seconds.
    """

    def __init__(self, store: RegistryStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._known = store.read_now(lambda c: _read_state(c, None, PolicySet()))
        self._checked = clock()
        self._decided: dict[tuple[Caller, Action, Resource], Decision] = {}
        self._resources: dict[Hashable, Resource] = {}

    @property
    def policies(self) -> PolicySet:
        """The policies in force."""
        return self._known.policies

    @property
    def local_may_everything(self) -> bool:
        """Whether no policy forbids anything, so that the built-in permit of local callers decides alone."""
        return not self._known.policies.forbids

    async def decide(self, caller: Caller, action: Action, resource: Resource) -> Decision:
        """Return whether a caller may do something, by policies that are current; see `refresh`."""
        asked = (caller, action, resource)
        found = self._decided.get(asked)
        if found is None:
            found = decision(self._known.policies, caller, action, resource)
            if len(self._decided) >= _MOST:
                self._decided.clear()
            self._decided[asked] = found
        return found

    async def resource(self, key: Hashable, read: Work[Resource]) -> Resource:
        """Return a resource, from the cache if it is there.

        Args:
            key: of the resource in the cache.
            read: reads it from the database.
        """
        found = self._resources.get(key)
        if found is None:
            known = self._known.revision
            found = await self.store.read(read)
            if known == self._known.revision:  # otherwise it may be older than the change that emptied the cache
                if len(self._resources) >= _MOST:
                    self._resources.clear()
                self._resources[key] = found
        return found

    async def refresh(self, *, within: float = LONGEST_LAG_S) -> None:
        """Take up changes of policies and products.

        Args:
            within: seconds for which the last look is good enough; 0 for a decision about a change.

        Raises:
            StoreFailed: the database did not answer, and `within` is 0.
        """
        if within and self._clock() - self._checked < within:
            return
        before, self._checked = self._checked, self._clock()
        known = self._known
        try:
            found = await self.store.read(lambda c: _read_state(c, known.number, known.policies))
        except StoreFailed as error:
            if not within:
                self._checked = before
                raise
            _log.warning("the policies could not be read again, those in force stay: %s", error.message)
            return
        if found.revision < self._known.revision:
            return  # another look, which began later, was quicker
        if (
            found.revision > self._known.revision or found.next_end != self._known.next_end
        ):  # it moves when a grant ends
            self._resources.clear()
        if found.number != self._known.number:
            self._decided.clear()
        self._known = found

    async def discovers_all(self, caller: Caller) -> bool:
        """Return whether a caller may discover every product, whatever that is, and those to come."""
        if self.knows_local(caller):
            return True
        of_mesh = await self.decide(caller, Action.DISCOVER, MESH)
        return self._known.policies.same_for_every_product(of_mesh, Action.DISCOVER)

    def knows_local(self, caller: Caller) -> bool:
        """Whether a caller is a local one and nothing is forbidden: it may do everything, whatever that is about."""
        return caller == LOCAL and self.local_may_everything


def decision(policies: PolicySet, caller: Caller, action: Action, resource: Resource) -> Decision:
    """Decide whether a caller may do something, by some policies; any thread may ask."""
    groups = caller.groups if caller.by == "anonymous" else caller.groups - {LOCAL_GROUP}
    return policies.decide(caller.name, groups, action, resource, {"by": caller.by})


class _State(NamedTuple):
    """What decisions depend on.

    Attributes:
        revision: the change counter.
        number: of the newest policies.
        policies: all that decide.
        next_end: when the next grant ends, in microseconds since the epoch.
    """

    revision: int
    number: int | None
    policies: PolicySet
    next_end: int | None


def _read_state(connection: Connection, known: int | None, policies: PolicySet) -> _State:
    """Return what decisions depend on; its policies are the given ones where their number is the `known` one."""
    counter, number = revision(connection), newest_number(connection)
    current = policies if number == known else applied_set(connection)
    return _State(counter, number, current, next_end(connection))
