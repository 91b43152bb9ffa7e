"""New projects and new products: files that work as they are, and that a person goes on from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import yaml

from meshport.address import Address
from meshport.errors import ProjectError
from meshport.infer import MOMENT, record_name
from meshport.product import Archetype, OutputPort, Processing, parse_product
from meshport.project import FOLDERS, Project
from meshport.schema import Schema, parse_schema

_GITIGNORE: Final = "# the mesh that `meshport up` runs here: its events, its registry\n.meshport/\n"
_COMMON: Final = """# Shared types

One `.avsc` each: a named type that contracts refer to by its full name, or a polyseme, a global identifier that
contracts link to by `"polyseme"`:

    {"type": "string", "polyseme": "customer_id", "doc": "The customer, in every domain."}
"""


def init_project(folder: Path) -> list[Path]:
    """Make a mesh project of a folder; what is there already stays as it is.

    Returns:
        The files and folders that were made.

    Raises:
        ProjectError: the folder stands inside of another project, or a file is where a folder has to be.
    """
    folder = folder.resolve()
    try:
        around = Project.find(folder)
    except ProjectError:
        around = None
    if around is not None and around.root != folder:
        raise ProjectError(
            f"{folder} stands in the project {around.root} already", hint="`meshport new` adds a product to it"
        )
    made = []
    for name in ("", *FOLDERS, "schemas/common"):
        if (folder / name).exists() and not (folder / name).is_dir():
            raise ProjectError(f"{folder / name} is a file; a project has a folder there")
    for name in (*FOLDERS, "schemas/common"):
        if not (folder / name).is_dir():
            (folder / name).mkdir(parents=True)
            made.append(folder / name)
    for name, text in ((".gitignore", _GITIGNORE), ("schemas/common/README.md", _COMMON)):
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")
            made.append(folder / name)
    return made


@dataclass(frozen=True)
class Draft:
    """What a new product is to be.

    Attributes:
        address: of the product.
        archetype: of the product.
        owner: the team that answers for it.
        description: one sentence.
        schema: the contract of its port.
        key: fields of the record key.
        time: the field that says when a fact happened.
        compacted: whether the port keeps the last record of each key.
        inputs: address to the fields that are read.
        processing: how it is built; None for a source-aligned product.
    """

    address: Address
    archetype: Archetype
    owner: str
    description: str
    schema: Schema
    key: tuple[str, ...] = ()
    time: str | None = None
    compacted: bool = False
    inputs: Mapping[Address, Sequence[str]] | None = None
    processing: Processing | None = None


def write_product(project: Project, draft: Draft) -> list[Path]:
    """Write a product's descriptor and contract into a project.

    Returns:
        The files that were made.

    Raises:
        ProjectError: one of them exists; nothing is overwritten.
        DescriptorError: the draft makes no product.
    """
    text = _yaml(_descriptor(draft))
    product = parse_product(text, file="the new product.yaml")
    port = product.default_port
    descriptor = project.product_folder(product) / "product.yaml"
    contract = project.schema_file(product, port)
    for file in (descriptor, contract):
        if file.exists():
            raise ProjectError(f"{file} exists already", hint="nothing is overwritten; remove it first, or edit it")
    for file, content in ((contract, _pretty(draft.schema)), (descriptor, text)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return [descriptor, contract]


def template_schema(address: Address) -> Schema:
    """The contract of a product of which nothing is known yet: an identifier and a time, to go on from."""
    name, namespace = record_name(address)
    fields = [
        {"name": "id", "type": "string", "doc": "What the fact is about."},
        {"name": "happened_at", "type": MOMENT, "doc": "When it happened."},
    ]
    form = {"type": "record", "name": name, "namespace": namespace, "fields": fields}
    return parse_schema(json.dumps(form))


def fields_read(processing: Processing, schema: Schema, time: str | None) -> list[str]:
    """The input's fields that a declared process reads, in the schema's order."""
    words: set[str] = {time} if time else set()
    for step in processing.steps:
        text = json.dumps(step.model_dump(mode="json", exclude_none=True))
        words.update(re.findall(r"[A-Za-z_]\w*", text))
    return [name for name in schema.field_names if name in words]


def _descriptor(draft: Draft) -> dict[str, Any]:
    port: dict[str, Any] = {"name": OutputPort().name}
    if draft.key:
        port["key"] = draft.key[0] if len(draft.key) == 1 else list(draft.key)
    if draft.time:
        port["time"] = draft.time
    if draft.compacted:
        port["cleanup"] = "compact"
    document: dict[str, Any] = {
        "address": str(draft.address),
        "id": str(uuid4()),
        "archetype": str(draft.archetype),
        "displayName": draft.address.product.replace("-", " ").capitalize(),
        "description": draft.description,
        "owner": draft.owner,
    }
    if draft.inputs:
        document["inputPorts"] = [
            {"address": str(address)} | ({"fields": list(fields)} if fields else {})
            for address, fields in draft.inputs.items()
        ]
    document["outputPorts"] = [port]
    if draft.processing:
        document["process"] = draft.processing.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
    return document


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _pretty(schema: Schema) -> str:
    return json.dumps(schema.form, indent=2, ensure_ascii=False) + "\n"
