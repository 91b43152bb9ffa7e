"""`meshport registry serve`, and the group of the other commands of a registry's keeper."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

registry_app = typer.Typer(help="The registry service.", no_args_is_help=True)


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
