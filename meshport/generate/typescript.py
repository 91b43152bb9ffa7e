"""TypeScript: a module with an interface of each record and a class for the port, on avsc and a client like KafkaJS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshport.generate.client_port import ClientPort, template
from meshport.generate.contract import (
    Enumeration,
    Field,
    ListOf,
    MapOf,
    Named,
    OneOf,
    RecordType,
    Scalar,
    Type,
    optional,
)

__all__ = ["TYPESCRIPT_NAMES", "typescript_files"]

_Inner = Callable[[Type, str], str]

_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_TYPES: Final = {
    "null": "null",
    "boolean": "boolean",
    "int": "number",
    "long": "bigint",
    "float": "number",
    "double": "number",
    "bytes": "Uint8Array",
    "fixed": "Uint8Array",
    "string": "string",
    "long-timestamp-millis": "Date",
    "long-timestamp-micros": "bigint",
    "long-local-timestamp-millis": "bigint",
    "long-local-timestamp-micros": "bigint",
    "int-date": "string",
    "int-time-millis": "number",
    "long-time-micros": "bigint",
    "bytes-decimal": "string",
    "fixed-decimal": "string",
    "string-uuid": "string",
}
TYPESCRIPT_NAMES: Final = frozenset(
    {
        *("Event", "Registry", "Binding", "ReceivedMessage", "SentMessage", "Consumer", "Producer", "Attributes"),
        *("RegistryError", "Array", "BigInt", "Buffer", "Date", "Error", "JSON", "Map", "Math", "Number", "Object"),
        *("Promise", "RangeError", "Record", "Response", "String", "TypeError", "Uint8Array"),
    }
)
"""The names that a module uses: no record or enumeration may have one."""
# What a value is besides its type, where the type does not say it.
_MEANINGS: Final = {
    "long-timestamp-micros": "Microseconds since 1970, UTC.",
    "long-local-timestamp-millis": "Milliseconds since 1970, in no zone.",
    "long-local-timestamp-micros": "Microseconds since 1970, in no zone.",
    "int-date": "A day: 2001-02-03.",
    "int-time-millis": "Milliseconds since midnight.",
    "long-time-micros": "Microseconds since midnight.",
    "bytes-decimal": "A decimal number: 12.50.",
    "fixed-decimal": "A decimal number: 12.50.",
}
# From the values of avsc to those of the interfaces, and back; `$` is the value, `#` the scale of a decimal, `@` a size.
_READ: Final = {
    "long-timestamp-millis": "new Date(Number($))",
    "int-date": "dayOf($)",
    "bytes-decimal": "decimalOf($, #)",
    "fixed-decimal": "decimalOf($, #)",
    "string-uuid": "$.toLowerCase()",
}
_WRITE: Final = {
    "bytes": "Buffer.from($)",
    "fixed": "Buffer.from($)",
    "long-timestamp-millis": "BigInt($.getTime())",
    "int-date": "daysOf($)",
    "bytes-decimal": "unscaled($, #, 0)",
    "fixed-decimal": "unscaled($, #, @)",
}
_HELPERS: Final = {
    "microsText": """\
function microsText(micros: bigint): string {
  const rest = ((micros % 1000n) + 1000n) % 1000n;
  const whole = new Date(Number((micros - rest) / 1000n)).toISOString().slice(0, -1);
  return `${whole}${rest.toString().padStart(3, "0")}Z`;
}
""",
    "misfit": """\
function misfit(): never {
  throw new TypeError("a value is of no branch of its union");
}
""",
    "dayOf": """\
function dayOf(days: number): string {
  return new Date(days * 86_400_000).toISOString().slice(0, -14);
}
""",
    "daysOf": """\
function daysOf(day: string): number {
  const days = Date.parse(`${day}T00:00:00Z`) / 86_400_000;
  if (!Number.isInteger(days)) throw new TypeError(`${day} is no day`);
  return days;
}
""",
    "decimalOf": """\
function decimalOf(bytes: Uint8Array, scale: number): string {
  let value = 0n;
  for (const each of bytes) value = (value << 8n) | BigInt(each);
  value = BigInt.asIntN(bytes.length * 8, value);
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  return (value < 0n ? "-" : "") + digits.slice(0, point) + (scale ? `.${digits.slice(point)}` : "");
}
""",
    "unscaled": """\
