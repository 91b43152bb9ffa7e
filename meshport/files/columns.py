"""Names of columns, and the renaming that makes fields of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping

from meshport.address import nearest
from meshport.schema.names import plain_spelling


def new_names(columns: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Return an Avro name for each of these columns that is close to its own, and unlike all others.

    Args:
        columns: names that are none in Avro.
        taken: the names of the other columns.
    """
    found: dict[str, str] = {}
    for column in columns:
        spelled = re.sub("_+", "_", plain_spelling(column)).strip("_")
        name = f"_{spelled}" if spelled[0].isdigit() else spelled
        unique, count = name, 1
        while unique in taken or unique in found.values():
            count += 1
            unique = f"{name}_{count}"
        found[column] = unique
    return found


def fitting_fields(columns: Iterable[str], fields: Collection[str], taken: Collection[str]) -> dict[str, str]:
    """Return for columns that are no fields the field that each seems to be: of the same letters, or almost.

    Args:
        columns: of the file.
        fields: of the schema.
        taken: the columns of the file that are fields.
    """
    found: dict[str, str] = {}
    for column in columns:
        free = {_letters(each): each for each in fields if each not in taken and each not in found.values()}
        same = free.get(_letters(column))
        near = same or nearest(column, list(free.values()))
        if near is not None:
            found[column] = near
    return found


def _letters(name: str) -> str:
    (same,) = new_names([name], ()).values()
    return same.replace("_", "").lower()


def rename_options(names: Mapping[str, str]) -> str:
    """Return the options that rename columns, as they are pasted into a shell."""
    return " ".join(f"--rename {shlex.quote(f'{old}={new}')}" for old, new in names.items())
