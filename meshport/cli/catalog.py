"""`meshport catalog`: the mesh as pages, in the browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from meshport.address import Address
from meshport.cli.output import emit, emit_text, say
from meshport.cli.session import JsonOption, RegistryOption, open_registry


def catalog(
    address: Annotated[
        str | None,
        typer.Argument(metavar="[ADDRESS]", help="The product whose page is opened; by default the home page."),
    ] = None,
    registry: RegistryOption = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, or only print its URL.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Open the mesh's data products as pages in the browser.

    The URL is printed as well. A registry that knows its callers asks the browser for an API key or a token.

    Example: meshport catalog shop/orders
    """
    with open_registry(registry) as mesh:
        url = f"{mesh.url}/"
        if address is None:
            mesh.health()
        else:
            product = Address.parse(address).of_product
            mesh.product(product)
            url = f"{mesh.url}/catalog/products/{product.domain}/{product.product}"
    if json:
        emit({"url": url})
    else:
        emit_text(url)
    opened = False
    if browser:
        with suppress(webbrowser.Error, OSError):
            opened = webbrowser.open(url)
        if not opened:
            say("no browser could be opened here: open the URL yourself")
