"""The gate beside Apache Avro's own checker: the contracts of the reference mesh, each with edits, judged pair by pair.

Apache's checker gets schemas that it has parsed before, ours such as the registry keeps. It looks at Avro's resolution
alone; the gate's rules and the proof by data stand beside it to show what they cost, not because it has the like.
"""

from __future__ import annotations

import copy
import json
import random
import timeit
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import avro.errors
import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker

from meshport.compat.comparison import Comparison
from meshport.compat.finding import Direction, Severity
from meshport.compat.resolution import check
from meshport.compat.rule import Scope
from meshport.compat.rules import proof
from meshport.compat.table import rules_of
from meshport.schema import Schema, load_schema, parse_common, parse_schema
from tests.bench.figures import Figure

_SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
_EDITS: Final = 8
_ROUNDS: Final = 7
_PEER: Final = "apache avro's checker"

Pair = tuple[Schema, Schema]


def figures() -> Iterator[Figure]:
    """Checks a second over all pairs: resolution alone, then every rule, the proof of each pair not known or known."""
    pairs = _pairs()
    warnings.simplefilter("ignore", avro.errors.IgnoredLogicalType)
    parsed = [tuple(avro.schema.make_avsc_object(each.form) for each in pair) for pair in pairs]

    def apache() -> None:
        for reader, writer in parsed:
            ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call] # avro's

    theirs = _rate(apache, len(pairs))

    def resolution() -> None:
        for reader, writer in pairs:
            check(reader, writer)

    def unknown() -> None:
        proof._KNOWN.clear()
        known()

    def known() -> None:
        for reader, writer in pairs:
            _judge(Comparison(reader, writer, Direction.BACKWARD))

    for name, judge in (
        ("gate: check a pair, resolution", resolution),
        ("gate: check a pair, every rule and a new proof", unknown),
        ("gate: check a pair, every rule and a known proof", known),
    ):
        yield Figure(name, _rate(judge, len(pairs)), "checks/s", _PEER, theirs)


def _judge(comparison: Comparison) -> bool:
    """Every rule of a comparison, as the judge asks them."""
    errors = False
    for rule in rules_of(Scope.RESOLUTION):
        for _ in rule.handler(comparison):
            errors = errors or rule.severity is Severity.ERROR
    return errors or any(True for rule in rules_of(Scope.PROOF) for _ in rule.handler(comparison))


def _pairs() -> list[Pair]:
    """Each contract of the reference mesh beside itself after an edit, read the one and the other way."""
    chance = random.Random(1)
    common = parse_common((str(file), file.read_text()) for file in sorted(_SCHEMAS.glob("common/*.avsc")))
    pairs: list[Pair] = []
    for file in sorted(_SCHEMAS.glob("*/*.events.avsc")):
        before = load_schema(file, common=common)
        for _ in range(_EDITS):
            after = parse_schema(json.dumps(_edited(before.form, chance)))
            pairs += [(after, before), (before, after)]
    return pairs


def _edited(form: Any, chance: random.Random) -> Any:
    form = copy.deepcopy(form)
    field = chance.choice(form["fields"])
    added = {"name": f"added_{chance.randrange(1000)}", "type": ["null", "string"], "default": None}
    match chance.randrange(5):
        case 0 | 1:
            form["fields"].append(added)
        case 2:
            del form["fields"][-1]
        case 3:
            field["doc"] = f"Said otherwise, {chance.randrange(1000)}."
        case _:
            field["type"] = "string" if field["type"] == "long" else "long"
            field.pop("default", None)
    return form


def _rate(judge: Callable[[], None], count: int) -> float:
    return count / min(timeit.repeat(judge, number=1, repeat=_ROUNDS))
