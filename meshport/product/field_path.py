"""Paths of fields within records, as steps of product.yaml name them: `shot.team.id`."""

from __future__ import annotations

from typing import Final

PATH: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
"""A field's name, or its path within records, as a regular expression."""


def is_nested(path: str) -> bool:
    """Return whether a path leads to a field within a record."""
    return "." in path


def last_name(path: str) -> str:
    """Return the name that a field has once it is a field of the record itself: the last one of its path."""
    return path.rpartition(".")[2]
