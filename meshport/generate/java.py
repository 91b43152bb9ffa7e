"""Java: a Maven module whose classes Apache's own compiler makes of the contract, and a class for the port, on kafka-clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from meshport.generate.client_port import ClientPort, template
from meshport.generate.contract import Field, Scalar, documented, optional

__all__ = ["java_files"]

_ESCAPES: Final = {"\\": "&#92;", "*/": "*&#47;"}  # java reads escapes in comments, too
_KEY_TEXT: Final = """
  private static String keyText(String name, Object value) {
    String text = value == null ? "" : value.toString();
    if (text.isEmpty()) {
      throw new IllegalArgumentException("the key field " + name + " has no value");
    }
    return text;
  }
"""
_ESCAPED: Final = """
  private static String escaped(String text) {
    return text.replace("\\\\", "\\\\\\\\").replace("|", "\\\\|");
  }
"""


def java_files(port: ClientPort) -> dict[Path, str]:
    """Return the Maven module of a port: `pom.xml`, the contract, and the class of the port beside its record's."""
    namespace, _, root = port.contract.root.full_name.rpartition(".")
    folder = Path(*namespace.split(".")) if namespace else Path()
    name = f"{root}Port"
    facts = port.facts | {
        "domain": port.address.domain,
        "artifact": f"{port.file_name}-client",
        "root": root,
        "port": name,
        "package": f"\npackage {namespace};\n" if namespace else "",
        "key": _key(port),
        "key_text": _KEY_TEXT + (_ESCAPED if len(port.key) > 1 else "") if port.key else "",
        "time": _time(port),
    }
    publisher = template("Publisher.java", facts).rstrip("\n") + "\n" if port.unpublished is None else ""
    return {
        Path("pom.xml"): template("pom.xml", facts),
        Path("src/main/avro") / f"{port.file_name}.avsc": json.dumps(
            documented(port.contract.schema.form, _ESCAPES), indent=2
        )
        + "\n",
        Path("src/main/java") / folder / f"{name}.java": template("Port.java", facts | {"publisher": publisher}),
    }


def _key(port: ClientPort) -> str:
    parts = [f"keyText({json.dumps(each.name)}, {_value(port, each)}){_lowered(each)}" for each in port.key]
    if not parts:
        return "null"
    return parts[0] if len(parts) == 1 else ' + "|" + '.join(f"escaped({each})" for each in parts)


def _lowered(field: Field) -> str:
    kind = optional(field.type) or field.type
    return ".toLowerCase(java.util.Locale.ROOT)" if kind == Scalar("string-uuid") else ""


def _time(port: ClientPort) -> str:
    return "Instant.now()" if port.time is None else f"((Instant) {_value(port, port.time)})"


def _value(port: ClientPort, field: Field) -> str:
    """Return the value of a field by its position: the names of getters are the compiler's."""
    return f"data.get({port.contract.root.fields.index(field)})"
