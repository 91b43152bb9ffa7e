"""The client of a registry's replay jobs."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter

from meshport.address import Address
from meshport.registry.requests import Requests, parse_response
from meshport.replay_jobs import ReplayJob, ReplayProgress, ReplayReason, ReplayRequest

_JOBS: Final = TypeAdapter(tuple[ReplayJob, ...])
_PATH: Final = "/api/v1/replays"


class RegistryReplays:
    """Starts, approves, pauses and lists replay jobs; `Registry.replays` makes it. Nothing is cached.

    Every method raises RegistryUnavailable if the registry does not answer, RegistrationRefused if the policies do not permit it
    to the caller or the state of the job does not, and, where it names a job, NotRegistered if there is no such job.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def list(self, address: Address | None = None, *, ended: bool = False) -> tuple[ReplayJob, ...]:
        """Return jobs, newest first; the newest 1,000.

        Args:
            address: of a product or a port; None for the whole mesh.
            ended: also those that are complete or cancelled.

        Raises:
            NotRegistered: the product is not registered.
        """
        query = {"address": None if address is None else str(address), "ended": "true" if ended else None}
        return parse_response(self._requests.send("GET", _PATH, query), _JOBS.validate_json)

    def start(self, wanted: ReplayRequest) -> ReplayJob:
        """Start a replay of a port that the caller may read.

        Raises:
            NotRegistered: the product is not registered.
            RegistrationRefused: it has no such port, or the port is bound to another topic by now.
        """
        return self._requests.post(_PATH, wanted, ReplayJob)

    def get(self, job: str) -> ReplayJob:
        """Return a job."""
        return self._requests.get(f"{_PATH}/{job}", ReplayJob)

    def approve(self, job: str) -> ReplayJob:
        """Let a job run that waits for that, as an owner of the product."""
        return self._move(job, "approve")

    def pause(self, job: str) -> ReplayJob:
        """Have the process that runs a job wait."""
        return self._move(job, "pause")

    def resume(self, job: str) -> ReplayJob:
        """Let a job that is paused go on."""
        return self._move(job, "resume")

    def cancel(self, job: str, reason: str) -> ReplayJob:
        """End a job before it is complete. What it replayed stays."""
        return self._requests.post(f"{_PATH}/{job}/cancel", ReplayReason(reason=reason), ReplayJob)

    def report(self, job: str, progress: ReplayProgress) -> ReplayJob:
        """Report how far a job came, as the caller who started it; its state says whether to wait or to end."""
        response = self._requests.send("PUT", f"{_PATH}/{job}/progress", content=progress.model_dump_json())
        return parse_response(response, ReplayJob.model_validate_json)

    def _move(self, job: str, verb: str) -> ReplayJob:
        return parse_response(self._requests.send("POST", f"{_PATH}/{job}/{verb}"), ReplayJob.model_validate_json)
