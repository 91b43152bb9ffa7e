"""`meshport login` and `logout`: the logins of this user at registries."""

from __future__ import annotations

import sys
import threading
import time
import webbrowser
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import SecretStr

from meshport.cli.output import emit, say
from meshport.cli.session import JsonOption, RegistryOption, url_of_registry
from meshport.errors import LoginRefused, MeshError, RegistrationRefused
from meshport.registry import Registry
from meshport.registry.browser_login import browser_login
from meshport.registry.kept_logins import KeptLogin, KeptLogins
from meshport.registry.login import kept_token, registry_login, safe_to_log_in
from meshport.registry.openid import OpenIdClient, OpenIdProvider, OpenIdTokens
from meshport.registry.requests import registry_url

_PERSON_S: Final = 300.0
_UNAUTHORIZED: Final = 401


def login(
    oidc_issuer: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The OpenID provider of people; by default that of the last login."),
    ] = None,
    oidc_client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The id of this command there: a public client.")
    ] = None,
    oidc_audience: Annotated[
        str | None,
        typer.Option(
            metavar="AUDIENCE",
            help="The registry's, where the provider gives access tokens for it; else the ID token is shown.",
        ),
    ] = None,
    oidc_scope: Annotated[str, typer.Option(metavar="SCOPES", help="What the provider is asked for.")] = "openid",
    device: Annotated[bool, typer.Option("--device", help="Log in with the browser of another machine.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Has an API key or a token, and is read for each request; with - it is read once, from standard input.",
        ),
    ] = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Log in to a registry, and keep the login for the commands of this user.

    A person logs in at an OpenID provider, with a browser. A service has an API key, in a file or in MESHPORT_REGISTRY_TOKEN,
    which wins over what is kept here.

    Example: meshport login --oidc-issuer https://login.example.com --oidc-client-id meshport
    """
    url = registry_url(url_of_registry(registry))
    safe_to_log_in(url)
    logins = KeptLogins()
    if token_file is not None:
        if oidc_issuer or oidc_client_id or oidc_audience or device:
            raise typer.BadParameter("a token is no login at an OpenID provider; give one", param_hint="--token-file")
        kept = _by_token(url, token_file)
    else:
        client = _client(logins.find(url), oidc_issuer, oidc_client_id, oidc_audience, oidc_scope)
        with OpenIdProvider(client) as provider:
            tokens = _by_device(provider) if device else _by_browser(provider)
        kept = KeptLogin(registry=url, client=client).with_tokens(tokens)
    _try(url, kept, logins)
    logins.keep(kept)
    if json:
        ends_at = None if kept.ends_at is None else datetime.fromtimestamp(int(kept.ends_at), UTC)
        emit({"registry": url, "renewed": kept.refresh is not None, "ends_at": ends_at})
    elif kept.ends_at is None or kept.refresh is not None:
        say(f"logged in to {url}")
    else:
        say(f"logged in to {url} until {datetime.fromtimestamp(int(kept.ends_at), UTC):%Y-%m-%d %H:%M} UTC")


def logout(registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Forget the login of a registry, and end it at its OpenID provider.

    Example: meshport logout --registry https://registry.example.com
    """
    url = registry_url(url_of_registry(registry))
    logins = KeptLogins()
    kept = None
    try:
        kept = logins.find(url)
    finally:
        logins.forget(url)
    failed = None
    if kept is not None and kept.client is not None and kept.refresh is not None:
        try:
            with OpenIdProvider(kept.client) as provider:
                provider.revoke(kept.refresh)
        except MeshError as error:
            failed = error.message
    if json:
        emit({"registry": url, "was_logged_in": kept is not None, "not_ended": failed})
    elif failed:
        say(f"forgot the login at {url}; it is not ended at its provider: {failed}")
    else:
        say(f"logged out of {url}" if kept is not None else f"there was no login at {url}")


def _by_token(url: str, file: Path) -> KeptLogin:
    if str(file) != "-":
        return KeptLogin(registry=url, token_file=file.resolve())
    text = sys.stdin.readline().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise typer.BadParameter("standard input has no token in its first line", param_hint="--token-file")
    return KeptLogin(registry=url, token=SecretStr(text))


def _client(
    last: KeptLogin | None, issuer: str | None, client_id: str | None, audience: str | None, scope: str
) -> OpenIdClient:
    known = last.client if last else None
    if issuer is None and client_id is None and audience is None and known is not None:
        return known
    if not issuer or not client_id:
        raise typer.BadParameter(
            "who gives the login? --oidc-issuer URL and --oidc-client-id ID for a person, --token-file FILE for an API key"
        )
    return OpenIdClient(issuer=issuer, client_id=client_id, audience=audience, scope=scope)


def _by_browser(provider: OpenIdProvider) -> OpenIdTokens:
    def open_page(url: str) -> None:
        say(f"log in with your browser: {url}")
        # A browser that is a program of the terminal returns when it is closed.
        threading.Thread(target=_show, args=(url,), daemon=True).start()

    return browser_login(provider, open_page, timeout_s=_PERSON_S)


def _show(url: str) -> None:
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


def _by_device(provider: OpenIdProvider) -> OpenIdTokens:
    prompt = provider.begin_device()
    say(f"open {prompt.url} in any browser, and enter {prompt.code}")
    if prompt.complete_url:
        say(f"or open {prompt.complete_url}")
    say(f"within {max(1, round((prompt.ends_at - time.time()) / 60))} minutes")
    return provider.await_device(prompt)


def _try(url: str, kept: KeptLogin, logins: KeptLogins) -> None:
    """Ask the registry for something.

    Raises:
        LoginRefused: it does not take the login.
        RegistryUnavailable: it does not answer.
    """
    token = kept.token if kept.client is not None else kept_token(logins, kept)
    try:
        with Registry(url, login=registry_login(url, token=token)) as mesh:
            mesh.search(limit=1)
    except RegistrationRefused as error:
        if error.status == _UNAUTHORIZED:
            raise LoginRefused(
                f"{url} does not take the login: {error.message}", url=url, status=error.status, hint=error.hint
            ) from error
