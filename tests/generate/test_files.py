"""What the files of every language have in common, and those of C#, which nothing here compiles."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from meshport.binding import Binding
from meshport.errors import SchemaError
from meshport.generate.languages import Language, client_files
from meshport.schema import parse_schema
from tests.generate.shipments import PORT, SHIPMENT
from tests.mesh_session import Mesh


@pytest.fixture(scope="module")
def binding(in_memory_mesh: Mesh) -> Binding:
    """A port of shipments."""
    return in_memory_mesh.product(SHIPMENT, name="shipments", **PORT)


def undocumented(form: Any) -> Any:
    """Return a schema without its documentation."""
    if isinstance(form, dict):
        return {name: undocumented(each) for name, each in form.items() if name != "doc"}
    return [undocumented(each) for each in form] if isinstance(form, list) else form


@pytest.mark.parametrize("language", list(Language))
def test_nothing_is_left_out(binding: Binding, language: Language) -> None:
    """The files name the address and have no place left that a template leaves for a name; a second run gives the same."""
    files = client_files(binding, language)
    assert any(str(binding.address) in text for text in files.values())
    for text in files.values():
        assert re.findall(r"__[A-Z][A-Z_]*__", text) == []
        assert text.endswith("\n")
    assert client_files(binding, language) == files


@pytest.mark.parametrize("language", [each for each in Language if each is not Language.PYTHON])
@pytest.mark.parametrize("port", [{"key": "weight"}, {"key": "customer", "time": "due"}])
def test_a_key_that_languages_write_differently_is_only_read(
    binding: Binding, language: Language, port: dict[str, str]
) -> None:
    """Where the text of the key is up to the language, or the time is no timestamp, there is no publisher."""
    given = {"key": (port["key"],), "time": port.get("time")}
    reading = client_files(binding.model_copy(update=given), language)
    publishing = client_files(binding, language)
    assert not any(re.search(r"\bpublish\(|\bPublish\(", text) for text in reading.values())
    assert any(re.search(r"\bpublish\(|\bPublish\(", text) for text in publishing.values())


def test_a_schema_without_fields_has_no_client(binding: Binding) -> None:
    """Events that are no records are refused with what would be right."""
    with pytest.raises(SchemaError, match="is no record"):
        client_files(binding.model_copy(update={"schema_text": '"string"'}), Language.GO)


def test_the_project_of_csharp(binding: Binding) -> None:
    """The project file is XML and names the contract, whose documentation is text of XML and whose types are the port's."""
    files = client_files(binding, Language.CSHARP)
    (project,) = (text for name, text in files.items() if name.suffix == ".csproj")
    (contract,) = (name for name in files if name.suffix == ".avsc")
    commands = [each.attrib["Command"] for each in ET.fromstring(project).iter("Exec")]
    assert [str(contract) in each for each in commands] == [True]
    written = json.loads(files[contract])
    assert undocumented(parse_schema(files[contract]).form) == undocumented(parse_schema(binding.schema_text).form)
    assert ET.fromstring(f"<doc>{written['doc']}</doc>").text
    source = files[Path("ShipmentPort.cs")]
    assert source.count("{") - source.count("}") == 0
