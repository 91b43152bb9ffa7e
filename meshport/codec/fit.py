"""Finds where and why a value does not fit its schema, for an EncodeError.

The generated encoder fails without saying where. This walk over record and schema is slow; it runs after a failure,
and where the Python type of a value does not decide the branch of a union.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, NamedTuple

from meshport.address import nearest
from meshport.codec import accept, logical
from meshport.codec.limits import MAX_DEPTH
from meshport.codec.logical import kind_of
from meshport.rfc3339 import instant

# Raised by the functions of `accept` and `logical` for a value that they refuse.
REFUSALS: Final = (TypeError, ValueError, OverflowError, struct.error, AttributeError, KeyError, IndexError)

_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60

_TAKES: Final = {
    "null": "None",
    "boolean": "a bool",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "float": "a number of single precision",
    "double": "a float",
    "bytes": "bytes",
    "string": "a str",
    "array": "a list",
    "map": "a dict with str keys",
    "record": "a dict",
    "error": "a dict",
    "long-timestamp-millis": "a datetime with a time zone",
    "long-timestamp-micros": "a datetime with a time zone",
    "long-local-timestamp-millis": "a datetime without a time zone",
    "long-local-timestamp-micros": "a datetime without a time zone",
    "int-date": "a date",
    "int-time-millis": "a time without a time zone",
    "long-time-micros": "a time without a time zone",
    "string-uuid": "a UUID",
}
_ACCEPTS: Final = {
    "boolean": lambda value: value is True or accept.false(value),
    "int": lambda value: accept.write_int(accept.whole(value)),
    "long": lambda value: accept.write_long(accept.whole(value)),
    "float": lambda value: struct.pack("<f", accept.real(value)),
    "double": accept.real,
    "bytes": accept.octets,
    "string": lambda value: accept.text(value).encode(),
    "long-timestamp-millis": accept.timestamp_millis,
    "long-timestamp-micros": accept.timestamp_micros,
    "long-local-timestamp-millis": accept.local_timestamp_millis,
    "long-local-timestamp-micros": accept.local_timestamp_micros,
    "int-date": accept.day,
    "int-time-millis": accept.time_millis,
    "long-time-micros": accept.time_micros,
    "string-uuid": accept.uuid_octets,
}
_WHOLE: Final = frozenset(kind for kind in logical.KNOWN if kind.startswith(("int-", "long-"))) | {"int", "long"}


class Misfit(NamedTuple):
    """A part of a value that does not fit: its path (`tags[2].name`), what was found, and what would be right."""

    path: str
    message: str
    hint: str | None = None


# Results for pairs of a record and a definition, by their ids. Without them, two similar branches of a recursive type
# would double the checks at each level. The value is referenced, so that its id is not reused.
Known = dict[tuple[int, int], tuple[Any, Misfit | None]]


class Fitting:
    """Checks values against the types of one schema.

    Args:
        named: the schema's named types by full name.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named

    def misfit(self, form: Any, value: Any) -> Misfit | None:
        """Return the first misfit of a value, or None."""
        return self._misfit(form, value, "", 0, {})

    def _misfit(self, form: Any, value: Any, path: str, depth: int, known: Known) -> Misfit | None:
        form = self._named.get(form, form) if isinstance(form, str) else form
        kind = kind_of(form)
        if kind in {"record", "error", "array", "map"} and depth > MAX_DEPTH:
            return Misfit(path, f"nests more than {MAX_DEPTH} levels deep")
        match kind:
            case "union":
                return self._union(form, value, path, depth, known)
            case "record" | "error":
                key = (id(form), id(value))
                if key not in known:
                    known[key] = value, self._record(form, value, path, depth + 1, known)
                return known[key][1]
            case "array":
                return self._array(form, value, path, depth + 1, known)
            case "map":
                return self._map(form, value, path, depth + 1, known)
            case "null":
                return None if value is None else _found(path, value, "None")
            case "enum":
                if isinstance(value, str) and value in form["symbols"]:
                    return None
                near = nearest(value, form["symbols"]) if isinstance(value, str) else None
                hint = f"did you mean {near!r}?" if near else f"one of {_REPR.repr(form['symbols'])}"
                return _found(path, value, f"a symbol of {form['name']}", hint)
            case "fixed":
                if isinstance(value, bytes | bytearray) and len(value) == form["size"]:
                    return None
                return _found(path, value, f"{form['size']} bytes")
            case "bytes-decimal" | "fixed-decimal":
                try:
                    logical.decimal_writer(form)(value)
                except REFUSALS:
                    takes = f"a Decimal of at most {form['precision']} digits, {form.get('scale', 0)} after the point"
                    return _found(path, value, takes, _hint(kind, value))
                return None
        try:
            _ACCEPTS[kind](value)
        except REFUSALS:
            return _found(path, value, _TAKES[kind], _hint(kind, value))
        return None

    def branch(self, branches: list[Any], value: Any) -> tuple[int, Any]:
        """Return the index of the union's branch for a value, and the value itself.

        A tuple (branch name, value) names its branch (fastavro's notation). Otherwise it is the first branch that the
        value fits, with two exceptions. A number keeps its kind: an integer takes an int or long if there is one, a
        fraction a double before a float. Of several records, the one with the most fields in common is taken.

        Raises:
            TypeError: the value fits no branch.
        """
        if _names_branch(value):
            for index, branch in enumerate(branches):
                if value[0] == _branch_name(branch):
                    return index, value[1]
            raise TypeError(value)
        candidates = self._candidates(branches, value)
        # Nested values are checked only if several branches remain; else each level of a tree would check all levels below.
        if len(candidates) > 1:
            known: Known = {}
            candidates = [index for index in candidates if self._misfit(branches[index], value, "", 0, known) is None]
        if not candidates:
            raise TypeError(value)
        if isinstance(value, Mapping):
            return max(candidates, key=lambda index: self._common(branches[index], value)), value
        return candidates[0], value

    def _candidates(self, branches: list[Any], value: Any) -> list[int]:
        """Return the indices of the branches that may accept a value by its outermost type, the best kind first."""
        found = [index for index, branch in enumerate(branches) if self.may_take(branch, value)]
        kinds = [kind_of(branch) for branch in branches]
        if isinstance(value, float):
            found.sort(key=lambda index: kinds[index] != "double")
        elif isinstance(value, int) and not isinstance(value, bool) and not _WHOLE.isdisjoint(kinds):
            found = [index for index in found if kinds[index] in _WHOLE]
        return found

    def may_take(self, form: Any, value: Any) -> bool:
        """Return whether a type may accept a value, judged by its outermost type."""
        if isinstance(form, str) and form in self._named:
            form = self._named[form]
        match kind_of(form):
            case "record" | "error":
                if not isinstance(value, Mapping):
                    return False
                required = {field["name"] for field in form["fields"] if "default" not in field}
                return required <= value.keys() <= {field["name"] for field in form["fields"]}
            case "map":
                return isinstance(value, Mapping)
            case "array":
                return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
        return self.misfit(form, value) is None

    def _common(self, form: Any, value: Mapping[Any, Any]) -> int:
        form = self._named.get(form, form) if isinstance(form, str) else form
        return len(value) if kind_of(form) in {"record", "error"} else 0

    def _union(self, branches: list[Any], value: Any, path: str, depth: int, known: Known) -> Misfit | None:
        takes = ", ".join(_branch_name(branch) for branch in branches)
        others = [index for index, branch in enumerate(branches) if branch != "null"]
        if _names_branch(value):
            for branch in branches:
                if value[0] == _branch_name(branch):
                    return self._misfit(branch, value[1], path, depth, known)
            return _found(path, value, f"one of {takes}")
        candidates = self._candidates(branches, value) or (others if len(others) == 1 else [])
        found = None
        for index in candidates:
            misfit = self._misfit(branches[index], value, path, depth, known)
            if misfit is None:
                return None
            found = found or misfit
        return found or _found(path, value, f"one of {takes}")

    def _record(self, form: Any, value: Any, path: str, depth: int, known: Known) -> Misfit | None:
        if not isinstance(value, Mapping):
            return _found(path, value, f"a dict with the fields of {form['name']}")
        names = [str(field["name"]) for field in form["fields"]]
        for name in value:
            if name not in names:
                near = nearest(name, names) if isinstance(name, str) else None
                hint = f"did you mean {near!r}?" if near else f"fields: {', '.join(names)}"
                return Misfit(_join(path, str(name)), f"is no field of {form['name']}", hint)
        for field in form["fields"]:
            at = _join(path, str(field["name"]))
            if field["name"] not in value:
                if "default" not in field:
                    return Misfit(at, f"is missing, and {form['name']} gives it no default")
            elif found := self._misfit(field["type"], value[field["name"]], at, depth, known):
                return found
        return None

    def _array(self, form: Any, value: Any, path: str, depth: int, known: Known) -> Misfit | None:
        try:
            items = accept.items(value)
        except TypeError:
            return _found(path, value, _TAKES["array"])
        for index, item in enumerate(items):
            if found := self._misfit(form["items"], item, f"{path}[{index}]", depth, known):
                return found
        return None

    def _map(self, form: Any, value: Any, path: str, depth: int, known: Known) -> Misfit | None:
        if not isinstance(value, Mapping):
            return _found(path, value, _TAKES["map"])
        for key, item in value.items():
            at = f"{path}[{key!r}]"
            found = self._misfit("string", key, at, depth, known) or self._misfit(
                form["values"], item, at, depth, known
            )
            if found:
                return found
        return None


