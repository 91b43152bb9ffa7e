"""Masks what is sensitive in events: the values of fields that are confidential or restricted.

A field is as sensitive as its contract says (`"classification"` of the field or of its type), or a record around it; where none
says, it is as sensitive as its product. What the contract does not know is masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshport.codec.jsonform import to_json
from meshport.compat.forms import Form, form_of, named_types
from meshport.port_profile import LONGEST_VALUE, MASK
from meshport.schema import Schema

CLASSIFICATIONS: Final = ("public", "internal", "confidential", "restricted")
"""How sensitive data can be, from the least to the most."""
SHOWN: Final = frozenset({"public", "internal"})
"""The classifications whose values are shown to who may read the port."""
_RECORDS: Final = frozenset({"record", "error"})
_DEEPEST: Final = 20
_MOST_ITEMS: Final = 12  # of a list or map, in an event that is shown
_MOST_SHOWN: Final = 200  # values of one event that is shown
_MOST_STEPS: Final = 20_000


@dataclass(frozen=True)
class Leaf:
    """A field whose values are no records.

    Attributes:
        path: of the field, with dots; lists, maps and unions on the way are passed through.
        classification: of its values.
        steps: the names of the fields on the way, and None for the values of a map.
    """

    path: str
    classification: str
    steps: tuple[str | None, ...]

    def values(self, data: Any) -> Iterator[Any]:
        """Yield the values of the field in the data of an event, nulls included; a list has one for each item."""
        yield from _values_at(data, self.steps)


class Masking:
    """What may be shown of the events of a contract.

    Args:
        schema: the contract.
        classification: of the product.
    """

    def __init__(self, schema: Schema, classification: str) -> None:
        self._form = schema.form
        self._named = named_types(self._form)
        self._default = classification

    def leaves(self, most: int) -> tuple[Leaf, ...]:
        """Return the fields that have values, in the contract's order.

        A record within a record of its own type is not entered.

        Args:
            most: how many are returned.
        """
        found: dict[tuple[str | None, ...], str] = {}
        for step, (steps, declared) in enumerate(self._walk(self._form, (), None, frozenset())):
            if steps is not None:
                found[steps] = strictest(declared, found.get(steps)) or self._default
            if len(found) >= most or step >= _MOST_STEPS:
                break
        return tuple(
            Leaf(".".join(filter(None, steps)), classification, steps) for steps, classification in found.items()
        )

    def masked(self, data: Any) -> Any:
        """Return the data of an event as JSON data, with `MASK` for what is not shown; of a large event the first values are."""
        return _Shown(self._named, self._default).value(data, self._form, None, 0)

    def _walk(
        self, form: Any, steps: tuple[str | None, ...], around: str | None, within: frozenset[str]
    ) -> Iterator[tuple[tuple[str | None, ...] | None, str | None]]:
        """Yield the way to each value with its declared classification, and None for each record on the way."""
        each = form_of(form, self._named)
        declared = declared_of(each, around)
        match each["type"]:
            case "union":
                kinds = {form_of(branch, self._named)["type"] for branch in each["branches"]}
                if "map" in kinds and kinds & _RECORDS:
                    return  # a value does not say which of the two it is
                for branch in each["branches"]:
                    if form_of(branch, self._named)["type"] != "null":
                        yield from self._walk(branch, steps, declared, within)
            case "array":
                yield from self._walk(each["items"], steps, declared, within)
            case "map":
                yield from self._walk(each["values"], (*steps, None), declared, within)
            case "record" | "error":
                yield None, None
                if each["name"] not in within:
                    inside = within | {each["name"]}
                    for field in each["fields"]:
                        at = (*steps, field["name"])
                        yield from self._walk(field["type"], at, declared_of(field, declared), inside)
            case _:
                yield steps, declared


class _Shown:
    """Makes the JSON data of one event."""

    def __init__(self, named: Mapping[str, Form], default: str) -> None:
        self._named = named
        self._default = default
        self._left = _MOST_SHOWN

    def value(self, value: Any, form: Any, around: str | None, depth: int) -> Any:
        each = form_of(form, self._named)
        declared = declared_of(each, around)
        self._left -= 1
        if value is None:
            return None
        if depth > _DEEPEST or self._left < 0:
            return MASK
        if each["type"] == "union":
            return self._of_union(value, each, declared, depth)
        if isinstance(value, Mapping):
            return self._of_mapping(value, each, declared, depth)
        if isinstance(value, list | tuple):
            if each["type"] != "array":
                return MASK
            return [self.value(one, each["items"], declared, depth + 1) for one in value[:_MOST_ITEMS]]
        if (declared or self._default) not in SHOWN or each["type"] in {"array", "map", *_RECORDS}:
            return MASK
        data = to_json(value)
        return short(data) if isinstance(data, str) else data

    def _of_mapping(self, value: Mapping[str, Any], form: Form, declared: str | None, depth: int) -> Any:
        if form["type"] == "map":
            # A key may be as sensitive as the value: it is shown where the value is.
            of_values = declared
            for one in self._branches(form["values"]):
                of_values = declared_of(one, of_values)
            if (of_values or self._default) not in SHOWN:
                return MASK
            items = list(value.items())[:_MOST_ITEMS]
            return {short(key): self.value(one, form["values"], declared, depth + 1) for key, one in items}
        if form["type"] not in _RECORDS:
            return MASK
        fields = {field["name"]: field for field in form["fields"]}
        shown: dict[str, Any] = {}
        for key, one in value.items():
            if self._left <= 0:
                break
            field = fields.get(key)
            around = None if field is None else declared_of(field, declared)
            shown[key] = MASK if field is None else self.value(one, field["type"], around, depth + 1)
        return shown

    def _branches(self, form: Any) -> list[Form]:
        """Return the branches of a union, or the type itself."""
        each = form_of(form, self._named)
        return [form_of(branch, self._named) for branch in each["branches"]] if each["type"] == "union" else [each]

    def _of_union(self, value: Any, union: Form, declared: str | None, depth: int) -> Any:
        forms = self._branches(union)
        if isinstance(value, Mapping):
            fitting = [one for one in forms if _has_fields(one, value)]
            fitting = fitting or [one for one in forms if one["type"] == "map"]
        elif isinstance(value, list | tuple):
            fitting = [one for one in forms if one["type"] == "array"]
        else:
            fitting = [one for one in forms if one["type"] not in {"null", "array", "map", *_RECORDS}]
            for one in fitting:  # which branch a plain value has is not looked into: the strictest counts
                declared = declared_of(one, declared)
        return self.value(value, fitting[0], declared, depth + 1) if fitting else MASK


def short(text: str) -> str:
    """Return a text, cut to `LONGEST_VALUE` characters."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _values_at(value: Any, steps: Sequence[str | None]) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _values_at(each, steps)
    elif not steps:
        if not isinstance(value, Mapping):  # another branch of a union
            yield value
    elif isinstance(value, Mapping):
        if steps[0] is None:
            for each in value.values():
                yield from _values_at(each, steps[1:])
        elif steps[0] in value:
            yield from _values_at(value[steps[0]], steps[1:])


def _has_fields(form: Form, value: Mapping[str, Any]) -> bool:
    return form["type"] in _RECORDS and {field["name"] for field in form["fields"]} == value.keys()


def strictest(one: str | None, other: str | None) -> str | None:
    """Return the stricter of two classifications; a word that is none counts as the strictest."""
    return max(filter(None, (one, other)), key=_strictness, default=None)


def declared_of(form: Form, around: str | None) -> str | None:
    """Return the classification of a field or type; None where neither it nor what is around it declares one."""
    own = form.get("classification")
    return strictest(own if isinstance(own, str) else None, around)


def _strictness(classification: str) -> int:
    return CLASSIFICATIONS.index(classification) if classification in CLASSIFICATIONS else len(CLASSIFICATIONS)
