"""`meshport export`: the mesh or one product as documents that other tools read."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.completion import addresses
from meshport.cli.output import emit, emit_text, say
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.errors import FileError
from meshport.export.formats import ExportFormat, files


def export(
    form: Annotated[ExportFormat, typer.Option("--format", help="The standard that the document follows.")],
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]",
            help="The product: shop/orders; by default every product of the mesh.",
            autocompletion=addresses,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Where the files are written; by default stdout has the document."
        ),
    ] = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Write the mesh or one product as a document that other tools read.

    jsonschema is the JSON Schema of product.yaml, and openapi is the API of the registry: these describe no single product.

    Examples:
        meshport export --format asyncapi shop/orders
        meshport export --format xregistry --output docs/mesh
    """
    wanted = None if address is None else Address.parse(address).of_product
    if wanted is not None and form.of_products is None:
        raise typer.BadParameter(f"{form} describes no single product", param_hint="ADDRESS")
    with open_registry(registry) as mesh:
        document = mesh.export(form, wanted)
    if output is None:
        emit_text(json_text.dumps(document, indent=None if json else 2, ensure_ascii=False))
        return
    written = files(form, document, "mesh" if wanted is None else f"{wanted.domain}.{wanted.product}")
    for name, text in written.items():
        _write(output / name, text)
        if json:
            emit({"file": str(output / name)})
    say(f"{output}: {len(written)} {'file' if len(written) == 1 else 'files'}")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FileError(f"{file} cannot be written: {error}", hint="--output names a folder that can") from error
