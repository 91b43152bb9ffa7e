"""The part of a reader's schema that values of a writer's schema can give.

Avro's resolution refuses every value if the reader has one field that the writer does not have and that has no default. A
reader that does not use this field loses nothing by doing without it.
"""

from __future__ import annotations

from typing import Any, Final

from meshport.codec.defaults import default_of
from meshport.codec.layout import Layout
from meshport.codec.logical import kind_of
from meshport.codec.resolving import matches, matching_branch, same_name, target_fields
from meshport.errors import SchemaError
from meshport.schema import Schema
from meshport.schema.canonical import canonical, canonical_text, take_apart

_RECORDS: Final = frozenset({"record", "error"})


def readable(writer: Schema, reader: Schema) -> Schema | None:
    """Return the reader's schema without the fields that no value of the writer's schema has, also within records.

    A field is left out if the writer does not have it and it has no valid default, or if its types do not match. Whether a
    value of matching types can be read is for the decoder: a null, a symbol or a branch that the reader lacks.

    Returns:
        A schema that `ResolvingDecoder` takes with the writer's; None unless both are records that match by name.

    Raises:
        SchemaError: a record of either contains itself without a union, array or map in between.
    """
    if writer.text == reader.text:
        return reader
    walk = _ReadableFields(Layout(writer), Layout(reader))
    form, target = walk.writes.form, walk.reads.form
    if not (_is_record(form) and _is_record(target) and same_name(form, target)):
        return None
    walk.record(form, target)
    if not walk.dropped:
        return reader
    named: dict[str, Any] = {}
    root = take_apart(target, named)
    kept = {name: _without(each, walk.dropped.get(name, set())) for name, each in named.items()}
    return Schema(canonical_text(canonical(root, kept)))


class _ReadableFields:
    """Goes through all pairs of records that resolution matches, each once.

    Attributes:
        writes: the writer's types.
        reads: the reader's types.
        dropped: the fields that are left out, by the full name of the reader's record.
    """

    def __init__(self, writes: Layout, reads: Layout) -> None:
        self.writes = writes
        self.reads = reads
        self.dropped: dict[str, set[str]] = {}
        self._seen: set[tuple[str, str]] = set()

    def record(self, form: Any, reader: Any) -> None:
        """Note the fields of a reader's record that the writer's record does not give."""
        pair = (form["name"], reader["name"])
        if pair in self._seen:
            return
        self._seen.add(pair)
        found = target_fields(form, reader)
        for field in reader["fields"]:
            own = found.get(field["name"])
            given = self._has_default(field) if own is None else self._gives(own["type"], field["type"])
            if not given:
                self.dropped.setdefault(reader["name"], set()).add(field["name"])

    def _gives(self, form: Any, reader: Any) -> bool:
        """Return whether some value of the writer's type can be read as the reader's, and walk through their records."""
        form, reader = self.writes.definition(form), self.reads.definition(reader)
        if isinstance(form, list):
            given = [self._gives(branch, reader) for branch in form]  # every branch is walked through
            return any(given)
        if isinstance(reader, list):
            reader = self.reads.definition(matching_branch(form, reader, self.writes, self.reads))
        if reader is None or not matches(form, reader, self.writes, self.reads):
            return False
        kind = kind_of(form)
        if kind in _RECORDS:
            self.record(form, reader)
        elif kind in {"array", "map"}:
            held = "items" if kind == "array" else "values"
            self._gives(form[held], reader[held])  # an empty one is read in any case
        return True

    def _has_default(self, field: Any) -> bool:
        if "default" not in field:
            return False
        try:
            default_of(field["type"], field["default"], self.reads.named)
        except SchemaError:
            return False
        return True


def _is_record(form: Any) -> bool:
    return isinstance(form, dict) and form["type"] in _RECORDS


def _without(form: Any, names: set[str]) -> Any:
    if not names:
        return form
    return {**form, "fields": [field for field in form["fields"] if field["name"] not in names]}
