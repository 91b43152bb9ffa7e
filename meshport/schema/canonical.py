"""The canonical form of an Avro schema: the text whose SHA-256 is the schema's identity.

Avro's own Parsing Canonical Form (specification, "Transforming into Parsing Canonical Form") drops logical types,
defaults and aliases, so that two schemas which decode to different values share one fingerprint. Ours keeps everything
that the author wrote and normalizes only the spelling: names are qualified, each named type is defined at its first
use and referred to by name afterwards, attributes have one order, and there is no white space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from meshport.address import nearest
from meshport.errors import SchemaError
from meshport.schema.names import is_full_name, name_hint

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_ORDER: Final = ("name", "type", "fields", "symbols", "items", "values", "size")
# Keeps recursion far below Python's limit; real contracts nest less.
MAX_NESTING: Final = 64
# Types in one schema, references counted as well. The codec generates code for each, about twenty in a millisecond; the
# largest of 385 contracts in eight public repositories has some hundreds.
MAX_TYPES: Final = 5_000


def canonical(schema: Any, named: Mapping[str, Any] | None = None) -> Any:
    """Return the canonical form as JSON data.

    Args:
        schema: the schema as JSON data.
        named: schemas of other files by full name, which the schema may refer to; each is inlined at its first use.

    Raises:
        SchemaError: a type is unknown, a name is invalid, definitions nest more than `MAX_NESTING` deep, or there are more
            than `MAX_TYPES` types.
    """
    return _Canonical(named or {}).of(schema, "", 0, "")


def canonical_text(form: Any) -> str:
    """Return the canonical form as text: UTF-8 JSON without white space."""
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _Canonical:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._defined: set[str] = set()
        self._count = 0

    def of(self, schema: Any, namespace: str, depth: int, at: str) -> Any:
        self._count += 1
        if self._count > MAX_TYPES:
            raise SchemaError(f"the schema has more than {MAX_TYPES} types", rule="DECODING_BOMB")
        if depth > MAX_NESTING:
            raise SchemaError(
                f"the schema nests more than {MAX_NESTING} levels deep at {at or '/'}", rule="DECODING_BOMB"
            )
        if isinstance(schema, str):
            return self._reference(schema, namespace, depth, at)
        if isinstance(schema, list):
            return [self.of(branch, namespace, depth + 1, f"{at}/{index}") for index, branch in enumerate(schema)]
        if not isinstance(schema, dict):
            raise SchemaError(
                f"{schema!r} at {at or '/'} is no Avro type",
                hint="a type is a name, a union (list) or an object with `type`",
            )
        kind = schema.get("type")
        if isinstance(kind, dict | list) or (
            isinstance(kind, str) and kind not in PRIMITIVES | NAMED | {"array", "map"}
        ):
            if set(schema) == {"type"}:
                return self.of(kind, namespace, depth + 1, f"{at}/type")
            if isinstance(kind, dict):  # {"type": {"type": "string"}, "x": 1}: Avro keeps x on the outer type
                return self.of(
                    {**kind, **{key: value for key, value in schema.items() if key != "type"}}, namespace, depth + 1, at
                )
            if isinstance(kind, str):  # {"type": "Inner", "x": 1}: Java's library drops attributes of a name
                return self._reference(kind, namespace, depth, f"{at}/type")
            raise SchemaError(f"{kind!r} at {at}/type is no Avro type that takes attributes")
        if kind in NAMED:
            return self._definition(schema, namespace, depth, at)
        if kind == "array" or kind == "map":
            inner = "items" if kind == "array" else "values"
            if inner not in schema:
                raise SchemaError(f"the {kind} at {at or '/'} has no `{inner}`")
            return _ordered({**schema, inner: self.of(schema[inner], namespace, depth + 1, f"{at}/{inner}")})
        if kind not in PRIMITIVES:
            raise SchemaError(f"the object at {at or '/'} has no `type`")
        return kind if set(schema) == {"type"} else _ordered(schema)

    def _reference(self, name: str, namespace: str, depth: int, at: str) -> Any:
        if name in PRIMITIVES:
            return name
        # A name with a dot is full, and one that begins with it is of the null namespace. One without is looked up in the
        # enclosing namespace, then in the null namespace (Java's `Schema.Names.get`).
        inner = f"{namespace}.{name}" if namespace and "." not in name else None
        absolute = name[1:] if name.rfind(".") == 0 else name
        for candidate in (absolute,) if inner is None else (inner, absolute):
            if candidate in self._defined:
                if namespace and name != absolute and f"{namespace}.{absolute}" in self._defined:
                    raise SchemaError(
                        f"{name!r} at {at or '/'} has no name inside of {namespace!r}, which has {absolute!r} too",
                        hint="give it a namespace, or use it before the other one is defined",
                    )
                return candidate
            if candidate in self._named:
                shared = {**self._named[candidate], "name": candidate, "namespace": ""}
                return self.of(shared, namespace, depth + 1, at)
        # By the last part alone: names of one namespace resemble each other by that namespace.
        known = {each.rpartition(".")[2]: each for each in (*self._defined, *self._named)}
        if "." not in name:
            known |= {each: each for each in PRIMITIVES}
        near = known.get(nearest(name.rpartition(".")[2], list(known)) or "")
        raise SchemaError(
            f"{name!r} at {at or '/'} is no type that is known here",
            hint=(f"did you mean {near!r}? Else " if near else "")
            + "define it before its first use, or in schemas/common/",
        )

    def _definition(self, schema: dict[str, Any], namespace: str, depth: int, at: str) -> Any:
        full = qualified(schema, namespace)
        if not is_full_name(full):
            raise SchemaError(
                f"{full!r} at {at or '/'} is no Avro name",
                hint=f"{name_hint(full.rpartition('.')[2])}; parts joined by dots",
            )
        if full in self._defined:
            raise SchemaError(f"{full!r} is defined a second time at {at or '/'}")
        self._defined.add(full)
        inside = full.rpartition(".")[0]
        form = {key: value for key, value in schema.items() if key != "namespace"} | {"name": full}
        if namespace and "." not in full:
            form["namespace"] = ""  # otherwise a reader resolves the name in the enclosing namespace
        _refuse_odd_aliases(schema, at)
        if aliases := schema.get("aliases"):
            form["aliases"] = [alias if "." in alias or not inside else f"{inside}.{alias}" for alias in aliases]
        if schema["type"] in {"record", "error"}:
            fields = schema.get("fields")
            if not isinstance(fields, list):
                raise SchemaError(f"the record {full!r} has no list of `fields`")
            form["fields"] = [
                self._field(field, inside, depth, f"{at}/fields/{index}") for index, field in enumerate(fields)
            ]
        return _ordered(form)

    def _field(self, field: Any, namespace: str, depth: int, at: str) -> Any:
        if not isinstance(field, dict) or not isinstance(field.get("name"), str) or "type" not in field:
            raise SchemaError(f"the field at {at} has no name and type")
        _refuse_odd_aliases(field, at)
        return _ordered({**field, "type": self.of(field["type"], namespace, depth + 1, f"{at}/type")})


def _refuse_odd_aliases(form: Mapping[str, Any], at: str) -> None:
    aliases = form.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise SchemaError(f"the aliases {aliases!r} at {at or '/'} are no list of names")


def take_apart(form: Any, named: dict[str, Any]) -> Any:
    """Return a canonical form in which every named type is referred to by its name.

    `canonical` puts it together again. A name of the null namespace gets a dot in front, since within another namespace it
    could be taken for a name of that one.

    Args:
        form: the canonical form.
        named: receives the definition of each named type by full name, with its own named types replaced too.

    Raises:
        SchemaError: `named` already has a different definition of a type.
    """
    if isinstance(form, list):
        return [take_apart(branch, named) for branch in form]
    if not isinstance(form, dict):
        return _absolute(form)
    apart = dict(form)
    for key in ("items", "values"):
        if key in apart:
            apart[key] = take_apart(apart[key], named)
    if "fields" in apart:
        apart["fields"] = [{**each, "type": take_apart(each["type"], named)} for each in apart["fields"]]
    if "name" not in apart or apart["type"] not in NAMED:
        return apart
    apart.pop("namespace", None)  # where the type stood decided whether it is needed
    if named.setdefault(apart["name"], apart) != apart:
        raise SchemaError(f"{apart['name']!r} is defined in two different ways")
    return _absolute(apart["name"])


def _absolute(name: Any) -> Any:
    return name if name in PRIMITIVES or "." in name else f".{name}"


def qualified(schema: Mapping[str, Any], namespace: str = "") -> str:
    """Return the full name of a named type that is defined within `namespace`.

    A namespace that is no text, such as null, counts as not given, as in Java's library; an empty one is the null namespace.
    """
    name = str(schema.get("name", ""))
    if "." in name:
        return name[1:] if name.rfind(".") == 0 else name
    given = schema.get("namespace")
    inside = given if isinstance(given, str) else namespace
    return f"{inside}.{name}" if inside else name


def _ordered(form: dict[str, Any]) -> dict[str, Any]:
    known = {key: form[key] for key in _ORDER if key in form}
    return known | {key: form[key] for key in sorted(form) if key not in known}
