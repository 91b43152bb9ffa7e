"""Holding the generation that one is building: renewed in the background, lost aloud."""

from __future__ import annotations

import contextlib
import threading
from typing import Self
from uuid import uuid4

from meshport.errors import ProcessError, RegistrationRefused, RegistryUnavailable
from meshport.generations import Generation, Generations, Phase
from meshport.registry import PortGenerations

LEASE_S = 15.0
"""For how long a hold lasts that nobody renews: so long after a kill nobody else can begin."""


class BuildLease:
    """The generation that is being built, held by this process for as long as the block runs.

    Args:
        line: the port's generations.
        made_by: tells the logic; see `PortGenerations.open`.
        seconds: for how long each hold lasts.

    Raises:
        RegistrationRefused: somebody else is at it.
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
        """The port's generations as they were then."""
        self._thread = threading.Thread(target=self._renew, name=f"hold {line.line}", daemon=True)

    @property
    def generation(self) -> Generation:
        """The one that is held."""
        building = self.opened.building
        if building is None:
            raise ProcessError(f"no generation of {self._line.line} is being built")
        return building

    def move(self, phase: Phase) -> None:
        """Say what is done now.

        Raises:
            RegistrationRefused: the hold was lost.
        """
        with self._lock:
            self.check()
            self._hold(phase)
            self._phase = phase

    def _hold(self, phase: Phase) -> None:
        self._line.hold(self.generation.number, holder=self.holder, seconds=self._seconds, phase=phase)

    def check(self) -> None:
        """Make sure that nobody else can have begun meanwhile.

        Raises:
            RegistrationRefused: somebody may.
        """
        if self._lost is not None:
            raise self._lost

    def _renew(self) -> None:
        while not self._done.wait(self._seconds / 3):
            with self._lock:
                try:
                    self._hold(self._phase)
                except RegistryUnavailable:
                    continue  # it may answer before the hold ends
                except RegistrationRefused as error:
                    self._lost = error
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        with contextlib.suppress(RegistryUnavailable):  # it ends by itself
            self._line.release(self.generation.number, holder=self.holder)
