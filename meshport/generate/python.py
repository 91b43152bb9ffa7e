"""Python: a module with a pydantic model of each record, and the port's publisher, subscriber and replay."""

from __future__ import annotations

import json
import keyword
import math
import textwrap
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from meshport.binding import Binding
from meshport.generate.contract import (
    MISSING,
    ContractTypes,
    Enumeration,
    Field,
    ListOf,
    MapOf,
    Named,
    OneOf,
    RecordType,
    Scalar,
    Type,
)
from meshport.schema.names import plain_spelling

__all__ = ["python_files"]

_WIDTH: Final = 88
_TYPES: Final = {
    "null": "None",
    "boolean": "bool",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "bytes": "bytes",
    "fixed": "bytes",
    "string": "str",
    "long-timestamp-millis": "AwareDatetime",
    "long-timestamp-micros": "AwareDatetime",
    "long-local-timestamp-millis": "NaiveDatetime",
    "long-local-timestamp-micros": "NaiveDatetime",
    "int-date": "datetime.date",
    "int-time-millis": "datetime.time",
    "long-time-micros": "datetime.time",
    "bytes-decimal": "Decimal",
    "fixed-decimal": "Decimal",
    "string-uuid": "UUID",
}
# Names that the module itself uses: a field of such a name would hide it from the annotations after it.
_OWN: Final = {
    *("bool", "int", "float", "bytes", "str", "list", "dict", "None", "datetime", "AwareDatetime", "NaiveDatetime"),
    *("Decimal", "UUID", "ClassVar", "Final", "Literal", "EventModel", "Field", "Publisher", "Subscriber", "Registry"),
    *("KafkaAccess", "PLAINTEXT", "ADDRESS", "publisher", "subscriber", "replay", "Replay", "Bound"),
}
_RESERVED: Final = _OWN | {each for each in dir(BaseModel) if not each.startswith("__")}
_IMPORTS: Final = (
    ("datetime.", "import datetime"),
    ("Decimal", "from decimal import Decimal"),
    ("UUID", "from uuid import UUID"),
)


def python_files(binding: Binding, contract: ContractTypes) -> dict[Path, str]:
    """Return the module of a port, by its path."""
    address = binding.address
    name = "_".join((address.domain, address.product, str(address.port))).replace("-", "_")
    return {Path(f"{name}.py"): _module(binding, contract)}


def _module(binding: Binding, contract: ContractTypes) -> str:
    names = [each.name for each in contract.records] + [each.name for each in contract.enumerations]
    classes = {each: _python_name(each) for each in names}
    writer = _Writer(contract, classes)
    parts = [writer.enumeration(each) for each in contract.enumerations]
    parts += [writer.record(each) for each in contract.records]
    body = "\n\n\n".join(parts)
    return "\n".join(_head(binding, body)) + f"\n\n\n{body}\n\n\n" + _CLIENT.format(root=classes[contract.root.name])


def _head(binding: Binding, body: str) -> list[str]:
    standard = [line for use, line in _IMPORTS if use in body]
    typing = ", ".join(each for each in ("ClassVar", "Final", "Literal") if each in body or each == "Final")
    pydantic = ", ".join(each for each in ("AwareDatetime", "Field", "NaiveDatetime") if each in body)
    uuid = [each for each in standard if "uuid" in each]
    return [
        f'"""Events of {binding.address}: their types, a publisher, a subscriber and a replay.',
        "",
        "Written by `meshport generate`, which replaces this file.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *(each for each in standard if each not in uuid),
        f"from typing import {typing}",
        *uuid,
        "",
        *([f"from pydantic import {pydantic}", ""] if pydantic else []),
        "from meshport import Publisher, Registry, Replay, Subscriber",
        "from meshport.event.model import EventModel",
        "from meshport.kafka.clusters import KafkaAccess",
        "from meshport.kafka.config import PLAINTEXT",
        "from meshport.ports.replay import Bound",
        "",
        f'ADDRESS: Final = "{binding.address}"',
        '"""The port, at the major line of these types."""',
    ]


_CLIENT: Final = '''\
def publisher(registry: Registry, *, kafka: KafkaAccess = PLAINTEXT) -> Publisher:
    """Return a publisher, whose `publish` takes objects of `{root}`."""
    return Publisher(ADDRESS, registry, kafka=kafka)


def subscriber(
    registry: Registry, *, group: str | None = None, kafka: KafkaAccess = PLAINTEXT
) -> Subscriber[{root}]:
    """Return a subscriber, whose events have a `{root}` as `data`.

    `Subscriber(ADDRESS, registry, as_={root}, ...)` takes all other options.
    """
    return Subscriber(ADDRESS, registry, group=group, as_={root}, kafka=kafka)


def replay(
    registry: Registry, *, begin: Bound = None, end: Bound = None, kafka: KafkaAccess = PLAINTEXT
) -> Replay[{root}]:
    """Return a replay of the port's history between two times or offsets, whose events have a `{root}` as `data`.

    `Replay(ADDRESS, registry, as_={root}, ...)` takes all other options.
    """
    return Replay(ADDRESS, registry, begin=begin, end=end, as_={root}, kafka=kafka)
'''


