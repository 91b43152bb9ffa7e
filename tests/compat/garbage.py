"""Schemas that are bombs, garbage, or pairs built to explode against one another: judged in a bounded process.

`python -m tests.compat.garbage COUNT` prints what became of them as one JSON object, and fails where one exceeds the
bounds: `MOST_LINES` of Python, and `ROOM` bytes beyond the memory that was in use before.
"""

from __future__ import annotations

import copy
import json
import random
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from meshport.compat import corpus
from meshport.compat.contract import Contract, Version
from meshport.compat.judge import Past, judge_port
from meshport.errors import SchemaError
from meshport.schema import parse_schema
from tests.compat.contracts import TODAY
from tests.compat.generated import Author
from tests.compat.schemas import circle, layers, numbered
from tests.schema.bombs import ROOM, bombs, laughs
from tests.work import TooMuchWork, counted

MOST_LINES = 2_000_000
_JUNK: list[Any] = [
    None,
    True,
    -1,
    10**18,
    10**400,
    1e308,
    "",
    "null",
    "Order",
    "é€𝄞",
    "\ud800",
    "a.b.c",
    "..",
    "x" * 5_000,
    [],
    {},
    [[]],
    ["null", "null"],
    {"type": "record"},
    {"type": {"type": {"type": "int"}}},
    {"type": "fixed", "name": "F", "size": 2**31},
    {"type": "bytes", "logicalType": "decimal", "precision": 10**30},
]
_KEYS = [
    "type",
    "name",
    "namespace",
    "fields",
    "items",
    "values",
    "symbols",
    "size",
    "default",
    "aliases",
    "logicalType",
]


