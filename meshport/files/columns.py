"""Names of columns, and the renaming that makes fields of them."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from meshport.address import nearest

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_name(column: str) -> bool:
    """Return whether a column's name is an Avro name: ASCII letters, digits and _, no digit at first."""
    return _NAME.fullmatch(column) is not None


def new_names(columns: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Return an Avro name for each of these columns that is close to its own, and unlike all others.

    Args:
        columns: names that are none in Avro.
        taken: the names of the other columns.
    """
    found: dict[str, str] = {}
    for number, column in enumerate(columns, 1):
        plain = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
        name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or f"column_{number}"
        name = f"_{name}" if name[0].isdigit() else name
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
