"""The difference of two JSON values, such as two descriptors of a product, as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def differences(item: str, before: Any, after: Any) -> Iterator[str]:
    """Yield each difference of two JSON values as `item: before -> after`, the parts of objects and lists apart.

    Args:
        item: the name of the value; its parts have names that begin with it.
        before: the value that was; None where there was none.
        after: the value that is; None where it is dropped.
    """
    if before is None:
        yield f"{item}: {_shown(after)}"
    elif after is None:
        yield f"{item}: {_shown(before)} is dropped"
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                yield from differences(f"{item}.{key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and _named(before) and _named(after):
        yield from differences(item, _by_name(before), _by_name(after))
    elif (
        isinstance(before, list) and isinstance(after, list) and len(before) == len(after) and _objects(before + after)
    ):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                yield from differences(f"{item}[{index}]", one, other)
    else:
        yield f"{item}: {_shown(before)} -> {_shown(after)}"


def _objects(values: list[Any]) -> bool:
    return all(isinstance(each, dict) for each in values)


def _named(values: list[Any]) -> bool:
    """Return whether values are objects, each with a name of its own: output ports by name and major, inputs by address."""
    return _objects(values) and len(_by_name(values)) == len(values) and None not in _by_name(values)


def _by_name(values: list[Any]) -> dict[Any, Any]:
    return {_name_of(each): each for each in values}


def _name_of(value: Mapping[str, Any]) -> str | None:
    if "name" in value:
        return f"{value['name']}@{value['major']}" if "major" in value else str(value["name"])
    return str(value["address"]) if "address" in value else None


def _shown(value: Any) -> str:
    """Return a JSON value as text for people: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
