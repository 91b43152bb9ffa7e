"""The lease on the generation that a rebuild builds: renewed in the background, and reported when it is lost.

The registry's API calls a lease a hold (`PortGenerations.hold`).
"""

from __future__ import annotations

import contextlib
import threading
from typing import Self
from uuid import uuid4

from meshport.errors import ProcessError, RegistrationRefused, RegistryUnavailable
from meshport.generations import Generation, Generations, Phase
from meshport.registry import PortGenerations

LEASE_S = 15.0
"""Seconds after which a lease that is not renewed ends, so that another rebuild can begin after a kill."""


class BuildLease:
    """A lease on the generation of a port that is being built. Use it as a context manager.

    Args:
        line: the port's generations.
        made_by: the digest of the logic; see `PortGenerations.open`.
        seconds: the time after which the lease ends unless it is renewed.

    Attributes:
        holder: the unique name of this lease's holder.
        opened: the port's generations at the time at which the lease began.

    Raises:
        RegistrationRefused: another process holds the lease.
    """

    def __init__(self, line: PortGenerations, made_by: str, *, seconds: float = LEASE_S) -> None:
        self._line = line
        self._seconds = seconds
        self.holder = uuid4().hex
        self._phase = Phase.BUILD
        self._lost: RegistrationRefused | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()
        self.opened: Generations = line.open(holder=self.holder, seconds=seconds, made_by=made_by)
        self._thread = threading.Thread(target=self._renew, name=f"hold {line.line}", daemon=True)

    @property
    def generation(self) -> Generation:
        """The generation that is being built."""
        building = self.opened.building
        if building is None:
            raise ProcessError(f"no generation of {self._line.line} is being built")
        return building

    def move(self, phase: Phase) -> None:
        """Record in the registry which phase the rebuild is in.

        Raises:
            RegistrationRefused: the lease was lost.
        """
        with self._lock:
            self.check()
            self._hold(phase)
            self._phase = phase

    def _hold(self, phase: Phase) -> None:
        self._line.hold(self.generation.number, holder=self.holder, seconds=self._seconds, phase=phase)

    def check(self) -> None:
        """Raise where another process may have taken the lease.

        Raises:
            RegistrationRefused: the lease was lost.
        """
        if self._lost is not None:
            raise self._lost

    def _renew(self) -> None:
        while not self._done.wait(self._seconds / 3):
            with self._lock:
                try:
                    self._hold(self._phase)
                except RegistryUnavailable:
                    continue  # the registry may answer before the lease ends
                except RegistrationRefused as error:
                    self._lost = error
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        with contextlib.suppress(RegistryUnavailable):  # the lease ends by itself
            self._line.release(self.generation.number, holder=self.holder)
