"""`meshport resolve`, `search`, `readers` and `registry serve`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from meshport.address import Address
from meshport.catalog import ProductSummary
from meshport.cli.output import emit, emit_text, say, table
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.registry import Registry

_PAGE: Final = 1000
registry_app = typer.Typer(help="The registry service.", no_args_is_help=True)


def resolve(address: AddressArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Show the binding of an address: its topic, cluster, key and schema.

    Example: meshport resolve shop/orders --json
    """
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
    facts = binding.model_dump(mode="json")
    if json:
        emit(facts)
        return
    shown = {
        name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in facts.items() if value
    }
    table([], [[name, value] for name, value in shown.items()])


def search(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Found in address, description, owner or tags.")] = "",
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """List the mesh's data products.

    Example: meshport search orders
    """
    with open_registry(registry) as mesh:
        found = list(_pages(mesh, text))
    if json:
        for each in found:
            emit(each.model_dump(mode="json"))
        return
    if not found:
        say(f"no product has {text!r} in it" if text else "no product is registered")
        return
    rows = [[each.address.key, str(each.archetype), str(each.status), each.owner, each.description] for each in found]
    table(["address", "archetype", "status", "owner", "description"], rows)


def _pages(mesh: Registry, text: str) -> Iterator[ProductSummary]:
    offset = 0
    while True:
        page = mesh.search(text, offset=offset, limit=_PAGE)
        yield from page.items
        offset += len(page.items)
        if offset >= page.total or not page.items:
            return


def readers(address: AddressArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """List the products that read a port, and the fields that they read.

    Example: meshport readers shop/orders
    """
    with open_registry(registry) as mesh:
        found = mesh.readers(Address.parse(address))
    if not found and not json:
        say(f"nobody reads {address}")
    for each in found:
        if json:
            emit(each.model_dump(mode="json"))
        else:
            emit_text(f"{each.address.key}  reads {', '.join(each.fields) or 'everything'}  ({each.owner})")


@registry_app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="The interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8081,
    database: Annotated[
        str, typer.Option(metavar="URL", help="sqlite:///file.db or postgresql://user:password@host/name")
    ] = "sqlite:///meshport-registry.db",
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka",
            metavar="HOST:PORT",
            envvar="MESHPORT_KAFKA",
            help="The Kafka of products that are registered without one. The registry hands it to clients; it does not connect.",
        ),
    ] = None,
) -> None:
    """Run the registry alone, until interrupted.

    Example: meshport registry serve --port 8081 --database sqlite:///registry.db
    """
    try:
        from meshport_registry import Settings  # noqa: PLC0415 - the service is an extra, and nothing else needs it
        from meshport_registry import serve as run  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"meshport", "meshport_registry"}:
            raise
        raise typer.BadParameter(f'the registry needs {error.name}: pip install "meshport[registry]"') from error
    try:
        settings = Settings(host=host, port=port, database=database, bootstrap_servers=kafka)
    except ValidationError as error:
        found = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(found, param_hint="--database") from None
    run(settings)
