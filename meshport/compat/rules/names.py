"""Names of types that schema resolution matches and some readers do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshport.compat.comparison import Comparison
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut
from meshport.compat.forms import is_named
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.schema_text import as_json
from meshport.schema import Schema


def namespace_moved(comparison: Comparison) -> Iterator[Found]:
    """A named type moves to another namespace, while Java's readers look it up by its full name.

    The specification lets named types match by their unqualified names, and the checkers do so (Avro 1.12, "Schema
    Resolution": "either schema is ... with the same (unqualified) name"). Java's `GenericDatumReader` looks up a union's
    branch by the full name, and `Schema.applyAliases` a record's fields. A type that was moved cannot be read where it is a
    branch of a union or where its fields have aliases, though every registry reports it as compatible. Observed with Avro
    Java 1.12.1.

    Keep the namespace. If only older events matter, add the old full name to the type's `aliases`; today's readers cannot
    contain a name that comes later.
    """
    held = _in_unions(comparison.reader) | _in_unions(comparison.writer)
    for pair in comparison.types:
        if not is_named(pair.reader) or pair.reader["name"] == pair.writer["name"]:
            continue
        ours, theirs = pair.reader["name"], pair.writer["name"]
        if theirs in pair.reader.get("aliases", ()) or not (
            {ours, theirs} & held or any("aliases" in field for field in pair.reader.get("fields", ()))
        ):
            continue
        before, after = comparison.sides(ours, theirs)
        yield Found(
            pair.path,
            f"{before!r} is moved to {after!r}, and Java's readers do not find it there",
            before,
            after,
            f"name it {before!r} again"
            + (
                f'; or add "aliases": {as_json([before])} to {after!r}'
                if comparison.direction is Direction.BACKWARD and not comparison.both_ways
                else ""
            ),
            RollOut.READERS,
        )


def _in_unions(schema: Schema) -> set[str]:
    """Return the full names of the types that are branches of a union."""
    found: set[str] = set()
    stack: list[Any] = [schema.form]
    while stack:
        form = stack.pop()
        if isinstance(form, list):
            found |= {each if isinstance(each, str) else each.get("name", "") for each in form}
            stack.extend(form)
        elif isinstance(form, dict):
            stack.extend(form[key] for key in ("items", "values") if key in form)
            stack.extend(field["type"] for field in form.get("fields", ()))
    return found


RULES: Final = (
    Rule(
        "NAMESPACE_MOVED",
        "a named type stays in its namespace, or leaves an alias",
        (Direction.BACKWARD, Direction.FORWARD),
        Scope.RESOLUTION,
        namespace_moved,
    ),
)
