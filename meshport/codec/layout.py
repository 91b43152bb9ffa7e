"""Facts about a schema that both code generators need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from meshport.schema import Schema
from meshport.schema.bounds import Shape, Shapes
from meshport.schema.canonical import PRIMITIVES


class Layout:
    """The types of a schema by name, and which of them become functions.

    Attributes:
        form: the canonical form.
        named: definitions by full name.
        counts_zero_width: whether an array's items can take no bytes, so that the decoder must count them.

    Raises:
        SchemaError: a record contains itself without a union, array or map in between.
    """

    def __init__(self, schema: Schema) -> None:
        self.form = schema.form
        self._shapes = Shapes(self.form)
        types = list(_types(self.form))
        self.named: dict[str, Any] = {
            each["name"]: each
            for each in types
            if isinstance(each, dict) and "name" in each and each["name"] not in PRIMITIVES
        }
        self._uses = Counter(each for each in types if isinstance(each, str))
        self.counts_zero_width = any(
            isinstance(each, dict) and each["type"] == "array" and not self.shape(each["items"]).width for each in types
        )

    def shape(self, form: Any) -> Shape:
        """Return the static bounds of a type."""
        return self._shapes.of(form)

    def definition(self, form: Any) -> Any:
        """Return the definition of a type that may be given by name."""
        return self.named.get(form, form) if isinstance(form, str) else form

    def is_shared(self, form: Any) -> bool:
        """Return whether a record is referred to by name; then it becomes a function, otherwise its code is inlined."""
        return isinstance(form, dict) and form["type"] in {"record", "error"} and self._uses[form["name"]] > 0


def _types(form: Any) -> Iterator[Any]:
    """Yield a type and all types within it, without following references."""
    stack = [form]
    while stack:
        each = stack.pop()
        yield each
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            stack.extend(each[key] for key in ("items", "values") if key in each)
            stack.extend(field["type"] for field in each.get("fields", ()))
