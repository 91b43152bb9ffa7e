"""C#: a project whose classes Apache Avro's compiler makes of the contract, and a class for the port, on Confluent's client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from meshport.generate.client_port import ClientPort, template
from meshport.generate.contract import Field, Scalar, documented, optional

__all__ = ["csharp_files"]

_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # comments are XML
_KEY_TEXT: Final = """
    private static string KeyText(string name, object value)
    {
        string text = value is bool ? ((bool)value ? "true" : "false") : Convert.ToString(value, CultureInfo.InvariantCulture);
        if (string.IsNullOrEmpty(text))
        {
            throw new ArgumentException("the key field " + name + " has no value");
        }
        return text;
    }
"""
_ESCAPED: Final = """
    private static string Escaped(string text)
    {
        return text.Replace("\\\\", "\\\\\\\\").Replace("|", "\\\\|");
    }
"""


def csharp_files(port: ClientPort) -> dict[Path, str]:
    """Return the project of a port: the project file, the contract, and the class of the port."""
    namespace, _, root = port.contract.root.full_name.rpartition(".")
    name = f"{root}Port"
    facts = port.facts | {
        "root": root,
        "port": name,
        "file": port.file_name,
        "open": f"namespace {namespace}\n{{" if namespace else "",
        "close": "}" if namespace else "",
        "key": _key(port),
        "key_text": _KEY_TEXT + (_ESCAPED if len(port.key) > 1 else "") if port.key else "",
        "time": _time(port),
    }
    publisher = template("Publisher.cs", facts).rstrip("\n") + "\n" if port.unpublished is None else ""
    contract = json.dumps(documented(port.contract.schema.form, _ESCAPES), indent=2) + "\n"
    return {
        Path(f"{port.class_name}.csproj"): template("client.csproj", facts),
        Path(f"{port.file_name}.avsc"): contract,
        Path(f"{name}.cs"): template("Port.cs", facts | {"publisher": publisher}).rstrip("\n") + "\n",
    }


def _key(port: ClientPort) -> str:
    parts = [f"KeyText({json.dumps(each.name)}, {_value(port, each)}){_lowered(each)}" for each in port.key]
    if not parts:
        return "null"
    return parts[0] if len(parts) == 1 else ' + "|" + '.join(f"Escaped({each})" for each in parts)


def _lowered(field: Field) -> str:
    kind = optional(field.type) or field.type
    return ".ToLowerInvariant()" if kind == Scalar("string-uuid") else ""


def _time(port: ClientPort) -> str:
    return "DateTime.UtcNow" if port.time is None else f"(DateTime){_value(port, port.time)}"


def _value(port: ClientPort, field: Field) -> str:
    """Return the value of a field by its position: the names of properties are the compiler's."""
    return f"data.Get({port.contract.root.fields.index(field)})"
