"""`meshport generate`: the types of a port's contract, its publisher and its subscriber, as source code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.output import emit, say
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.generate.languages import Language, client_files, write_files


def generate(
    address: AddressArgument,
    language: Annotated[Language, typer.Option("--language", help="The language of the source code.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Where the files are written; earlier ones are replaced.")
    ],
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Write a typed client of a port as source code: types, a publisher, a subscriber.

    The client is of the port's present major line. Readers get each record in the types of the files, whatever version of the
    contract it was written with; after a change that they need, the command is run again.

    Examples:
        meshport generate shop/orders --language python --output clients
        meshport generate shop/orders --language java --output clients/orders
    """
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
    written = write_files(output, client_files(binding, language))
    if json:
        for file, anew in written.items():
            emit({"file": str(file), "written": anew})
    say(f"{output}: {binding.address} in {len(written)} files, {sum(written.values())} of them written anew")