class _Writer:
    """Writes the classes of one contract.

    Args:
        contract: whose classes are written.
        classes: the names of classes in the module, by those in the contract.
    """

    def __init__(self, contract: ContractTypes, classes: dict[str, str]) -> None:
        self._contract = contract
        self._classes = classes
        self._reserved = _RESERVED | set(classes.values())

    def enumeration(self, of: Enumeration) -> str:
        """Return an enumeration as a `Literal`: its values are the texts that the codec reads and writes."""
        symbols = [f'"{each}"' for each in of.symbols]
        line = f"{self._classes[of.name]} = Literal[{', '.join(symbols)}]"
        if len(line) > _WIDTH:
            line = "\n".join([f"{self._classes[of.name]} = Literal[", *(f"    {each}," for each in symbols), "]"])
        return line + (f"\n{_docstring(of.doc, '')}" if of.doc else "")

    def record(self, of: RecordType) -> str:
        """Return a record as a pydantic model."""
        lines = [
            f"class {self._classes[of.name]}(EventModel):",
            _docstring(of.doc or f"The record {of.full_name}.", "    "),
        ]
        if of is self._contract.root:
            pieces = [f"        {each}" for each in _pieces(self._contract.schema.text)]
            lines += ["", "    __avro_schema__: ClassVar[str] = (", *pieces, "    )"]
        taken: set[str] = set()
        for each in of.fields:
            lines += ["", *self._field(each, taken)]
        return "\n".join(lines)

    def _field(self, of: Field, taken: set[str]) -> list[str]:
        name = plain_spelling(of.name).lstrip("_") or "field"
        name = f"field_{name}" if name[0].isdigit() or name.startswith("model_") else name
        while keyword.iskeyword(name) or name in self._reserved or name in taken:
            name += "_"
        taken.add(name)
        arguments = []
        if name != of.name:
            arguments += [f"validation_alias={_text(of.name)}", f"serialization_alias={_text(of.name)}"]
        default = self._default(of)
        if default in {"list", "dict"}:
            arguments.insert(0, f"default_factory={default}")
        elif arguments and default is not None:
            arguments.insert(0, f"default={default}")
        line = f"    {name}: {self._type(of.type)}"
        if arguments:
            line += f" = Field({', '.join(arguments)})"
        elif default is not None:
            line += f" = {default}"
        return [line, *([_docstring(of.doc, "    ")] if of.doc else [])]

    def _type(self, kind: Type) -> str:
        match kind:
            case Named():
                return self._classes[kind.name]
            case ListOf():
                return f"list[{self._type(kind.items)}]"
            case MapOf():
                return f"dict[str, {self._type(kind.values)}]"
            case OneOf():
                branches = list(dict.fromkeys(map(self._type, kind.branches)))
                return " | ".join(sorted(branches, key=lambda each: each == "None"))  # None is last, as people write it
            case Scalar():
                return _TYPES[kind.kind]

    def _default(self, of: Field) -> str | None:
        """Return a default as Python; None for a field without one, and for one whose default has no plain form."""
        if isinstance(of.default, type(MISSING)):
            return None
        branches = of.type.branches if isinstance(of.type, OneOf) else (of.type,)
        return next((text for each in branches if (text := self._literal(each, of.default)) is not None), None)

    def _literal(self, kind: Type, value: Any) -> str | None:
        match kind, value:
            case Scalar("null"), None:
                return "None"
            case Scalar("boolean"), bool():
                return repr(value)
            case Scalar("int" | "long"), int():
                return None if isinstance(value, bool) else repr(value)
            case Scalar("float" | "double"), int() | float():
                return repr(float(value)) if not isinstance(value, bool) and math.isfinite(value) else None
            case Scalar("string"), str():
                return _text(value)
            case Named(), str() if self._contract.record(kind.name) is None:
                return _text(value)
            case ListOf(), []:
                return "list"
            case MapOf(), dict() if not value:
                return "dict"
        return None


def _python_name(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) or name in _RESERVED else name


def _text(value: str) -> str:
    """Return a text as a literal of ASCII characters."""
    return json.dumps(value) if value.isprintable() and value.isascii() else ascii(value)


def _pieces(text: str) -> list[str]:
    """Return a text as literals of one line each, which Python joins."""
    size = _WIDTH - 12
    return [repr(text[at : at + size]) for at in range(0, len(text), size)]


def _docstring(doc: str, indent: str) -> str:
    """Return a docstring that holds a line of other people's text, wrapped."""
    safe = (
        doc.replace("\\", "\\\\").replace('"', '\\"')
        if '"""' in doc or doc.endswith('"')
        else doc.replace("\\", "\\\\")
    )
    one = f'{indent}"""{safe}"""'
    if len(one) <= _WIDTH:
        return one
    lines = textwrap.wrap(
        safe,
        _WIDTH,
        initial_indent=f'{indent}"""',
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([*lines, f'{indent}"""'])
