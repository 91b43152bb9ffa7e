"""Maps rows of a file to records of a schema: each value is converted to its field's type, or refused with the reason."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshport.codec.resolving import logical_of
from meshport.errors import EncodeError
from meshport.files.columns import fitting_fields, rename_options
from meshport.files.ingest import Format, Row, parse_json, said
from meshport.files.scalars import EXACT, LOGICAL, Convert, ValueRefused, octets, plain, symbol
from meshport.schema import Schema
from meshport.schema.canonical import qualified

# What people write for a value that is missing.
_MISSING: Final = frozenset(
    {"na", "n/a", "#n/a", "#na", "nan", "null", "none", "nil", "-", "--", "?", ".", "..", "missing", "unknown", "\\n"}
)


class RowMapper:
    """Turns rows into records of one schema.

    Text is converted to the field's type: numbers, booleans, times (RFC 3339 or the like, `2001/01/31 13:05` too; UTC where
    they have no zone), decimals, UUIDs. A bare number for a time counts the field's unit since 1970. Lists, maps and records
    are JSON, bytes are base64, as `tail` shows them. A field without a column takes its default, else null; so does a field
    that is not nullable and whose value is null.

    Args:
        schema: the port's.
        form: of the file. JSON has NaN and Infinity as text, as `tail` shows them; in CSV they are no numbers, since they
            mostly stand for a missing value.
        ignore_unknown: whether columns that the schema does not have are left out, instead of refused.
    """

    def __init__(self, schema: Schema, form: Format = Format.JSONL, *, ignore_unknown: bool = False) -> None:
        self._names = schema.field_names
        self._known = frozenset(self._names)
        self._ignore_unknown = ignore_unknown
        self._fields = _Converters(form).fields(schema.fields)

    def check_columns(self, columns: Sequence[str]) -> None:
        """Check the header of a CSV file, which all of its rows share.

        Raises:
            EncodeError: the schema lacks some of the columns, or the file a column for a field that needs a value.
        """
        if not self._ignore_unknown:
            self._refuse_unknown(columns)
        lacking = [each.name for each in self._fields if each.needs_value and each.name not in columns]
        if lacking:
            unknown = [each for each in columns if each not in self._known]
            fitting = fitting_fields(unknown, lacking, ())
            raise EncodeError(
                f"there is no column for {_listed('field', lacking)}, which has no default",
                field=lacking[0],
                hint=f"did you mean `{rename_options(fitting)}`?"
                if fitting
                else f"the columns are {', '.join(columns)}",
            )

    def record(self, row: Row) -> dict[str, Any]:
        """Return the row as a record.

        Raises:
            EncodeError: a value does not fit its field, a column is unknown, or a field without a default has no value.
        """
        values = row.values
        if not self._ignore_unknown and not self._known.issuperset(values):
            self._refuse_unknown(values)
        return _record(values, self._fields)

    def _refuse_unknown(self, columns: Iterable[str]) -> None:
        names = list(columns)
        unknown = [each for each in names if each not in self._known]
        if not unknown:
            return
        fitting = fitting_fields(unknown, self._names, [each for each in names if each in self._known])
        hints = [f"did you mean `{rename_options(fitting)}`?"] if fitting else []
        if len(fitting) < len(unknown):
            hints.append(f"its fields are {', '.join(self._names)}; --ignore-unknown leaves the others out")
        raise EncodeError(f"the schema has no {_listed('field', unknown)}", field=unknown[0], hint=" ".join(hints))


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    convert: Convert
    has_default: bool
    nullable: bool

    @property
    def needs_value(self) -> bool:
        return not self.has_default and not self.nullable

    def hint(self, error: ValueRefused, value: Any) -> str | None:
        """Return what helps: for a text that seems to stand for a missing value, `--na`, if the field has a null."""
        if not isinstance(value, str) or value.strip().lower() not in _MISSING:
            return error.hint
        if self.needs_value:
            return "if it stands for a missing value: the field takes no null, since its type is not nullable"
        return f"`--na {shlex.quote(value)}` reads it as null"


class _Converters:
    """Creates the converters of a schema's types; that of a named type once, at its definition."""

    def __init__(self, form: Format) -> None:
        self._plain = plain(form)
        self._named: dict[str, Convert] = {}

    def fields(self, fields: Iterable[Mapping[str, Any]]) -> tuple[_Field, ...]:
        return tuple(
            _Field(str(each["name"]), self.of(each["type"]), "default" in each, _nullable(each["type"]))
            for each in fields
        )

    def of(self, kind: Any) -> Convert:
        if isinstance(kind, list):
            return self._union(kind)
        if isinstance(kind, str):
            if kind in self._plain:
                return self._plain[kind]
            # Looked up when a value is converted: a type may contain itself.
            return lambda value: self._named[kind](value)  # noqa: PLW0108 - looked up late
        name = kind["type"]
        if isinstance(name, dict | list):
            return self.of(name)
        convert = LOGICAL.get(logical_of(kind) or "") or self._complex(name, kind)
        if "name" in kind:
            self._named[qualified(kind)] = convert
        return convert

    def _complex(self, name: str, kind: Mapping[str, Any]) -> Convert:
        match name:
            case "enum":
                symbols = [str(each) for each in kind["symbols"]]
                return lambda value: symbol(value, symbols)
            case "fixed":
                return octets
            case "array":
                item = self.of(kind["items"])
                return lambda value: [
                    _within(f"[{index}]", item, each) for index, each in enumerate(_json(value, list, "a list"))
                ]
            case "map":
                each_value = self.of(kind["values"])
                return lambda value: {
                    str(key): _within(f".{key}", each_value, each)
                    for key, each in _json(value, dict, "an object").items()
                }
            case "record" | "error":
                made: list[tuple[_Field, ...]] = []
                self._named[qualified(kind)] = lambda value: _nested(_json(value, dict, "an object"), made[0])
                made.append(self.fields(kind["fields"]))
                return self._named[qualified(kind)]
        return self.of(name)

    def _union(self, branches: list[Any]) -> Convert:
        exact: dict[type[Any], Convert] = {}
        converters: list[Convert] = []
        for branch in branches:
            if branch == "null":
                continue
            of_branch = self.of(branch)
            converters.append(of_branch)
            for python in EXACT.get(branch if isinstance(branch, str) else "", ()):
                exact.setdefault(python, of_branch)
        nullable = _nullable(branches)

        def convert(value: Any) -> Any:
            if value is None and nullable:
                return None
            # A value takes the branch of its own Python type, if there is one; else the first branch that it fits.
            reasons = []
            for converter in [*filter(None, [exact.get(type(value))]), *converters]:
                try:
                    return converter(value)
                except ValueRefused as error:
                    reasons.append(error)
            if len(converters) == 1:
                raise reasons[-1]
            raise ValueRefused(
                "; ".join(dict.fromkeys(str(each) for each in reasons)),
                hint=next((each.hint for each in reasons if each.hint), None),
            )

        return convert


