"""The types and fields of one schema in canonical form, and the paths of fields that lead to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from meshport.schema.canonical import PRIMITIVES

Form = Mapping[str, Any]
"""A type in canonical form with at least `type`; a union has the key `branches`."""

_Found = TypeVar("_Found")

_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_RECORDS: Final = frozenset({"record", "error"})
_WORDS: Final = PRIMITIVES | _NAMED | {"array", "map"}


def form_of(form: Any, named: Mapping[str, Form]) -> Form:
    """Return a type as a mapping: a name as its definition, a primitive as `{"type": ...}`, a union as `{"type": "union"}`."""
    if isinstance(form, str):
        return named.get(form, {"type": form})
    if isinstance(form, list):
        return {"type": "union", "branches": form}
    return form  # type: ignore[no-any-return]  # JSON data


def is_named(form: Form) -> bool:
    """Return whether a type is a named type; `"name"` on a primitive is an attribute without a meaning."""
    return form["type"] in _NAMED


class _Recent(Generic[_Found]):
    """What was found for the last few forms; each entry holds its form, so that its id stays unique."""

    def __init__(self, find: Callable[[Any], _Found], forms: int) -> None:
        self._find = find
        self._forms = forms
        self._known: dict[int, tuple[Any, _Found]] = {}

    def of(self, form: Any) -> _Found:
        """Return what is found for a form that does not change afterwards."""
        known = self._known.get(id(form))
        if known is None:
            if len(self._known) >= self._forms:
                self._known.clear()
            known = self._known[id(form)] = (form, self._find(form))
        return known[1]


def named_types(form: Any) -> dict[str, Form]:
    """Return every named type that a canonical form defines; the form must not change afterwards."""
    return _NAMED_TYPES.of(form)


def _named_types(form: Any) -> dict[str, Form]:
    found: dict[str, Form] = {}
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if is_named(each):
                found[each["name"]] = each
            stack.extend(each[key] for key in ("items", "values") if key in each)
            stack.extend(field["type"] for field in each.get("fields", ()))
    return found


def declared(form: Any) -> Iterator[tuple[str, Form]]:
    """Yield every type that a schema spells out with attributes, and the path of its field; names are not followed."""
    stack: list[tuple[str, Any]] = [("", form)]
    while stack:
        path, each = stack.pop()
        within: list[tuple[str, Any]] = []
        if isinstance(each, list):
            within = [(path, branch) for branch in each]
        elif isinstance(each, dict):
            yield path, each
            within = [(path, each[key]) for key in ("items", "values") if key in each]
            within += [(inner(path, field["name"]), field["type"]) for field in each.get("fields", ())]
        stack.extend(reversed(within))


def locate(form: Any, path: str) -> tuple[str, Any]:
    """Return where a path of fields leads in a schema, or the last part of the path that exists.

    Args:
        form: the canonical form.
        path: field names with dots; unions, arrays and maps between them are entered.

    Returns:
        The JSON pointer, and the form it points to: a field, or the schema itself.
    """
    named = named_types(form)
    pointer, found, here = "", form, form
    for name in path.split(".") if path else ():
        at = next(_fields_named(name, here, "" if found is form else "/type", named, set()), None)
        if at is None:
            break
        pointer, found = pointer + at[0], at[1]
        here = found["type"]
    return pointer, found


def preceding_fields(form: Any, path: str) -> list[str]:
    """Return the paths of the fields before a field in its record, the nearest first; empty if there is no such field.

    Args:
        form: the canonical form.
        path: of the field.
    """
    holder, _, name = path.rpartition(".")
    _, found = locate(form, holder)
    for record in records_in(found["type"] if holder else form, named_types(form)):
        names = [field["name"] for field in record["fields"]]
        if name in names:
            return [inner(holder, each) for each in reversed(names[: names.index(name)])]
    return []


def records_in(form: Any, named: Mapping[str, Form], seen: frozenset[str] = frozenset()) -> Iterator[Form]:
    """Yield the records that a type contains without another record between."""
    if isinstance(form, str):
        if form in named and form not in seen:
            yield from records_in(named[form], named, seen | {form})
    elif isinstance(form, list):
        for branch in form:
            yield from records_in(branch, named, seen)
    elif form["type"] in _RECORDS:
        yield form
    else:
        for key in ("items", "values"):
            if key in form:
                yield from records_in(form[key], named, seen)


def type_at(form: Any, path: str) -> Form | None:
    """Return the type of the field at a path, the schema itself for ""; None if there is no such field."""
    _, found = locate(form, path)
    if not path:
        return form_of(form, named_types(form))
    if found is form or found.get("name") != path.rpartition(".")[2]:
        return None
    return form_of(found["type"], named_types(form))


def _fields_named(
    name: str, form: Any, pointer: str, named: Mapping[str, Form], seen: set[str]
) -> Iterator[tuple[str, Form]]:
    """Yield the fields of a name in the records that a type contains without another record between."""
    if isinstance(form, str):
        if form in named and form not in seen:
            seen.add(form)
            yield from _fields_named(name, named[form], pointer, named, seen)
    elif isinstance(form, list):
        for index, branch in enumerate(form):
            yield from _fields_named(name, branch, f"{pointer}/{index}", named, seen)
    else:
        for key in ("items", "values"):
            if key in form:
                yield from _fields_named(name, form[key], f"{pointer}/{key}", named, seen)
        if (at := _field_index(form).get(name)) is not None:
            yield f"{pointer}/fields/{at}", form["fields"][at]


def _field_index(form: Form) -> Mapping[str, int]:
    """Return the index of each field of a record by its name; empty for another type."""
    return _FIELD_INDEXES.of(form)


def brief(form: Any) -> Any:
    """Return a type in few words, as a finding shows it: `long`, `timestamp-millis (long)`, `record shop.Order`."""
    if isinstance(form, str):
        return form
    if isinstance(form, list):
        return [brief(branch) for branch in form]
    kind = form["type"]
    if kind == "union":
        return brief(form["branches"])
    if not isinstance(kind, str) or kind not in _WORDS:
        return brief(kind)  # a field
    if kind in {"array", "map"}:
        return f"{kind} of {_type_words(brief(form['items' if kind == 'array' else 'values']))}"
    text = f"{kind} {form['name']}" if is_named(form) else kind
    if logical := form.get("logicalType"):
        sizes = f"({form.get('precision')}, {form.get('scale', 0)})" if logical == "decimal" else ""
        return f"{logical}{sizes} ({text})"
    return text


def _type_words(words: Any) -> str:
    return words if isinstance(words, str) else f"[{', '.join(map(_type_words, words))}]"


def inner(path: str, name: str) -> str:
    """Return the path of a nested field."""
    return f"{path}.{name}" if path else name


def _indexed(form: Form) -> dict[str, int]:
    return {field["name"]: index for index, field in enumerate(form.get("fields", ()))}


# A comparison looks named types up for each of its findings, always in the same two or three forms.
_NAMED_TYPES: Final = _Recent(_named_types, 4)
# A refused schema of 1,500 fields has as many findings, each with a path that is looked up: a search of the record's list of
# fields for each one would take seconds.
_FIELD_INDEXES: Final = _Recent(_indexed, 8)