function unscaled(text: string, scale: number, size: number): Buffer {
  const found = /^([+-]?)(\\d+)(?:\\.(\\d*))?$/.exec(text);
  const fraction = found?.[3] ?? "";
  if (found === null || fraction.length > scale) throw new TypeError(`${text} is no number of scale ${scale}`);
  let value = BigInt((found[2] ?? "") + fraction.padEnd(scale, "0"));
  if (found[1] === "-") value = -value;
  let bytes = Math.max(size, 1);
  while (!size && BigInt.asIntN(bytes * 8, value) !== value) bytes++;
  if (BigInt.asIntN(bytes * 8, value) !== value) throw new RangeError(`${text} has too many digits`);
  const written = Buffer.alloc(bytes);
  for (let at = bytes - 1, left = value; at >= 0; at--, left >>= 8n) written[at] = Number(left & 255n);
  return written;
}
""",
}
_KEY_TEXT: Final = """\
function keyText(name: string, value: unknown): string {
  if (value == null || value === "") throw new TypeError(`the key field ${name} has no value`);
  return String(value);
}
"""
_ESCAPED: Final = """
function escaped(text: string): string {
  return text.replace(/[\\\\|]/g, "\\\\$&");
}
"""
_HEAD: Final = """\
// Events of {address}: their types, and a class that reads and publishes them.
// Written by `meshport generate`, which replaces this file. Needs the package avsc, and a Kafka client with KafkaJS' interface.