def _nullable(kind: Any) -> bool:
    return kind == "null" or (isinstance(kind, list) and "null" in kind)


def _record(values: Mapping[str, Any], fields: tuple[_Field, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.name)
        if value is None and field.has_default and not (field.nullable and field.name in values):
            continue
        if value is None and not field.nullable:
            raise EncodeError(
                "the field has no value and no default", field=field.name, hint="every record has to give it one"
            )
        try:
            record[field.name] = field.convert(value)
        except ValueRefused as error:
            raise EncodeError(str(error), field=field.name + error.path, hint=field.hint(error, value)) from error
    return record


def _nested(value: Mapping[str, Any], fields: tuple[_Field, ...]) -> dict[str, Any]:
    known = [field.name for field in fields]
    if unknown := [name for name in value if name not in known]:
        fitting = fitting_fields(unknown, known, [name for name in value if name in known])
        raise ValueRefused(
            f"the schema has no {_listed('field', unknown)} here",
            f".{unknown[0]}",
            hint=f"did you mean `{rename_options(fitting)}`?" if fitting else f"its fields are {', '.join(known)}",
        )
    try:
        return _record(value, fields)
    except EncodeError as error:
        raise ValueRefused(error.message, f".{error.field}", hint=error.hint) from error


def _within(step: str, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except ValueRefused as error:
        raise error.within(step) from error


def _json(value: Any, kind: type[Any], words: str) -> Any:
    parsed = value
    if isinstance(value, str):
        try:
            parsed = parse_json(value)
        except (ValueError, RecursionError):
            raise ValueRefused(f"{said(value)} is not {words} in JSON") from None
    if not isinstance(parsed, kind):
        raise ValueRefused(f"{said(value)} is not {words}")
    return parsed
