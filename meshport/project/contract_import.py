"""Write a product that contracts of another standard describe into a project."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from meshport.address import Address
from meshport.errors import FileError, ProjectError
from meshport.export.odcs_import import ImportedProduct, import_contracts, read_contract
from meshport.product import Product, parse_product
from meshport.product.yaml_file import YamlError, dump, load
from meshport.project.project import Project
from meshport.project.scaffold import EDITOR_SCHEMA
from meshport.schema.names import is_plain_name


def read_contracts(files: Sequence[Path], address: Address | None = None) -> ImportedProduct:
    """Read ODCS contracts of one product, in YAML or JSON.

    Args:
        files: the contracts; the first one says what the product is.
        address: of the product; by default the one that the first contract names.

    Raises:
        AddressError: the contracts name no address of a product.
        FileError: a file cannot be read, or is not YAML.
        SchemaError: a file is no contract, or contradicts itself.
    """
    contracts = {}
    for file in files:
        try:
            contracts[str(file)] = read_contract(load(file.read_text(encoding="utf-8")), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"the file cannot be read: {error}", file=str(file)) from error
        except YamlError as error:
            raise FileError(f"the file is not YAML: {error.problem}", file=str(file), line=error.line) from error
    return import_contracts(contracts, address)


def write_imported(project: Project, imported: ImportedProduct) -> list[Path]:
    """Write the descriptor and the contracts of an imported product into a project.

    Returns:
        The files that were created.

    Raises:
        DescriptorError: the contracts give no valid product.
        ProjectError: one of the files exists; nothing is overwritten.
    """
    text = f"# yaml-language-server: $schema=../../../{EDITOR_SCHEMA}\n" + dump(imported.descriptor, width=110)
    product = parse_product(text, file="the imported product.yaml")
    contents = {project.product_folder(product) / "product.yaml": text, **_contracts(project, product, imported)}
    contents |= _polysemes(project, imported)
    for file in contents:
        if file.exists():
            raise ProjectError(f"{file} exists already", hint="nothing is overwritten; remove it first, or edit it")
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return list(contents)


def _polysemes(project: Project, imported: ImportedProduct) -> dict[Path, str]:
    """Return declarations of the polysemes that the contracts link to and the project does not have."""
    found: dict[Path, str] = {}
    stack = [each.form for each in imported.schemas.values()]
    while stack:
        form = stack.pop()
        if isinstance(form, list):
            stack += form
        elif isinstance(form, dict):
            name = form.get("polyseme")
            if isinstance(name, str) and is_plain_name(name) and name not in project.common.polysemes:
                declared = {"type": form["type"], "polyseme": name}
                found[project.root / "schemas/common" / f"{name}.avsc"] = json.dumps(declared, indent=2) + "\n"
            stack += [form[key] for key in ("items", "values") if key in form]
            stack += [each["type"] for each in form.get("fields", ())]
    return found


def _contracts(project: Project, product: Product, imported: ImportedProduct) -> dict[Path, str]:
    return {
        project.schema_file(product, port): json.dumps(schema.form, indent=2, ensure_ascii=False) + "\n"
        for port in product.output_ports
        for schema in (imported.schemas[f"{port.name}@{port.major}"],)
    }
