"""`meshport counts`: how many events a source has, by its own count, so that observers see what is missing in the topic."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import typer

from meshport.address import Address
from meshport.cli.output import emit, say, table
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.rfc3339 import loose_instant
from meshport.service_levels import SourceCount

counts_app = typer.Typer(no_args_is_help=True)

PortArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="The product or the port: shop/orders, shop/orders/events@1.")
]
_FORM: Final = "%Y-%m-%d %H:%M:%S UTC"


@counts_app.callback()
def _counts() -> None:
    """A source's own counts of its events, by which completeness is measured.

    A service that knows how many facts it has of an hour or a day, such as the rows of its database, reports it after that time.
    `meshport observe` compares it with what is in the topic.

    Example: meshport counts list shop/orders
    """


@counts_app.command()
def report(
    address: PortArgument,
    count: Annotated[
        int, typer.Argument(metavar="COUNT", min=0, max=2**53, help="The events of the interval, each counted once.")
    ],
    begin: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="The first instant of the interval, by the time of the events."),
    ],
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="The first instant after the interval; it has ended.")
    ],
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Report how many events the source of a port has of an interval. Reported again, it replaces the count.

    The caller may write the product's events: its own service, or its owner. Intervals of a port do not overlap.

    Example: meshport counts report shop/orders 5210 --from 2026-11-30T10:00:00Z --to 2026-11-30T11:00:00Z
    """
    start, after = _instant(begin, "--from"), _instant(end, "--to")
    if after <= start:
        raise typer.BadParameter(f"{end} is not after {begin}, the begin of the interval", param_hint="--to")
    with open_registry(registry) as mesh:
        port = mesh.resolve(Address.parse(address)).address
        mesh.service_levels.report_count(port, start, after, count)
    say(f"{port.key}: {count} events from {start:{_FORM}} to {after:{_FORM}}, by the source's own count")
    if json:
        emit({"address": str(port), **SourceCount(start=start, end=after, count=count).model_dump(mode="json")})


@counts_app.command("list")
def list_counts(
    address: PortArgument,
    limit: Annotated[int, typer.Option(metavar="COUNT", min=1, max=1000, help="The most intervals to show.")] = 24,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """List what the source of a port reported, newest interval first.

    Example: meshport counts list shop/orders --json
    """
    with open_registry(registry) as mesh:
        port = mesh.resolve(Address.parse(address)).address
        found = mesh.service_levels.counts(port, limit=limit)
    if json:
        for each in found:
            emit({"address": str(port), **each.model_dump(mode="json")})
    elif found:
        table(
            ["from", "to", "events"],
            [[f"{each.start:{_FORM}}", f"{each.end:{_FORM}}", str(each.count)] for each in found],
        )
    else:
        say(f"the source of {port.key} has reported no count")


def _instant(text: str, flag: str) -> datetime:
    try:
        return loose_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error
