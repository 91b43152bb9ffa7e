"""Schemas built to explode: generated, parsed in a bounded process, and counted."""

from __future__ import annotations

import json
import random
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshport.errors import SchemaError
from meshport.schema import parse_schema
from tests.work import counted

ROOM = 64 * 1024 * 1024
MOST_LINES = 200_000


def laughs(levels: int, *, leaf: list[Any] | None = None, width: int = 2) -> dict[str, Any]:
    """Nested records of some fields of the next one's type, ending in a record of the leaf's fields, or of none."""
    form: dict[str, Any] = {"type": "record", "name": f"L{levels}", "fields": leaf or []}
    for level in range(levels - 1, -1, -1):
        others = [{"name": f"b{index}", "type": f"L{level + 1}"} for index in range(width - 1)]
        form = {"type": "record", "name": f"L{level}", "fields": [{"name": "a", "type": form}, *others]}
    return form


def bombs(count: int, seed: int) -> Iterator[Any]:
    """Yield random bombs: laughs of all sizes, in unions, maps and arrays, chains of references, recursion, size."""
    chance = random.Random(seed)
    for _ in range(count):
        match chance.randrange(8):
            case 0:
                yield laughs(chance.randint(12, 60), width=chance.randint(2, 6))
            case 1:
                yield ["null", laughs(chance.randint(6, 60), width=chance.randint(3, 6))]
            case 2:
                yield {"type": "map", "values": laughs(chance.randint(6, 60), width=chance.randint(3, 6))}
            case 3:
                leaf = [{"name": "n", "type": "boolean"}]
                yield {"type": "array", "items": laughs(chance.randint(24, 60), leaf=leaf)}
            case 4:
                yield _chain(chance.randint(12, 90))
            case 5:
                nulls = [{"name": f"n{index}", "type": "null"} for index in range(chance.randint(100, 250))]
                yield ["null", {"type": "record", "name": "Nulls", "fields": nulls}]
            case 6:
                yield _ring(chance.randint(1, 60))
            case _:
                yield chance.choice(
                    [
                        ["null"] * chance.randint(300, 6_000),
                        {"type": "fixed", "name": "F", "size": chance.randint(2**21, 2**60)},
                        {"type": "bytes", "logicalType": "decimal", "precision": chance.randint(1001, 2**31 - 1)},
                        _wrapped(chance.randint(6, 60)),
                    ]
                )


def _chain(length: int) -> Any:
    """Each type is twice the one before, all defined side by side, so that nothing nests in the text."""
    fields: list[Any] = [{"name": "f0", "type": {"type": "record", "name": "C0", "fields": []}}]
    for index in range(1, length):
        halves = [{"name": name, "type": f"C{index - 1}"} for name in "xy"]
        fields.append({"name": f"f{index}", "type": {"type": "record", "name": f"C{index}", "fields": halves}})
    return {"type": "record", "name": "Top", "fields": fields}


def _ring(length: int) -> Any:
    """Records that contain one another and at last the first."""
    form: Any = "R0"
    for index in range(length - 1, -1, -1):
        form = {"type": "record", "name": f"R{index}", "fields": [{"name": "a", "type": form}]}
    return form


def _wrapped(levels: int) -> Any:
    """An array whose items are one byte within many records."""
    form: Any = {"type": "array", "items": "int"}
    for index in range(levels):
        form = {"type": "record", "name": f"W{index}", "fields": [{"name": "a", "type": form}]}
    return {"type": "array", "items": form}


def refused(form: Any) -> bool:
    """Whether a schema is refused."""
    try:
        parse_schema(json.dumps(form))
    except SchemaError:
        return True
    return False


def main() -> None:
    """Parse the given number of bombs with 64 MB more of address space, and print what became of them."""
    refused(laughs(3))
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    most, accepted, count = 0, [], 0
    for form in bombs(int(sys.argv[1]), seed=7):
        text = json.dumps(form)
        count += 1
        with counted(MOST_LINES) as work:
            try:
                parse_schema(text)
            except SchemaError:
                pass
            else:
                accepted.append(text[:200])
        most = max(most, work.lines)
    sys.stdout.write(json.dumps({"bombs": count, "most_lines": most, "accepted": accepted[:5]}))


if __name__ == "__main__":
    main()
