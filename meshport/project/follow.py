"""The contract of a derived product, changed so that it has the fields that the product's process makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshport.errors import ProjectError, SchemaError
from meshport.expression.types import Type, nullable, record_types
from meshport.process.logic.load import load_pipeline
from meshport.process.logic.misfit import RecordMisfit, misfit, shown_type
from meshport.process.logic.shape import derive_schema
from meshport.project.check import Contracts
from meshport.project.project import Project, ProjectProduct
from meshport.schema import parse_schema


@dataclass(frozen=True)
class Followed:
    """A contract's Avro file after it was changed.

    Attributes:
        file: the path.
        text: the new content.
        changes: what changed, in words.
    """

    file: Path
    text: str
    changes: tuple[str, ...]


def follow_process(project: Project, product: ProjectProduct, contracts: Contracts) -> Followed | None:
    """Return the contract of a product as its declared process needs it; None where it fits already.

    Fields that are made and fit stay as they are written, with their documentation. Where the port is registered, a new
    field is nullable with default null, since stored events do not have it.

    Args:
        project: of the product.
        product: any product of it.
        contracts: of its inputs.

    Raises:
        ProcessError: the process cannot be loaded, reads a field that an input does not have, or has a Python function
            make a field, whose type is not known.
        ProjectError: the file is not plain JSON, so that its comments would be lost.
        NotRegistered, RegistryUnavailable: the contract of an input cannot be found.
    """
    descriptor = product.product
    if descriptor.process is None:
        return None
    port = descriptor.port() or descriptor.default_port
    output, file = product.schema(port), project.schema_file(descriptor, port)
    pipeline = load_pipeline(descriptor, product.folder)
    tables = {each: contracts.find(each).schema for each in pipeline.joined}
    made = derive_schema(pipeline, output.name, contracts.find(pipeline.input).schema, tables)
    types, _ = record_types(made)
    found = misfit(types, output)
    if not found:
        return None
    changes = _changes(found, types)
    document = _plain_json(file, changes)
    stored = contracts.is_registered(descriptor.port_address(port))
    refused = SchemaError(f"{file} has no fields", source=str(file))
    # A type that the file defines or shares is named; one that it does not have yet is defined where it is first used.
    for kinds in (types, {str(each["name"]): each["type"] for each in made.fields}):
        new = {name: nullable(kinds[name]) if stored else kinds[name] for name in found.added}
        changed = _changed(document, found, {**kinds, **new})
        text = json.dumps(changed, indent=2, ensure_ascii=False) + "\n"
        try:
            parse_schema(text, common=project.common, source=str(file))
        except SchemaError as error:
            refused = error
        else:
            return Followed(file, text, changes)
    raise refused


def _plain_json(file: Path, changes: tuple[str, ...]) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProjectError(
            f"{file} is not plain JSON, so that writing it would lose its comments",
            file=str(file),
            hint=f"edit it: {'; '.join(changes)}",
        ) from error
    return document


def _changed(document: Mapping[str, Any], found: RecordMisfit, types: Mapping[str, Type]) -> dict[str, Any]:
    fields = []
    for field in document["fields"]:
        if field["name"] in found.retyped:
            fields.append({**_without_default(field), **_field(field["name"], types[field["name"]])})
        elif field["name"] not in found.unmade:
            fields.append(field)
    return {**document, "fields": [*fields, *(_field(name, types[name]) for name in found.added)]}


def _without_default(field: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in field.items() if key != "default"}


def _field(name: str, kind: Type) -> dict[str, Any]:
    default = {"default": None} if isinstance(kind, list) and kind[0] == "null" else {}
    return {"name": name, "type": kind, **default}


def _changes(found: RecordMisfit, types: Mapping[str, Type]) -> tuple[str, ...]:
    return (
        *(f"{name} ({shown_type(types[name])}) is added" for name in found.added),
        *(f"{name} is taken out" for name in found.unmade),
        *(f"{name} is {shown_type(kind)}, no longer {shown_type(old)}" for name, (kind, old) in found.retyped.items()),
    )
