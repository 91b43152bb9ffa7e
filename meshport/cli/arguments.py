"""Arguments that do not fit what a registry takes: refused as wrong usage, before it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer
from pydantic import ValidationError

_SHOWN: Final = 60


def not_empty(value: str) -> str:
    """Return an argument that becomes a part of a path of the registry; for `typer.Argument(callback=...)`.

    Raises:
        typer.BadParameter: it is empty, and the path would be that of another call.
    """
    if not value:
        raise typer.BadParameter("'' is empty")
    return value


@contextmanager
def fitting(**names: str) -> Iterator[None]:
    """Refuse arguments that the model which is made of them within the block refuses.

    Args:
        names: the names of the arguments, by the model's fields.

    Raises:
        typer.BadParameter: it names the first argument that does not fit, what was given, and what would be right.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        given = repr(first["input"])
        shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}..."
        raise typer.BadParameter(f"{shown}: {first['msg']}", param_hint=names.get(field, field)) from None
