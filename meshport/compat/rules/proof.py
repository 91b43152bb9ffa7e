"""Proof by data: the second judgement that has to agree before a change counts as compatible.

Values that cover the writer's schema are read by the decoder that Meshport's readers run. The proof uses neither Apache's
checker nor the other rules: if they pass the change and the bytes cannot be decoded, the change is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from meshport.codec import ResolvingDecoder
from meshport.compat.comparison import Comparison
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut
from meshport.compat.forms import brief, inner, type_at
from meshport.compat.resolution import MAX_PAIRS
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.advice import beside
from meshport.compat.samples import samples
from meshport.errors import DecodeError, SchemaError
from meshport.schema import Schema
from meshport.schema.canonical import PRIMITIVES, canonical_text

# Paths that are reported of one comparison.
_MAX_PATHS: Final = 8

Failures = tuple[tuple[str, str, str], ...]
# Outcomes by fingerprint, which keeps no schema alive. An entry takes about 100 bytes and saves 0.6 ms for ten fields, nearly
# all of it the generation of the decoder.
_KEPT: Final = 10_000
_KNOWN: Final[dict[tuple[str, str], Failures]] = {}

_FIELD: Final = re.compile(r"'([^']*)' \(")
_HELD: Final = re.compile(r"\[\]|\{\}")
_LACKS: Final = re.compile(r".* lacks the field '(\w+)'")
_OFFSET: Final = re.compile(r", at byte \d+$")


def unreadable_data(comparison: Comparison) -> Iterator[Found]:
    """An event that the writer's schema allows cannot be decoded with the reader's schema, though every other rule passes.

    The gate generates events of the writer's schema: every branch of each union, every symbol, numbers at their bounds, empty
    and full arrays, text that is not ASCII. It decodes them with the reader's schema, as a reader of the mesh would. Schema
    resolution as the registries check it compares types one by one. It does not detect that

    - a union's branch is chosen by its name before its content is compared (Avro 1.12, "Schema Resolution": "the first
      schema in the reader's union that matches"), so that a branch of the same name that cannot be read hides one that can;
    - bytes need not be UTF-8, though `bytes` may be read as `string`;
    - a default has the right JSON type and is still no value, such as a time of 25 h.

    The finding quotes the decoder's own error at the field where it stopped. Revert what was changed there: keep the type
    that is written, and add a field beside it with a default.
    """
    reader, writer = comparison.reader, comparison.writer
    if reader.fingerprint == writer.fingerprint:
        return
    if len(comparison.types) > MAX_PAIRS:
        yield Found(
            "",
            f"the two schemas bring {len(comparison.types)} pairs of types together, too many to be proved by data",
            advice=f"at most {MAX_PAIRS} pairs: fewer types that each take several others by their aliases or last names",
        )
        return
    for path, words, advice in failures(writer, reader):
        before, after = comparison.sides(type_at(reader.form, path), type_at(writer.form, path))
        backward = comparison.direction is Direction.BACKWARD
        found = "events may be stored that cannot be read any more" if backward else "today's readers could not read"
        yield Found(
            path,
            f"{found}: {words}" if backward else f"{found} every event: {words}",
            brief(before) if before else None,
            brief(after) if after else None,
            advice or beside(comparison, path, keep="keep the type of {!r} as it is"),
            RollOut.READERS,
        )


def failures(writer: Schema, reader: Schema) -> Failures:
    """Return where the reader's decoder fails on samples of the writer's schema.

    Returns:
        (path, error, advice) for each path that fails, in the order of the samples; empty if all samples can be read. The
        advice is "" where a field of another name is the way out.
    """
    key = (writer.fingerprint, reader.fingerprint)
    known = _KNOWN.get(key)
    if known is None:
        known = _failures(writer, reader)
        if len(_KNOWN) >= _KEPT:
            _KNOWN.clear()
        _KNOWN[key] = known
    return known


def _failures(writer: Schema, reader: Schema) -> Failures:
    writer, reader = _differing(writer, reader)
    if writer.text == reader.text:
        return ()
    try:
        bodies = samples(writer)
        decode = ResolvingDecoder(writer, reader).decode
    except SchemaError as error:
        return (("", error.message, error.hint or ""),)
    found: dict[str, tuple[str, str, str]] = {}
    for body in bodies:
        try:
            decode(body, 0)
        except DecodeError as error:
            words = _OFFSET.sub("", error.message)
            path, advice = _path_and_advice(words)
            found.setdefault(path, (path, words, advice))
            if len(found) == _MAX_PATHS:
                break
    return tuple(found.values())


def _differing(writer: Schema, reader: Schema) -> tuple[Schema, Schema]:
    """Return both schemas without the fields that are equal in both and contain no other type.

    Such fields are read as they were written. A version differs from the next in a field or two, and the time of a proof
    grows with the number of fields.
    """
    ours, theirs = reader.form, writer.form
    if not (reader.fields and writer.fields and ours["name"] == theirs["name"]):
        return writer, reader
    found_otherwise = {alias for field in reader.fields for alias in field.get("aliases", ())}
    written = {field["name"]: field["type"] for field in writer.fields}
    alike = {
        field["name"]
        for field in reader.fields
        if written.get(field["name"]) == field["type"] and _is_flat(field["type"])
    } - found_otherwise
    return _without(writer, alike), _without(reader, alike)


def _without(schema: Schema, names: set[str]) -> Schema:
    kept = [field for field in schema.fields if field["name"] not in names]
    return Schema(canonical_text({**schema.form, "fields": kept}))


def _is_flat(form: Any) -> bool:
    """Return whether a type is a primitive, with or without a logical type, or a union of primitives."""
    if isinstance(form, list):
        return all(_is_flat(branch) for branch in form)
    return (form if isinstance(form, str) else form["type"]) in PRIMITIVES


def _path_and_advice(words: str) -> tuple[str, str]:
    """Return the path in an error of the decoder, which writes `items[].name` and `by_id{}.name`, and the advice for it."""
    at, lacks = _FIELD.match(words), _LACKS.match(words)
    path = _HELD.sub("", at[1]) if at else ""
    if lacks:
        name = lacks[1]
        return inner(
            path, name
        ), f"give {name!r} a default; or let a branch that does without {name!r} stand first in its union"
    return path, ""


RULES: Final = (
    Rule(
        "UNREADABLE_DATA",
        "events of one schema can be decoded with the other",
        (Direction.BACKWARD, Direction.FORWARD),
        Scope.PROOF,
        unreadable_data,
    ),
)
