"""What a check of the surroundings found, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

from meshport.errors import MeshError

__all__ = ["Area", "Diagnosis", "DiagnosisState"]

Area = Literal["shell", "registry", "cluster", "project", "product"]


class DiagnosisState(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        area: where it belongs.
        state: how bad it is; `skipped` where something before it is wrong.
        what: was found, in words.
        next: the next step, in words; None where none is needed.
    """

    area: Area
    state: DiagnosisState
    what: str
    next: str | None = None

    @classmethod
    def ok(cls, area: Area, what: str) -> Diagnosis:
        """Return that something is as it should be."""
        return cls(area, DiagnosisState.OK, what)

    @classmethod
    def warning(cls, area: Area, what: str, step: str | None) -> Diagnosis:
        """Return that something may be wrong."""
        return cls(area, DiagnosisState.WARNING, what, step)

    @classmethod
    def wrong(cls, area: Area, what: str, step: str | None) -> Diagnosis:
        """Return that something is wrong."""
        return cls(area, DiagnosisState.WRONG, what, step)

    @classmethod
    def skipped(cls, area: Area, what: str) -> Diagnosis:
        """Return that something could not be looked at."""
        return cls(area, DiagnosisState.SKIPPED, what)

    @classmethod
    def of(cls, area: Area, error: MeshError, step: str) -> Diagnosis:
        """Return that an error was raised; its own hint is the next step where it has one."""
        return cls.wrong(area, error.message, error.hint or step)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {name: each for name, each in asdict(self).items() if each is not None}