def cases(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """A schema as it was, sound or nearly so, and a candidate: text of both."""
    chance = random.Random(seed)
    author = Author(chance)
    exploding = bombs(count, seed)
    for _ in range(count):
        sound = author.schema()
        match chance.randrange(5):
            case 0 | 1:
                yield json.dumps(sound), json.dumps(next(exploding))
            case 2:
                yield json.dumps(sound), _scrambled(json.dumps(sound), chance)
            case 3:
                yield json.dumps(sound), json.dumps(_spoiled(sound, chance))
            case _:
                before, after = _against(chance)
                yield json.dumps(before), json.dumps(after)


def _scrambled(text: str, chance: random.Random) -> str:
    """Text that lost, gained or repeated some characters, or is no text of a schema at all."""
    at = chance.randrange(len(text))
    match chance.randrange(6):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + chance.choice('{}[]",:\\\0\u202e') + text[at:]
        case 2:
            return text[:at] + text[at + chance.randint(1, 9) :]
        case 3:
            return chance.choice(['{"type":', "[", '{"type":"array","items":']) * chance.randint(10, 50_000)
        case 4:
            return text.replace("T1", chance.choice(["Order", "T2", "int", "null", "shop.Order", "T1" * 9_000]))
        case _:
            return "9" * chance.randint(1, 10_000)


def _spoiled(form: Any, chance: random.Random) -> Any:
    """Return a schema in which one to four values are replaced by others that do not belong there."""
    form = copy.deepcopy(form)
    for _ in range(chance.randint(1, 4)):
        places = [(form, key) for key in form]
        stack = [form]
        while stack:
            each = stack.pop()
            inside = each.items() if isinstance(each, dict) else enumerate(each)
            for key, held in inside:
                places.append((each, key))
                if isinstance(held, dict | list):
                    stack.append(held)
        holder, key = chance.choice(places)
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder[chance.choice(_KEYS)] = copy.deepcopy(chance.choice(_JUNK))
        else:
            holder[key] = copy.deepcopy(chance.choice([*_JUNK, form if chance.random() < 0.05 else "int"]))
            if holder[key] is form:
                holder[key] = json.loads(json.dumps(copy.deepcopy(_JUNK[-1])))
    return form


def _against(chance: random.Random) -> tuple[Any, Any]:
    """Return two schemas, each sound by itself, whose comparison is much work."""
    kinds = [_circles, _layers, _wide_unions, _wide_enums, _flat, _doubling, _twins, _claims, _deep]
    return chance.choice(kinds)(chance)


def _circles(chance: random.Random) -> tuple[Any, Any]:
    """Return two cycles of types of one unqualified name, which match in all pairs."""
    return circle(chance.randint(2, 18)), circle(chance.randint(2, 18))


def _layers(chance: random.Random) -> tuple[Any, Any]:
    """Return layers of types of one unqualified name, each of which refers to some of the layer below, so that pairs multiply."""
    fan = chance.randint(2, 4)
    return (
        layers(width=chance.randint(2, 7), fan=fan, leaf="int", count=chance.randint(2, 3)),
        layers(width=chance.randint(2, 7), fan=fan, leaf=chance.choice(["int", "long"]), count=chance.randint(2, 3)),
    )


def _wide_unions(chance: random.Random) -> tuple[Any, Any]:
    """Unions of up to 256 records, each of which could be any of the other's."""

    def union(width: int, kind: str) -> Any:
        return ["null", *(numbered(*[kind] * (index % 3), name=f"n{index}.T") for index in range(width))]

    return union(chance.randint(2, 40), "int"), union(chance.randint(2, 40), "long")


def _wide_enums(chance: random.Random) -> tuple[Any, Any]:
    size = chance.randint(100, 5_000)
    symbols = [f"S{index}" for index in range(size)]
    form = {"type": "enum", "name": "E", "symbols": symbols, "default": "S0"}
    return numbered(form, "E", name="R"), numbered(form | {"symbols": [*symbols, "NEW"]}, "E", name="R")


def _flat(chance: random.Random) -> tuple[Any, Any]:
    size = chance.randint(50, 300)
    return numbered(*["int"] * size, name="R"), numbered(*["long"] * size, name="R")


def _doubling(chance: random.Random) -> tuple[Any, Any]:
    """Types that are each twice the next one, in the bounds of what is taken for sound."""
    levels, width = chance.randint(2, 16), chance.randint(2, 3)
    return tuple(laughs(levels, leaf=[{"name": "n", "type": kind}], width=width) for kind in ("int", "long"))  # type: ignore[return-value] # two


def _twins(chance: random.Random) -> tuple[Any, Any]:
    """A chain in which each type has a choice of twice the one before."""

    def chain(leaf: str, length: int) -> Any:
        holders: list[Callable[[str], Any]] = [
            lambda name: ["null", name],
            lambda name: {"type": "array", "items": name},
        ]
        fields = [numbered(leaf, name="C0")]
        for index in range(1, length):
            held = [chance.choice(holders)(f"C{index - 1}") for _ in range(2)]
            fields.append(numbered(*held, name=f"C{index}"))
        return numbered(*fields, name="Top")

    length = chance.randint(2, 40)
    return chain("int", length), chain("long", length)


def _claims(chance: random.Random) -> tuple[Any, Any]:
    """Every type, and every field, claims the names of all others by its aliases."""
    size = chance.randint(2, 22)
    names = [f"T{index}" for index in range(size)]
    before = numbered(*(["null", numbered("int", name=name)] for name in names), name="R")
    claimed = [
        {"name": f"g{index}", "type": ["null", numbered("int", name=f"N{index}", aliases=names)], "default": None}
        | {"aliases": [f"f{each}" for each in range(size)]}
        for index in range(size)
    ]
    return before, {"type": "record", "name": "R", "fields": claimed}


def _deep(chance: random.Random) -> tuple[Any, Any]:
    """Definitions as deep as they may be."""

    def nested(levels: int, leaf: Any) -> Any:
        for index in range(levels):
            leaf = chance.choice(
                [{"type": "array", "items": leaf}, {"type": "map", "values": leaf}, numbered(leaf, name=f"D{index}")]
            )
        return leaf

    state = chance.getstate()
    before = nested(levels := chance.randint(5, 32), "int")
    chance.setstate(state)
    return before, nested(levels, "long")


def answer(before: str, after: str) -> str:
    """Return the outcome for a candidate at the level FULL."""
    try:
        product = corpus.contract_of(corpus.Fixture("", "", {}).before)
        past, schema = parse_schema(before), parse_schema(after)
        contracts = [Contract(product.product, product.port, each) for each in (past, schema)]
        verdict = judge_port(Past(contracts[0], (Version(1, past),)), contracts[1], product.product, today=TODAY)
    except SchemaError:
        return "refused"
    return str(verdict.outcome)


def main() -> None:
    """Judge the given number of candidates with 64 MB of address space, and print the outcomes."""
    for before, after in cases(30, seed=1):  # whatever is imported or compiled at first use
        answer(before, after)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers: Counter[str] = Counter()
    most, text = 0, ""
    for before, after in cases(int(sys.argv[1]), seed=11):
        case = f"{before[:120]} -> {after[:120]}"
        try:
            with counted(MOST_LINES) as work:
                answers[answer(before, after)] += 1
        except TooMuchWork as error:
            sys.exit(f"{error}: {case}")
        if work.lines > most:
            most, text = work.lines, case
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    figures = {"count": sum(answers.values()), "most_lines": most, "hardest": text, "peak_mb": grown}
    sys.stdout.write(json.dumps(figures | answers))
    sys.exit(grown >= ROOM / 2**20)


if __name__ == "__main__":
    main()
