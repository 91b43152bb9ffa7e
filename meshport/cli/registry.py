"""`meshport registry serve`, and the group of the other commands of a registry's keeper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from meshport.cli.metrics import MetricsOption
from meshport.cli.registry_backup import backup, restore
from meshport.cli.registry_changes import relay
from meshport.cli.registry_copies import export_registry, import_registry
from meshport.cli.registry_database import DatabaseUrl, database_secret, secret_of
from meshport.cli.registry_keys import keys_app
from meshport.cli.signals import interrupt_on_signal

# By the setting that a value is wrong for.
_OPTIONS: Final[dict[int | str, str]] = {
    "issuer": "--oidc-issuer",
    "scope": "--oidc-scope",
    "public_url": "--public-url",
}
OidcClientSecret = Annotated[
    str | None,
    typer.Option(
        metavar="SECRET",
        envvar="MESHPORT_OIDC_CLIENT_SECRET",
        help="Of that client, by reference: ${file:PATH} or ${env:NAME}. Without one it is a public client.",
    ),
]
"""The option with the secret of the registry's client at the OpenID provider."""

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
    oidc_client_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The registry's own client there: people log in to the catalog with a browser."
        ),
    ] = None,
    oidc_client_secret: OidcClientSecret = None,
    oidc_scope: Annotated[
        str, typer.Option(metavar="SCOPES", help="What such a login asks for, separated by spaces.")
    ] = "openid",
    oidc_hours: Annotated[int, typer.Option(min=1, max=168, help="After how many hours such a login ends.")] = 8,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where browsers and clients reach the registry, if not at its own host and port."
        ),
    ] = None,
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
        from meshport_registry import (  # noqa: PLC0415 - the service is an extra
            BrowserLogin,
            OidcSettings,
            Settings,
            TlsSettings,
        )
        from meshport_registry import serve as run  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"meshport", "meshport_registry"}:
            raise
        raise typer.BadParameter(f'the registry needs {error.name}: pip install "meshport[registry]"') from error
    _refuse_halves(
        ("--tls-cert", tls_cert, "--tls-key", tls_key),
        ("--tls-key", tls_key, "--tls-cert", tls_cert),
        ("--client-ca", client_ca, "--tls-cert", tls_cert),
        ("--oidc-issuer", oidc_issuer, "--oidc-audience", oidc_audience),
        ("--oidc-audience", oidc_audience, "--oidc-issuer", oidc_issuer),
        ("--oidc-client-id", oidc_client_id, "--oidc-issuer", oidc_issuer),
        ("--oidc-client-secret", oidc_client_secret, "--oidc-client-id", oidc_client_id),
    )
    client_secret = secret_of(oidc_client_secret, "--oidc-client-secret") if oidc_client_secret else None
    try:
        browser = (
            BrowserLogin(client_id=oidc_client_id, client_secret=client_secret, scope=oidc_scope, hours=oidc_hours)
            if oidc_client_id
            else None
        )
        oidc = (
            OidcSettings(
                issuer=oidc_issuer,
                audience=oidc_audience,
                groups_claim=oidc_groups_claim,
                name_claim=oidc_name_claim,
                browser=browser,
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
            public_url=public_url,
            allow_anonymous=allow_anonymous,
            metrics=metrics,
        )
    except ValidationError as error:
        found = error.errors(include_input=False)[0]
        option = _OPTIONS.get(found["loc"][0] if found["loc"] else "public_url", "--database")
        raise typer.BadParameter(found["msg"].removeprefix("Value error, "), param_hint=option) from None
    interrupt_on_signal()  # uvicorn raises the signal again once it has shut down; SIGTERM would then kill the process
    run(settings)


def _refuse_halves(*needs: tuple[str, object, str, object]) -> None:
    """Refuse an option that needs another one.

    Args:
        needs: an option and what it was given, and those of the one that it needs.

    Raises:
        typer.BadParameter: the other one is missing.
    """
    for option, given, other, needed in needs:
        if given and not needed:
            raise typer.BadParameter(f"{option} needs {other}", param_hint=option)
