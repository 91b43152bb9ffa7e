"""What a run of a replay job reports to the registry, and what it finds there: that the job is paused, or cancelled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from meshport.errors import MeshError, NotRegistered, RegistrationRefused, RegistryUnavailable
from meshport.registry import Registry
from meshport.replay_jobs import ReplayJob, ReplayProgress, ReplayState

_log: Final = logging.getLogger(__name__)
_REPORT_S: Final = 1.0
# A run that is complete waits so long for the registry to note it; another run of the job does so later.
_PATIENCE_S: Final = 60.0


class JobReports:
    """Reports how far a job came, once a second, from a thread of its own. While the registry does not answer, the job goes on.

    Args:
        job: the job.
        mesh: the registry.

    Attributes:
        job: as the registry had it last.
    """

    def __init__(self, job: ReplayJob, mesh: Registry) -> None:
        self.job = job
        self._mesh = mesh
        self._before = (job.events, job.unreadable)
        self._progress = ReplayProgress(positions=job.positions, events=job.events, unreadable=job.unreadable)
        self._looked = threading.Condition()
        self._refused: MeshError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name=f"replay {job.job}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def note(self, positions: Mapping[int, int], replayed: int, unreadable: int) -> None:
        """Note how far this run came; the next report says so.

        Args:
            positions: by partition, the next offset to replay.
            replayed: the events of this run.
            unreadable: the messages that this run could not read.
        """
        events, bad = self._before
        self._progress = ReplayProgress(
            positions=dict(positions), events=events + replayed, unreadable=bad + unreadable
        )

    def wait(self) -> ReplayState:
        """Return the state of the job once it is not paused.

        Raises:
            NotRegistered, RegistrationRefused: the registry takes no report of this job from this caller.
        """
        with self._looked:
            while self.job.state == ReplayState.PAUSED and self._refused is None:
                self._looked.wait(_REPORT_S)
            if self._refused is not None:
                raise self._refused
            return ReplayState(self.job.state)

    def complete(self, ends: Mapping[int, int]) -> ReplayJob:
        """Report that every event was replayed, and return the job.

        Raises:
            RegistryUnavailable: the registry did not answer for a minute; running the job again reports it.
        """
        self._ended.set()
        self._thread.join()
        whole = self._progress.model_copy(update={"positions": dict(ends), "state": ReplayState.COMPLETE})
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._mesh.replays.report(self.job.job, whole)
            except RegistryUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_REPORT_S)

    def _report(self) -> None:
        silent = False
        while not self._ended.wait(_REPORT_S):
            try:
                found = self._mesh.replays.report(self.job.job, self._progress)
            except RegistryUnavailable as error:
                if not silent:
                    _log.warning("the replay %s goes on unreported: %s", self.job.job, error)
                silent = True
            except (NotRegistered, RegistrationRefused) as error:
                with self._looked:
                    self._refused = error
                    self._looked.notify_all()
                return
            else:
                silent = False
                with self._looked:
                    self.job = found
                    self._looked.notify_all()
