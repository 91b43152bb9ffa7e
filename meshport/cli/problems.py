"""`meshport problems`: reports of what is wrong with a product, between its readers and its owner."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from meshport.address import Address
from meshport.cli.arguments import fitting
from meshport.cli.output import emit, say, table
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.problems import ProblemAnswerText, ProblemClosing, ProblemReport, ProblemReportRequest

problems_app = typer.Typer(no_args_is_help=True)

NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Of the report, as `list` shows it.", min=1)]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="What was done, or why nothing is; `list --all` shows it.")
]


@problems_app.callback()
def _problems() -> None:
    """Problem reports on products: opened by readers, answered and closed by owners.

    Each step is an event of mesh/changes, by which the other readers get news of it.

    Example: meshport problems list shop/orders
    """


@problems_app.command("open")
def open_(
    address: Annotated[str, typer.Argument(help="The product or the port: shop/orders, shop/orders/events@1.")],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="What is wrong, in one line.")],
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="What was seen, where and since when.")
    ] = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Report a problem of a product that the caller may read.

    Example: meshport problems open shop/orders --title "no orders since noon"
    """
    with fitting(title="--title", text="--text"):
        wanted = ProblemReportRequest(address=Address.parse(address), title=title, text=text)
    with open_registry(registry) as mesh:
        found = mesh.problems.open(wanted)
    say(f"problem {found.id} of {found.address.key}: {found.owner} answers it")
    _emit(found, json)


@problems_app.command()
def answer(
    number: NumberArgument,
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="The answer.")],
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a report, as an owner of the product.

    Example: meshport problems answer 4 --text "the source stands still since noon; we are on it"
    """
    with fitting(text="--text"):
        ProblemAnswerText(text=text)
    with open_registry(registry) as mesh:
        found = mesh.problems.answer(number, text)
    say(f"problem {number} of {found.address.key} is answered")
    _emit(found, json)


@problems_app.command()
def close(
    number: NumberArgument, reason: ReasonOption, registry: RegistryOption = None, json: JsonOption = False
) -> None:
    """Close a report, as an owner of the product.

    Example: meshport problems close 4 --reason "the orders since noon were published again"
    """
    with fitting(reason="--reason"):
        ProblemClosing(reason=reason)
    with open_registry(registry) as mesh:
        found = mesh.problems.close(number, reason)
    say(f"problem {number} of {found.address.key} is closed")
    _emit(found, json)


@problems_app.command()
def withdraw(
    number: NumberArgument, reason: ReasonOption, registry: RegistryOption = None, json: JsonOption = False
) -> None:
    """Close a report that the caller has opened.

    Example: meshport problems withdraw 4 --reason "it was our own filter"
    """
    with fitting(reason="--reason"):
        ProblemClosing(reason=reason)
    with open_registry(registry) as mesh:
        found = mesh.problems.withdraw(number, reason)
    say(f"problem {number} of {found.address.key} is withdrawn")
    _emit(found, json)


@problems_app.command("list")
def list_problems(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Of a product or a port.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also reports that are closed.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """List the reports on a product, or on all products; newest first.

    Examples:
        meshport problems list
        meshport problems list shop/orders --all --json
    """
    wanted = None if address is None else Address.parse(address)
    with open_registry(registry) as mesh:
        found = mesh.problems.list(wanted, closed=everything)
    if json:
        for each in found:
            _emit(each, json=True)
    elif found:
        columns = ["number", "product", "state", "opened", "by", "owner", "what, and the last word"]
        table(columns, [_row(each) for each in found])
    else:
        say("no problem is reported" if everything else "no problem is open")


def _row(report: ProblemReport) -> list[str]:
    last = report.reason or (report.answers[-1].text if report.answers else report.text)
    words = "; ".join(each for each in (report.title, last) if each)
    opened = f"{report.opened_at:%Y-%m-%d %H:%M} UTC"
    return [str(report.id), report.address.key, str(report.state), opened, report.opened_by, report.owner, words]


def _emit(report: ProblemReport, json: bool) -> None:
    if json:
        facts: dict[str, Any] = report.model_dump(mode="json")
        emit(facts)
