"""The root of the errors, and the constructor that each class of errors gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, dataclass_transform

_E = TypeVar("_E", bound=BaseException)

_UNKNOWN: Final = (None, "", (), -1)
"""The values of an attribute whose fact is not known; `repr` leaves them out."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
def with_facts(kind: type[_E]) -> type[_E]:
    """Make the constructor of an error class: the message, and by keyword the attributes of the class and its parents.

    Two errors are equal if they are one object, as exceptions are.
    """
    return dataclass(kw_only=True, eq=False, repr=False)(kind)


@with_facts
class MeshError(Exception):
    """Root of every error that Meshport raises on purpose.

    Attributes:
        message: what was found and where.
        hint: what would be right; shown on a line of its own.
    """

    message: str = field(kw_only=False)
    hint: str | None = None

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    @property
    def facts(self) -> dict[str, Any]:
        """The known attributes by name, without the message and what other libraries attach under names that begin with `_`."""
        hidden = {name for name in vars(self) if name == "message" or name.startswith("_")}
        return {name: each for name, each in vars(self).items() if name not in hidden and each not in _UNKNOWN}

    def __repr__(self) -> str:
        facts = "".join(f", {name}={each!r}" for name, each in self.facts.items())
        return f"{type(self).__name__}({self.message!r}{facts})"

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException's own calls the constructor with `args`, which hold the message alone.
        return _unpickled, (type(self), self.args), vars(self)


def _unpickled(kind: type[MeshError], args: tuple[Any, ...]) -> MeshError:
    """Return an error without attributes, which pickle sets next."""
    return kind.__new__(kind, *args)
