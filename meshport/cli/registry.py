"""`meshport registry serve`, and the group of the other commands of a registry's keeper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from meshport.cli.metrics import MetricsOption
from meshport.cli.registry_backup import backup, restore
from meshport.cli.registry_changes import relay
from meshport.cli.registry_copies import export_registry, import_registry
from meshport.cli.registry_database import DatabaseUrl, database_secret
from meshport.cli.registry_keys import keys_app
from meshport.cli.signals import interrupt_on_signal

registry_app = typer.Typer(help="The registry service.", no_args_is_help=True)
registry_app.add_typer(keys_app, name="key")
registry_app.command("import")(import_registry)
registry_app.command("export")(export_registry)
registry_app.command("backup")(backup)
registry_app.command("restore")(restore)
registry_app.command("relay")(relay)


@registry_app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="The interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8081,
    database: DatabaseUrl = "sqlite:///meshport-registry.db",
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka",
            metavar="HOST:PORT",
            envvar="MESHPORT_KAFKA",
            help="The Kafka of products that are registered without one. The registry hands it to clients; it does not connect.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The registry's certificate and those above it, PEM: serve HTTPS."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The private key of that certificate, PEM, not encrypted.")
    ] = None,
    client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The authorities whose client certificates name callers, PEM.")
    ] = None,
    oidc_issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="The OpenID provider whose tokens name callers.")
    ] = None,
    oidc_audience: Annotated[str | None, typer.Option(help="What the claim aud of its tokens must have.")] = None,
    oidc_groups_claim: Annotated[
        str, typer.Option(metavar="CLAIM", help="The claim with the caller's groups; a.b looks into an object.")
    ] = "groups",
    oidc_name_claim: Annotated[str, typer.Option(metavar="CLAIM", help="The claim with the caller's name.")] = "sub",
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let callers come in that show no key, token or certificate.")
    ] = False,
    metrics: MetricsOption = None,
) -> None:
    """Run the registry alone, until interrupted.

    Without a key (`registry key create`), --oidc-issuer or --client-ca it serves this machine only.

    Example: meshport registry serve --port 8081 --database sqlite:///registry.db
    """
    try:
        from meshport_registry import OidcSettings, Settings, TlsSettings  # noqa: PLC0415 - the service is an extra
        from meshport_registry import serve as run  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"meshport", "meshport_registry"}:
            raise
        raise typer.BadParameter(f'the registry needs {error.name}: pip install "meshport[registry]"') from error
    _refuse_halves(tls_cert, tls_key, client_ca, oidc_issuer, oidc_audience)
    try:
        oidc = (
            OidcSettings(
                issuer=oidc_issuer,
                audience=oidc_audience,
                groups_claim=oidc_groups_claim,
                name_claim=oidc_name_claim,
            )
            if oidc_issuer and oidc_audience
            else None
        )
        settings = Settings(
            host=host,
            port=port,
            database=database_secret(database),
            bootstrap_servers=kafka,
            tls=TlsSettings(certificate=tls_cert, key=tls_key, client_ca=client_ca) if tls_cert and tls_key else None,
            oidc=oidc,
            allow_anonymous=allow_anonymous,
            metrics=metrics,
        )
    except ValidationError as error:
        found = error.errors(include_input=False)[0]
        option = "--oidc-issuer" if found["loc"][0] == "issuer" else "--database"
        raise typer.BadParameter(found["msg"].removeprefix("Value error, "), param_hint=option) from None
    interrupt_on_signal()  # uvicorn raises the signal again once it has shut down; SIGTERM would then kill the process
    run(settings)


def _refuse_halves(
    tls_cert: Path | None, tls_key: Path | None, client_ca: Path | None, issuer: str | None, audience: str | None
) -> None:
    """Refuse an option that needs another one.

    Raises:
        typer.BadParameter: the other one is missing.
    """
    needs = (
        ("--tls-cert", tls_cert, "--tls-key", tls_key),
        ("--tls-key", tls_key, "--tls-cert", tls_cert),
        ("--client-ca", client_ca, "--tls-cert", tls_cert),
        ("--oidc-issuer", issuer, "--oidc-audience", audience),
        ("--oidc-audience", audience, "--oidc-issuer", issuer),
    )
    for option, given, other, needed in needs:
        if given and not needed:
            raise typer.BadParameter(f"{option} needs {other}", param_hint=option)
