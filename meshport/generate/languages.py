"""The languages that a client can be generated in, and the files of one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from meshport.binding import Binding
from meshport.errors import FileError
from meshport.generate.client_port import ClientPort
from meshport.generate.contract import ContractTypes
from meshport.generate.csharp import csharp_files
from meshport.generate.go import GO_NAMES, go_files
from meshport.generate.java import java_files
from meshport.generate.python import python_files
from meshport.generate.typescript import TYPESCRIPT_NAMES, typescript_files
from meshport.schema import parse_schema

__all__ = ["Language", "client_files", "write_files"]


class Language(StrEnum):
    """A language of clients."""

    PYTHON = "python"
    TYPESCRIPT = "typescript"
    JAVA = "java"
    GO = "go"
    CSHARP = "csharp"


def client_files(binding: Binding, language: Language) -> dict[Path, str]:
    """Return the source files of a port's client, by their paths.

    Args:
        binding: of the port.
        language: of the client.

    Raises:
        SchemaError: the events of the port are no records.
    """
    schema = parse_schema(binding.schema_text, source=f"the schema of {binding.address}")
    match language:
        case Language.PYTHON:
            return python_files(binding, ContractTypes(schema))
        case Language.TYPESCRIPT:
            return typescript_files(ClientPort(binding, ContractTypes(schema, TYPESCRIPT_NAMES)))
        case Language.JAVA:
            return java_files(ClientPort(binding, ContractTypes(schema)))
        case Language.GO:
            return go_files(ClientPort(binding, ContractTypes(schema, GO_NAMES)))
        case Language.CSHARP:
            return csharp_files(ClientPort(binding, ContractTypes(schema)))


def write_files(folder: Path, files: dict[Path, str]) -> dict[Path, bool]:
    """Write files where their texts differ; return for each whether it was written.

    Args:
        folder: in which they are; it is made where it is missing.
        files: their texts, by path in the folder.

    Raises:
        FileError: a file cannot be written.
    """
    written = {}
    for name, text in files.items():
        file = folder / name
        try:
            written[file] = not file.is_file() or file.read_text(encoding="utf-8") != text
            if written[file]:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        except (OSError, ValueError) as error:
            raise FileError(f"{file} cannot be written: {error}", hint="--output names a folder that can") from error
    return written
