"""Values of a registry that is newer than this version.

A newer registry may answer with fields that this version does not know: the client lets them be, wherever they are
(`meshport.registry.requests`). It may also answer with a value that is new: another state, another kind of product, a
descriptor with a step that this version cannot run. Such a value is kept as it came, and breaks no call that does not need
it; what needs it raises `NewerRegistry`, which names it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from meshport.errors import NewerRegistry

__all__ = ["VERSION_HEADER", "OrNewer", "OrUnread", "UnreadValue", "insist_known", "is_known", "unknown_value"]

VERSION_HEADER: Final = "meshport-version"
"""The header in which each answer of a registry names its version."""

_T = TypeVar("_T")
_MOST_FAULTS: Final = 3


class _NewerWord:
    """Takes a text that is none of the words of a `StrEnum` or `Literal` as one that this version does not know."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, known: Callable[[Any], Any]) -> Any:
            try:
                return known(value)
            except ValidationError:
                if not isinstance(value, str):
                    raise
                return _member(source, value) if isinstance(source, type) and issubclass(source, StrEnum) else value

        return core_schema.no_info_wrap_validator_function(read, handler(source))


def _member(kind: type[StrEnum], value: str) -> StrEnum:
    """Return a value of an enumeration that is none of its members, and equals and `is` none of them."""
    made = str.__new__(kind, value)
    made._name_ = made._value_ = value
    return made


OrNewer = Annotated[_T, _NewerWord()]
"""A word of an answer, `OrNewer[Status]`: one that this version does not know is kept as text; see `is_known`."""


def is_known(word: StrEnum) -> bool:
    """Return whether a word of an answer is one that this version knows."""
    return any(word is each for each in type(word))


def insist_known(word: StrEnum, what: str) -> None:
    """Raise where a word of an answer is needed and not known.

    Args:
        word: the word.
        what: has it, as `grant 7`.

    Raises:
        NewerRegistry: this version does not know it.
    """
    if not is_known(word):
        raise unknown_value(word, what, type(word))


def unknown_value(value: str, what: str, kind: Any) -> NewerRegistry:
    """Return the error for a word that is not known.

    Args:
        value: the word.
        what: has it.
        kind: the `StrEnum` or `Literal` of the words that are known.
    """
    words = list(kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else get_args(kind)
    known = [str(each) for each in words]
    return NewerRegistry(
        f"{what} is {str(value)!r}, which this version of Meshport does not know; it knows {', '.join(known)}",
        hint="the registry is newer: update Meshport here",
    )


class UnreadValue:
    """Stands for a value of an answer that this version cannot read: any use of it raises `NewerRegistry`.

    Args:
        what: the value is.
        given: as it came, as JSON data.
        error: why it cannot be read.
    """

    def __init__(self, what: str, given: Any, error: ValidationError) -> None:
        self._what, self._given = what, given
        faults = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_url=False)[:_MOST_FAULTS]
        ]
        self._why = "; ".join(faults)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by Python itself, as for `copy`
            raise AttributeError(name)
        given = self._given
        of = f" of {given['address']}" if isinstance(given, dict) and "address" in given else ""
        raise NewerRegistry(
            f"this version of Meshport cannot read the {self._what}{of}: {self._why}",
            hint="if the registry is newer, update Meshport here",
        )


class OrUnread:
    """Takes a value that cannot be read as `UnreadValue`: `Annotated[Product, OrUnread("descriptor")]`. It is dumped as it came.

    Args:
        what: the value is, for the message.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the value, with what stands for it."""

        def read(value: Any, known: Callable[[Any], Any]) -> Any:
            try:
                return known(value)
            except ValidationError as error:
                if not isinstance(value, dict):
                    raise
                return UnreadValue(self._what, value, error)

        def write(value: Any, known: Callable[[Any], Any]) -> Any:
            return value.__dict__["_given"] if isinstance(value, UnreadValue) else known(value)

        return core_schema.no_info_wrap_validator_function(
            read, handler(source), serialization=core_schema.wrap_serializer_function_ser_schema(write)
        )