def _has_zone(text: str) -> bool:
    try:
        instant(text)
    except ValueError:
        return False
    return True


def _names_branch(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def _branch_name(branch: Any) -> str:
    return branch if isinstance(branch, str) else str(branch.get("name", branch["type"]))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _found(path: str, value: Any, takes: str, hint: str | None = None) -> Misfit:
    return Misfit(path, f"is {_REPR.repr(value)} ({type(value).__name__}) where the schema takes {takes}", hint)


def _hint(kind: str, value: Any) -> str | None:
    """Return a hint for a common mistake."""
    match value:
        case datetime() if "local" in kind:
            return "a local timestamp has no zone: value.replace(tzinfo=None)"
        case datetime() if "timestamp" in kind:
            return "an instant needs a time zone: value.replace(tzinfo=UTC), if that is what it means"
        case datetime() if kind == "int-date":
            return "value.date() drops the time of day"
        case date() if "timestamp" in kind:
            return "datetime.combine(value, time(), tzinfo=UTC) is its first instant"
        case time() if value.tzinfo is not None:
            return "value.replace(tzinfo=None)"
        case Decimal() if kind.endswith("decimal"):
            return "value.quantize(...) rounds to a scale"
        case float() | int() if kind.endswith("decimal"):
            return "Decimal(str(value))"
        case float() if kind in {"int", "long"} and value.is_integer():
            return "int(value), if nothing is lost"
        case str() if "local" in kind and _has_zone(value):
            return (
                "a local timestamp has no offset: datetime.fromisoformat(value).replace(tzinfo=None) is the time as "
                "written; a field for an instant is a `timestamp-millis`"
            )
        case str() if "timestamp" in kind:
            return "datetime.fromisoformat(value)"
        case str() if kind == "int-date":
            return "date.fromisoformat(value)"
        case str() if kind == "bytes":
            return "value.encode()"
        case bytes() if kind == "string":
            return "value.decode()"
    return None
