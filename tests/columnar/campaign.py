"""Two campaigns against the bounded decoder: `values SCHEMAS RECORDS` and `hostile SCHEMAS PAYLOADS`.

Each runs as a process of its own and prints one JSON line, so that a crash, a call that does not end or memory beyond
64 MB ends this process and not the tests.
"""

from __future__ import annotations

import faulthandler
import json
import random
import resource
import sys
from pathlib import Path
from typing import Any, Final

from meshport.codec import Codec
from meshport.codec.varint import long_varint
from meshport.columnar import ColumnarDecoder, ColumnarEncoder, supports
from meshport.errors import DecodeError
from meshport.schema import Schema
from tests.codec.strategies import loose
from tests.columnar.generated import Generator
from tests.columnar.rows import rows_of, same

ROOM: Final = 64 * 1024 * 1024
# Seconds after which 50 payloads, or the records of one schema, count as a call that does not end.
_PATIENCE: Final = 120
_SPLICES: Final = [
    *(long_varint(each) for each in (-(2**63), 2**62, 10**9, -1, -2, -3, 2**31, 2**40, 2**63 - 1)),
    *(b"\xff" * 9 + bytes((last,)) for last in (2, 3, 0x7F, 0x80)),
    *(b"\x80" * 20 + b"\1", b"\x80\0", b"\xff", b"\xc3\x28", b"\1\2", b"\1\4", b"\0", b"\0\0\0\0", b"\2", b"\4"),
]


def values(schemas: int, records: int) -> dict[str, Any]:
    """Compare random records of random schemas with the codec: its values when read, its bytes when written."""
    counted = {"schemas": 0, "records": 0, "differ": 0, "unsupported": 0}
    seed = 0
    while counted["schemas"] < schemas:
        seed += 1
        generator = Generator(seed)
        schema = generator.schema()
        if supports(schema):
            counted["unsupported"] += 1
            continue
        faulthandler.dump_traceback_later(_PATIENCE, exit=True)
        codec = Codec(schema)
        bodies = [codec.encode(generator.record(schema), b"\0\0\0\0\7") for _ in range(records)]
        decoder = ColumnarDecoder(schema)
        decoder._columns(
            [body[5:] for body in bodies]
        )  # raises where the native decoder would fall back to the bounded one
        batch = decoder.decode(bodies, 5)
        expected = [codec.decode(body, 5) for body in bodies]
        written = ColumnarEncoder(schema).encode(batch, b"\0\0\0\0\7")
        if not same(rows_of(schema, batch), expected) or written != bodies:
            counted["differ"] += 1
            sys.stderr.write(f"seed {seed}: {schema.text}\n")
        counted["schemas"] += 1
        counted["records"] += records
    faulthandler.cancel_dump_traceback_later()
    return counted


class _Target:
    """A schema under attack, with honest payloads to start from."""

    def __init__(self, seed: int, schema: Schema, generator: Generator) -> None:
        self.chance = random.Random(seed)
        self.schema = schema
        self.codec = Codec(schema)
        self.decoder = ColumnarDecoder(schema)
        records = [generator.record(schema) for _ in range(20)]
        self.honest = [self.codec.encode(record) for record in records]
        self.loose = [loose(schema, self.codec.decode(body), self.chance) for body in self.honest]

    def mutated(self) -> bytes:
        """A payload that may be anything."""
        chance = self.chance
        data = bytearray(chance.choice(self.honest if chance.random() < 0.9 else self.loose))
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(7):
                case 0 if data:
                    data[at % len(data)] ^= 1 << chance.randrange(8)
                case 1 if data:
                    data[at % len(data)] = chance.randrange(256)
                case 2:
                    data[at:at] = chance.choice(_SPLICES)
                case 3:
                    data[at : at + 1] = chance.choice(_SPLICES)
                case 4:
                    del data[at : at + chance.randint(1, 4)]
                case 5:
                    data += chance.randbytes(chance.randint(1, 9))
                case 6:
                    other = chance.choice(self.honest)
                    data[at:] = other[chance.randrange(len(other) + 1) :]
        return bytes(data)


def hostile(schemas: int, payloads: int) -> dict[str, Any]:
    """Payloads that were mutated: the verdict and the values of the bounded decoder."""
    targets: list[_Target] = []
    seed = 0
    while len(targets) < schemas:
        seed += 1
        generator = Generator(seed)
        schema = generator.schema()
        if not supports(schema):
            targets.append(_Target(seed, schema, generator))
    counted = {"payloads": 0, "refused": 0, "quick": 0, "differ": 0}
    _attack(targets[0], 100, dict(counted))
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    while counted["payloads"] < payloads:
        for target in targets:
            _attack(target, 50, counted)
    faulthandler.cancel_dump_traceback_later()
    return {**counted, "schemas": schemas}


def _attack(target: _Target, count: int, counted: dict[str, int]) -> None:
    """Attack once with so many payloads."""
    faulthandler.dump_traceback_later(_PATIENCE, exit=True)
    attack = [target.mutated() for _ in range(count)]
    expected: list[Any] = []
    for payload in attack:
        try:
            expected.append(target.codec.decode(payload))
        except DecodeError as error:
            expected.append(error.message)
        try:
            quick = target.decoder._columns([payload])
        except ValueError:
            quick = None
        if quick is not None:
            counted["quick"] += 1
            if isinstance(expected[-1], str) or not same(rows_of(target.schema, quick), expected[-1:]):
                _tell(target, payload, counted)
    mixed = [payload for each in attack for payload in (target.honest[0], each)]
    batch, errors = target.decoder.decode_good(mixed)
    rows = iter(rows_of(target.schema, batch))
    honest = target.codec.decode(target.honest[0])
    for index in range(len(mixed)):
        wanted = expected[index // 2] if index % 2 else honest
        if index in errors:
            if errors[index].message != wanted:
                _tell(target, mixed[index], counted)
        elif not same(next(rows), wanted):
            _tell(target, mixed[index], counted)
    counted["payloads"] += count
    counted["refused"] += sum(isinstance(each, str) for each in expected)


def _tell(target: _Target, payload: bytes, counted: dict[str, int]) -> None:
    counted["differ"] += 1
    sys.stderr.write(f"{payload.hex()} of {target.schema.text}\n")


def main() -> None:
    """Run one campaign and print what it counted."""
    campaign = {"values": values, "hostile": hostile}[sys.argv[1]]
    sys.stdout.write(json.dumps(campaign(int(sys.argv[2]), int(sys.argv[3]))) + "\n")


if __name__ == "__main__":
    main()
