"""Names of types that schema resolution takes for one another, and readers do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshport.compat.comparison import Comparison, is_named
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.avro import as_json
from meshport.schema import Schema


def namespace_moved(comparison: Comparison) -> Iterator[Found]:
    """A named type comes from another namespace, where Java's readers go by full names.

    The specification lets named types match by their last names, and the checkers do (Avro 1.12, "Schema Resolution":
    "either schema is ... with the same (unqualified) name"). Java's `GenericDatumReader` looks a union's branch up by
    the full name, and `Schema.applyAliases` a record's fields: a type that was moved cannot be read where it stands in
    a union, or where its fields have aliases, though every registry calls it compatible. Seen with Avro Java 1.12.1.

    Keep the namespace. Where only older events matter, add the old full name to the type's `aliases`; today's readers
    cannot know a name that comes later.
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
                f', or add "aliases": {as_json([before])} to {after!r}'
                if comparison.direction is Direction.BACKWARD
                else ""
            ),
            RollOut.READERS,
        )


def _in_unions(schema: Schema) -> set[str]:
    """Full names of the types that are branches of a union."""
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
