"""Avro schemas as contracts: loaded, checked, in canonical form, with their fingerprint.

A contract may refer to shared declarations in `schemas/common/`: to named types by their full name, and to
polysemes (global identifiers such as `customer_id`) by the attribute `"polyseme"` on a primitive type.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from meshport.errors import SchemaError
from meshport.schema.bounds import refuse_bomb
from meshport.schema.canonical import PRIMITIVES, canonical, canonical_text, qualified
from meshport.schema.defaults import refuse_misfits
from meshport.schema.text import is_plain_json, read_json
from meshport.schema.wellformed import refuse_malformed

__all__ = [
    "MAX_CANONICAL_BYTES",
    "MAX_WRITTEN_BYTES",
    "CommonTypes",
    "Schema",
    "is_plain_json",
    "load_schema",
    "parse_common",
    "parse_schema",
]

# Bytes of the canonical form: Confluent's own bound on a schema in its cloud (1 MB). What costs more than its bytes has a bound
# of its own: types, nesting, defaults (`canonical`, `bounds`).
MAX_CANONICAL_BYTES: Final = 1024 * 1024
# Bytes of a text as it is written: white space and comments cost next to nothing. Of the metadata schemas that DataHub
# publishes, one has 440 kB as written and 175 kB without white space, another 1.09 MB.
MAX_WRITTEN_BYTES: Final = 2 * MAX_CANONICAL_BYTES


@dataclass(frozen=True)
class Schema:
    """One Avro schema.

    Attributes:
        text: the canonical form, references inlined: what is fingerprinted.
        written: the author's own text, if it is known, is plain JSON and refers to no shared type. Two spellings of one
            schema are equal.
    """

    text: str
    written: str | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Schema], tuple[str, str | None]]:
        # What was computed of the text takes ten times its size.
        return Schema, (self.text, self.written)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `text`, 64 lower-case hex digits: the schema's identity."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def guid(self) -> uuid.UUID:
        """First half of the fingerprint, as the GUID by which Confluent's clients request a schema."""
        return uuid.UUID(hex=self.fingerprint[:32])

    @cached_property
    def form(self) -> Any:
        """The canonical form as JSON data."""
        return json.loads(self.text)

    @property
    def name(self) -> str:
        """Full name of a named type; otherwise the name of its kind, such as `union` or `string`."""
        form = self.form
        return str(
            form.get("name", form["type"]) if isinstance(form, dict) else "union" if isinstance(form, list) else form
        )

    @property
    def fields(self) -> tuple[dict[str, Any], ...]:
        """Fields of the record in order; empty for other types."""
        return tuple(self.form.get("fields", ())) if isinstance(self.form, dict) else ()

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the record's fields, in order."""
        return tuple(str(each["name"]) for each in self.fields)


@dataclass(frozen=True)
class CommonTypes:
    """The declarations of `schemas/common/`.

    Attributes:
        named: named types by full name.
        polysemes: the primitive type of each global identifier, by its name.
    """

    named: Mapping[str, Any] = field(default_factory=dict)
    polysemes: Mapping[str, str] = field(default_factory=dict)


def parse_schema(text: str, *, common: CommonTypes | None = None, source: str = "the schema") -> Schema:
    """Read a schema from its JSON text; comments and a byte order mark in it are passed over (`meshport.schema.text`).

    Args:
        text: the schema.
        common: shared types that it may refer to.
        source: how errors name it: a file, a subject.

    Raises:
        SchemaError: the text is not JSON or not valid Avro (including a default of the wrong type), is too large, has a
            type for which a few bytes could take gigabytes of memory, or uses a polyseme other than as declared.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_WRITTEN_BYTES:
        raise SchemaError(
            f"{source} has {size} bytes", source=source, hint=f"at most {MAX_WRITTEN_BYTES}", rule="DECODING_BOMB"
        )
    try:
        # A bare primitive name is a schema too. It is not JSON, and `null` would be JSON's null.
        bare = text.strip() in PRIMITIVES
        data, plain = (text.strip(), False) if bare else read_json(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{source} is no JSON: {error}", source=source) from error
    except OverflowError as error:
        raise SchemaError(f"{source} has {error}", source=source, rule="DEFAULT_MISFIT") from error
    try:
        form = canonical(data, common.named if common else None)
        refuse_malformed(form)
        refuse_misfits(form)
        schema = Schema(canonical_text(form), text if plain else None)
        _ = schema.fingerprint  # JSON can escape lone surrogates, which UTF-8 cannot encode
    except SchemaError as error:
        raise SchemaError(f"{source}: {error.message}", source=source, hint=error.hint, rule=error.rule) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchemaError(f"{source} is no valid Avro schema: {error}") from error
    size = len(schema.text.encode())
    if size > MAX_CANONICAL_BYTES:
        raise SchemaError(
            f"{source} has {size} bytes without white space",
            source=source,
            hint=f"at most {MAX_CANONICAL_BYTES}",
            rule="DECODING_BOMB",
        )
    refuse_bomb(form, source=source)  # before other code walks it
    if common is not None:
        _check_polysemes(form, common, source)
        if any(f'"name":"{each}"' in schema.text for each in common.named):
            return Schema(schema.text)
    return schema


def load_schema(file: Path, *, common: CommonTypes | None = None) -> Schema:
    """Read a contract from its file; see `parse_schema`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"{file} cannot be read: {error}", source=str(file)) from error
    return parse_schema(text, common=common, source=str(file))


def parse_common(texts: Iterable[tuple[str, str]]) -> CommonTypes:
    """Read shared declarations: each text holds a named type or a polyseme (a primitive type with `"polyseme"`).

    Args:
        texts: pairs of a name for errors, usually a file, and the text.

    Raises:
        SchemaError: a text holds neither, or a name is declared twice.
    """
    named: dict[str, Any] = {}
    polysemes: dict[str, Any] = {}
    for file, text in texts:
        try:
            data, _ = read_json(text)
        except (ValueError, OverflowError, RecursionError) as error:
            raise SchemaError(f"{file} cannot be read as JSON: {error}") from error
        if not isinstance(data, dict):
            raise SchemaError(f"{file} holds neither a named type nor a polyseme", source=str(file))
        known: dict[str, Any]
        value: Any
        if "polyseme" in data:
            known, name, value = polysemes, str(data["polyseme"]), data.get("type")
        else:
            known, name, value = named, qualified(data), data
        if not name or not isinstance(data.get("type"), str):
            raise SchemaError(f"{file} declares no name and type", source=str(file))
        if name in known:
            raise SchemaError(f"{file} declares {name!r} a second time", source=str(file))
        known[name] = value
    return CommonTypes(named, polysemes)


def _check_polysemes(form: Any, common: CommonTypes, source: str) -> None:
    if isinstance(form, list):
        for branch in form:
            _check_polysemes(branch, common, source)
    elif isinstance(form, dict):
        if (name := form.get("polyseme")) is not None:
            declared = common.polysemes.get(name)
            if declared is None:
                known = ", ".join(sorted(common.polysemes)) or "none"
                raise SchemaError(
                    f"{source} links to the polyseme {name!r}, which schemas/common/ does not declare",
                    source=source,
                    hint=f"declared: {known}",
                )
            if declared != form["type"]:
                raise SchemaError(
                    f"{source} writes the polyseme {name!r} as {form['type']}",
                    source=source,
                    hint=f"it is declared as {declared}",
                )
        for key in ("type", "items", "values"):
            if isinstance(form.get(key), dict | list):
                _check_polysemes(form[key], common, source)
        for each in form.get("fields", ()):
            _check_polysemes(each["type"], common, source)
