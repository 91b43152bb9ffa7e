"""What a client may do with the generations of one port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from meshport.address import Address
from meshport.binding import Binding
from meshport.generations import Generations, HoldRequest, OpenGeneration, Phase, Release, Switch
from meshport.registry.requests import Requests, understood


class PortGenerations:
    """The generations of one port; made by `Registry.generations`. Nothing is answered from memory.

    Every method raises NotRegistered for a port or number that is not there, and RegistryUnavailable without an answer.

    Args:
        line: the port's address with its major.
        requests: to the registry.
        on_change: told of the line whenever what stands behind it may have changed.

    Attributes:
        line: the port's address with its major.
    """

    def __init__(self, line: Address, requests: Requests, *, on_change: Callable[[Address], None]) -> None:
        self.line = line
        self._requests = requests
        self._on_change = on_change
        self._path: Final = f"/api/v1/generations/{line.key.partition('@')[0]}"
        self._query: Final[Mapping[str, Any]] = {"major": line.major}

    def list(self) -> Generations:
        """Every generation, and who is building one."""
        return self._requests.get(self._path, Generations, **self._query)

    def open(self, *, holder: str, seconds: float, made_by: str) -> Generations:
        """Begin a generation beside the one that is bound, or go on with one that the same logic began.

        Args:
            holder: who builds it, a name that nobody else has.
            seconds: for how long nobody else may, unless the hold is renewed.
            made_by: tells the logic; a generation that was begun by another is abandoned.

        Raises:
            RegistrationRefused: somebody else is building one.
        """
        return self._change("open", OpenGeneration(holder=holder, seconds=seconds, made_by=made_by))

    def hold(self, number: int, *, holder: str, seconds: float, phase: Phase) -> Generations:
        """Renew the hold on a generation, and say what is done with it.

        Raises:
            RegistrationRefused: the hold had ended.
        """
        return self._change(f"{number}/hold", HoldRequest(holder=holder, seconds=seconds, phase=phase))

    def release(self, number: int, *, holder: str) -> Generations:
        """Let go of a generation; it stays as it is, for who goes on with it."""
        return self._change(f"{number}/release", Release(holder=holder))

    def switch(self, number: int, switch: Switch) -> Binding:
        """Bind the address to a generation. Without an answer it is not known whether it is; asking again is safe.

        Raises:
            RegistrationRefused: it is not held for the handover by whoever asks, or a partition is missing.
        """
        binding = self._requests.post(f"{self._path}/{number}/switch", switch, Binding, **self._query)
        self._on_change(self.line)
        return binding

    def abandon(self, number: int, *, holder: str) -> Generations:
        """Give a generation up that is being built.

        Raises:
            RegistrationRefused: it is not being built, or somebody else is at it.
        """
        return self._change(f"{number}/abandon", Release(holder=holder))

    def retire(self, number: int) -> Generations:
        """Lead nobody to a generation any more; its topics are the caller's to delete, after this.

        Raises:
            RegistrationRefused: it is bound, or being built.
        """
        return self._change(f"{number}/retire", None)

    def _change(self, verb: str, body: BaseModel | None) -> Generations:
        content = None if body is None else body.model_dump_json()
        answer = self._requests.ask("POST", f"{self._path}/{verb}", self._query, content)
        self._on_change(self.line)
        return understood(answer, Generations.model_validate_json)