import avsc from "avsc";
"""


def typescript_files(port: ClientPort) -> dict[Path, str]:
    """Return the module of a port, by its path."""
    return {Path(f"{port.file_name}.ts"): _module(port)}


def _module(port: ClientPort) -> str:
    contract = port.contract
    types = [_enumeration(each) for each in contract.enumerations]
    types += [_interface(each) for each in contract.records]
    publishes = port.unpublished is None
    converters = [_converter(each, "read", _READ, contract.enumerations) for each in contract.records]
    if publishes:
        converters += [_converter(each, "write", _WRITE, contract.enumerations) for each in contract.records]
    root = contract.root.name
    facts = port.facts | {
        "schema": json.dumps(contract.schema.text).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
        "read_root": f"read{root}",
        "write_root": f"write{root}",
        "key": _key(port),
        "time": _time(port),
        "key_text": _KEY_TEXT + (_ESCAPED if len(port.key) > 1 else "") if port.key else "",
    }
    publisher = template("publisher.ts", facts) if publishes else ""
    producer = template("producer.ts", facts).rstrip("\n") + "\n" if publishes else ""
    client = template("client.ts", facts | {"publisher": publisher})
    head = _HEAD.format(address=port.address)
    helpers = [text for name, text in _HELPERS.items() if any(f"{name}(" in each for each in (client, *converters))]
    parts = [*types, client, *([producer] if producer else []), _SECTION, *converters, *helpers]
    return head + "\n" + "\n".join(parts)


_SECTION: Final = (
    "// -- records as avsc has them ---------------------------------------------------------------------------\n"
)


def _enumeration(of: Enumeration) -> str:
    symbols = " | ".join(json.dumps(each) for each in of.symbols)
    return f"{_comment(of.doc, '')}export type {of.name} = {symbols};\n"


def _interface(of: RecordType) -> str:
    lines = [f"{_comment(of.doc, '')}export interface {of.name} {{"]
    for each in of.fields:
        doc = " ".join(filter(None, (each.doc, _meaning(each.type))))
        lines.append(f"{_comment(doc, '  ')}  {_property(each.name)}: {_type(each.type)};")
    return "\n".join([*lines, "}\n"])


def _type(kind: Type) -> str:
    match kind:
        case Named():
            return kind.name
        case ListOf():
            return f"Array<{_type(kind.items)}>"
        case MapOf():
            return f"Record<string, {_type(kind.values)}>"
        case OneOf():
            if (one := optional(kind)) is not None:
                return f"{_type(one)} | null"
            return " | ".join(
                "null" if each == Scalar("null") else f"{{ {json.dumps(name)}: {_type(each)} }}"
                for name, each in zip(kind.names, kind.branches, strict=True)
            )
        case Scalar():
            return _TYPES[kind.kind]


def _meaning(kind: Type) -> str:
    match kind:
        case Scalar():
            return _MEANINGS.get(kind.kind, "")
        case ListOf():
            return _meaning(kind.items)
        case MapOf():
            return _meaning(kind.values)
        case OneOf():
            return " ".join(dict.fromkeys(filter(None, map(_meaning, kind.branches))))
    return ""


def _converter(of: RecordType, verb: str, scalars: dict[str, str], enumerations: tuple[Enumeration, ...]) -> str:
    """Return the function that converts one record from or to what avsc has."""
    plain = {each.name for each in enumerations}
    given, made = ("any", of.name) if verb == "read" else (of.name, "any")
    lines = [f"function {verb}{of.name}(of: {given}): {made} {{", "  return {"]
    for each in of.fields:
        value = f"of{_access(each.name)}"
        lines.append(f"    {_property(each.name)}: {_converted(each.type, value, verb, scalars, plain)},")
    return "\n".join([*lines, "  };", "}\n"])


def _converted(kind: Type, value: str, verb: str, scalars: dict[str, str], plain: set[str]) -> str:
    def inner(part: Type, of: str) -> str:
        return _converted(part, of, verb, scalars, plain)

    match kind:
        case Named():
            return value if kind.name in plain else f"{verb}{kind.name}({value})"
        case ListOf():
            body = inner(kind.items, "each")
            return value if body == "each" else f"{value}.map((each: any) => {body})"
        case MapOf():
            body = inner(kind.values, "each")
            entries = f"Object.entries({value} as Record<string, any>)"
            return f"Object.fromEntries({entries}.map(([name, each]) => [name, {body}]))"
        case OneOf():
            return _union(kind, value, verb, inner)
        case Scalar():
            form = scalars.get(kind.kind, "$")
            return form.replace("$", value).replace("#", str(kind.scale)).replace("@", str(kind.size))


def _union(kind: OneOf, value: str, verb: str, inner: _Inner) -> str:
    if (one := optional(kind)) is not None:
        name = json.dumps(kind.names[kind.branches.index(one)])
        if verb == "read":
            return f"{value} === null ? null : {inner(one, f'{value}[{name}]')}"
        return f"{value} == null ? null : {{ {name}: {inner(one, value)} }}"
    text = "misfit()"
    for name, each in reversed(list(zip(kind.names, kind.branches, strict=True))):
        if each != Scalar("null"):
            quoted = json.dumps(name)
            body = inner(each, f"({value} as any)[{quoted}]")
            text = f"{quoted} in ({value} as any) ? {{ {quoted}: {body} }} : {text}"
    return f"{value} === null ? null : ({text})" if Scalar("null") in kind.branches else f"({text})"


def _key(port: ClientPort) -> str:
    parts = [f"keyText({json.dumps(each.name)}, record{_access(each.name)}{_lowered(each)})" for each in port.key]
    if not parts:
        return "null"
    return parts[0] if len(parts) == 1 else f'[{", ".join(parts)}].map(escaped).join("|")'


def _lowered(field: Field) -> str:
    kind = optional(field.type) or field.type
    return "?.toLowerCase()" if kind == Scalar("string-uuid") else ""


def _time(port: ClientPort) -> str:
    if port.time is None:
        return "new Date().toISOString()"
    value = f"record{_access(port.time.name)}"
    if port.time.type == Scalar("long-timestamp-micros"):
        return f"microsText({value})"
    return f"{value}.toISOString()"


def _property(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)


def _access(name: str) -> str:
    return f".{name}" if _IDENTIFIER.fullmatch(name) else f"[{json.dumps(name)}]"


def _comment(doc: str, indent: str) -> str:
    """Return a comment that holds a line of other people's text; "" for none."""
    safe = doc.replace("*/", "*\\/")
    return f"{indent}/** {safe} */\n" if safe else ""
