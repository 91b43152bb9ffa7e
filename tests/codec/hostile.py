"""Decodes hostile payloads and prints a JSON line for each: what became of it, and the work that it took.

Run as a process of its own, so that a payload which gets through ends this process and not the tests: its address
space may grow by 64 MB beyond what it has before the first payload.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from pathlib import Path
from typing import Any

from meshport.codec import Codec, ResolvingDecoder
from meshport.codec.varint import long_varint
from meshport.errors import MeshError, SchemaError
from meshport.schema import Schema, parse_schema
from tests.work import counted

ROOM = 64 * 1024 * 1024
MOST_LINES = 200_000
NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}],
}
TREE = {"type": "record", "name": "Tree", "fields": [{"name": "kids", "type": {"type": "array", "items": "Tree"}}]}
TEXT = {"type": "record", "name": "Text", "fields": [{"name": "s", "type": "string"}]}
EMPTY: dict[str, Any] = {"type": "record", "name": "Empty", "fields": []}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
WIDE = {
    "type": "record",
    "name": "Wide",
    "fields": [{"name": "empty", "type": EMPTY}, {"name": "many", "type": {"type": "array", "items": "Empty"}}],
}
BILLION = long_varint(10**9)

PAYLOADS: dict[str, tuple[Any, bytes]] = {
    "6-byte array of null": ({"type": "array", "items": "null"}, BILLION + b"\0"),
    "6-byte array of empty records": ({"type": "array", "items": EMPTY}, BILLION + b"\0"),
    "array of empty records, shared": (WIDE, BILLION + b"\0"),
    "blocks of empty records": ({"type": "array", "items": EMPTY}, long_varint(9000) * 1000 + b"\0"),
    "nested arrays of null": (
        {"type": "array", "items": {"type": "array", "items": "null"}},
        long_varint(1000) + (long_varint(9000) + b"\0") * 1000 + b"\0",
    ),
    "array of int, huge count": ({"type": "array", "items": "int"}, BILLION + b"\0"),
    "array, count of -2**63": ({"type": "array", "items": "int"}, long_varint(-(2**63)) + b"\0\0"),
    "map, huge count": ({"type": "map", "values": "null"}, BILLION + b"\0"),
    "block of another size": ({"type": "array", "items": "int"}, long_varint(-1) + long_varint(3) + b"\2\0\0"),
    "block of negative size": ({"type": "array", "items": "int"}, long_varint(-1) + long_varint(-1) + b"\2\0"),
    "6 kB linked list": (NODE, b"\2\2" * 3000 + b"\2\0"),
    "1 MB linked list": (NODE, b"\2\2" * 500_000 + b"\2\0"),
    "deep tree": (TREE, b"\2" * 5000 + b"\0" * 5000),
    "union index -1": (["null", "int"], b"\1"),
    "union index 2": (["null", "int"], b"\4"),
    "enum index -1": ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\1"),
    "enum index 2": ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\4"),
    "trailing bytes": (TEXT, b"\2ab"),
    "truncated": (TEXT, b"\4a"),
    "empty": (TEXT, b""),
    "negative length": (TEXT, b"\1"),
    "huge length": (TEXT, BILLION),
    "length of 2**62": (TEXT, long_varint(2**62)),
    "2,001-byte varint": ("long", b"\x80" * 2000 + b"\1"),
    "varint of 65 bits": ("long", b"\xff" * 9 + b"\2"),
    "int of 33 bits": ("int", long_varint(2**31)),
    "boolean of 2": ("boolean", b"\2"),
    "no UTF-8": (TEXT, b"\4\xff\xfe"),
    "date of 33 bits": ({"type": "int", "logicalType": "date"}, long_varint(2**31)),
    "timestamp of 65 bits": ({"type": "long", "logicalType": "timestamp-millis"}, b"\xff" * 9 + b"\2"),
    "time of 25 h": ({"type": "int", "logicalType": "time-millis"}, long_varint(90_000_000)),
    "no UUID": ({"type": "string", "logicalType": "uuid"}, b"\x08abcd"),
    "400 kB decimal": (MONEY, long_varint(400_000) + b"\x7f" * 400_000),
    "decimal beyond its precision": (MONEY, long_varint(32) + b"\x7f" * 32),
    "2 MB string": (TEXT, long_varint(2_000_000) + b"a" * 2_000_000),
}


def laughs(levels: int) -> dict[str, Any]:
    """Nested records of two fields of the next one's type, ending in an empty record."""
    form: dict[str, Any] = {"type": "record", "name": f"L{levels}", "fields": []}
    for level in range(levels - 1, -1, -1):
        second = {"name": "b", "type": f"L{level + 1}"}
        form = {"type": "record", "name": f"L{level}", "fields": [{"name": "a", "type": form}, second]}
    return form


def outcome(form: Any, payload: bytes) -> str:
    """What becomes of a payload, its schema not yet compiled, decoded plainly and into an equal reader's schema."""
    try:
        schema = parse_schema(json.dumps(form))
    except SchemaError as error:
        return f"schema refused: {error.message}"
    for decode in (Codec(schema).decode, ResolvingDecoder(schema, _other(schema)).decode):
        try:
            decode(payload, 0)
        except MeshError as error:
            found = f"{type(error).__name__}: {error.message}"
        else:
            return "accepted"
    return found


def _other(schema: Schema) -> Schema:
    """A reader's schema that differs in a word, so that nothing takes a short cut."""
    form = schema.form if isinstance(schema.form, dict) else {"type": schema.form}
    return parse_schema(json.dumps({**form, "doc": "another"})) if isinstance(form["type"], str) else schema


def main() -> None:
    """Print name, outcome and lines of Python of each payload; the growth of the process's peak memory at the end."""
    outcome(NODE, b"\2\0")
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cases = PAYLOADS | {f"billion laughs of {levels}": (laughs(levels), b"") for levels in (22, 26, 63)}

    def run() -> None:
        for name, (form, payload) in cases.items():
            with counted(MOST_LINES) as work:
                found = outcome(form, payload)
            line = {"case": name, "outcome": found, "lines": work.lines}
            sys.stdout.write(json.dumps(line) + "\n")

    threading.stack_size(1024 * 1024)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(json.dumps({"case": "memory", "mb": grown / 1024}) + "\n")


if __name__ == "__main__":
    main()
