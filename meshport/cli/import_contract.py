"""`meshport import`: a contract of another standard as a product of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.output import emit, say
from meshport.cli.session import JsonOption
from meshport.project.contract_import import read_contracts, write_imported
from meshport.project.project import Project


def import_contract(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="ODCS contracts of one product, in YAML or JSON.", show_default=False),
    ],
    address: Annotated[
        str | None,
        typer.Option("--as", metavar="ADDRESS", help="The product's address; by default the one in the contract."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a product into this project from its ODCS contracts.

    A contract that `meshport export` wrote gives the same product and schemas again. Of others the product is source-aligned,
    its address is made of `domain` and `dataProduct`, and the types are those of `logicalType`. Nothing is overwritten.

    Examples:
        meshport import contracts/orders.odcs.yaml
        meshport import contract.yaml --as shop/orders
    """
    project = Project.find(Path.cwd())
    imported = read_contracts(files, None if address is None else Address.parse(address).of_product)
    for file in write_imported(project, imported):
        shown = file.relative_to(project.root)
        if json:
            emit({"file": str(shown)})
        say(f"wrote {shown}")
