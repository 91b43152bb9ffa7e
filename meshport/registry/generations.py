"""The client of the generations of one port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from meshport.address import Address
from meshport.binding import Binding
from meshport.generations import Generations, HoldRequest, OpenGeneration, Phase, Release, Switch
from meshport.registry.requests import Requests, parse_response


class PortGenerations:
    """Lists and changes the generations of one port; `Registry.generations` makes it. Nothing is cached.

    Every method raises NotRegistered if the port or the generation does not exist, and RegistryUnavailable if the
    registry does not answer.

    Args:
        line: the port's address with its major.
        requests: to the registry.
        on_change: called with the line after every call that may have changed its binding.

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
        """Return every generation, and the hold on the one that is being built."""
        return self._requests.get(self._path, Generations, **self._query)

    def open(self, *, holder: str, seconds: float, made_by: str) -> Generations:
        """Begin a generation beside the bound one, or continue one that the same logic began, and hold it.

        Args:
            holder: a unique name of the builder.
            seconds: for which the hold lasts unless it is renewed.
            made_by: identifies the logic; a generation that was begun by other logic is abandoned.

        Raises:
            RegistrationRefused: another holder is building a generation.
        """
        return self._change("open", OpenGeneration(holder=holder, seconds=seconds, made_by=made_by))

    def hold(self, number: int, *, holder: str, seconds: float, phase: Phase) -> Generations:
        """Renew the hold on a generation, and set its phase.

        Raises:
            RegistrationRefused: the hold has expired.
        """
        return self._change(f"{number}/hold", HoldRequest(holder=holder, seconds=seconds, phase=phase))

    def release(self, number: int, *, holder: str) -> Generations:
        """Release the hold on a generation, which stays as it is, so that another holder can continue it."""
        return self._change(f"{number}/release", Release(holder=holder))

    def switch(self, number: int, switch: Switch) -> Binding:
        """Bind the address to a generation. If the registry does not answer it may be bound; a repeated call is safe.

        Raises:
            RegistrationRefused: the holder does not hold it in the phase `handover`, or the offsets do not cover every
                partition.
        """
        binding = self._requests.post(f"{self._path}/{number}/switch", switch, Binding, **self._query)
        self._on_change(self.line)
        return binding

    def abandon(self, number: int, *, holder: str) -> Generations:
        """Abandon a generation that is being built.

        Raises:
            RegistrationRefused: the generation is not being built, or another holder is building it.
        """
        return self._change(f"{number}/abandon", Release(holder=holder))

    def retire(self, number: int) -> Generations:
        """Retire a generation, so that no binding names its topic any more. The caller may delete its topics then.

        Raises:
            RegistrationRefused: the generation is bound, or is being built.
        """
        return self._change(f"{number}/retire", None)

    def _change(self, verb: str, body: BaseModel | None) -> Generations:
        content = None if body is None else body.model_dump_json()
        response = self._requests.send("POST", f"{self._path}/{verb}", self._query, content)
        self._on_change(self.line)
        return parse_response(response, Generations.model_validate_json)
