"""`meshport relay`: publishes the outbox of a service's database; and what the outbox holds."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Final

import typer

from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import FINDINGS, emit, say, table
from meshport.cli.registry_database import database_secret
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.cli.signals import stop_on_signal

DATABASE_VARIABLE: Final = "MESHPORT_OUTBOX_DATABASE"
"""The variable with the URL of a service's database."""

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar=DATABASE_VARIABLE,
        help="postgresql://user:${file:PATH}@host/name or sqlite:///file.db; ${env:NAME} is a variable.",
    ),
]
_SHOWN: Final = 20

relay_app = typer.Typer(invoke_without_command=True)


@relay_app.callback()
def relay(
    context: typer.Context,
    database: DatabaseOption = None,
    shards: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="In how many the rows are divided, each published by a thread of its own; equal for all relays of a database.",
        ),
    ] = 1,
    keep: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="For how long published rows are kept in the table.")
    ] = 600.0,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Publish the outbox of a service's database, until interrupted.

    Rows are published after their transaction has committed, those of an aggregate in their order, and marked after the broker
    has acknowledged the event. More relays of the same database stand by, and take over when one ends.

    Example: meshport relay --database postgresql://shop:${env:PASSWORD}@localhost/shop
    """
    if context.invoked_subcommand is not None:
        return
    from meshport.outbox.relay import Relay  # noqa: PLC0415 - slow to import

    url = database_url(database)
    kafka = open_clusters(kafka_config, registry=registry)
    stopped = stop_on_signal()
    with open_registry(registry) as mesh:
        work = Relay(url, mesh, kafka=kafka, shards=shards, keep_s=keep)
        with serving_metrics(metrics, work.readiness):
            work.run(stopped)


@relay_app.command()
def status(database: DatabaseOption = None, json: JsonOption = False) -> None:
    """Show what waits in an outbox, what blocks it, and which relays publish it.

    Ends with 1 where an aggregate is blocked. A blocked aggregate is tried again every half a minute; to give its first event
    up, delete that row.

    Example: meshport relay status --database sqlite:///shop.db
    """
    from meshport.outbox.databases import database_name, look_at  # noqa: PLC0415 - slow to import

    url = database_url(database)
    look = look_at(url, _SHOWN)
    state = look.state
    if json:
        emit({"database": database_name(url), **asdict(state), "relays": [asdict(each) for each in look.holders]})
        for each in look.blocked:
            emit(asdict(each))
    else:
        oldest = f", the oldest for {timedelta(seconds=round(state.oldest_s))}" if state.waiting else ""
        say(f"{state.waiting} events wait{oldest}; {state.published} published ones are kept")
        if state.transaction:
            say(
                f"the oldest open transaction: {state.transaction}, for {timedelta(seconds=round(state.transaction_s))}"
            )
        for holder in look.holders:
            say(f"shard {holder.shard}: {holder.holder or 'no relay'}")
        if not any(each.holder for each in look.holders):
            say("no relay publishes this outbox: meshport relay --database URL")
        if look.blocked:
            say(f"{state.blocked_aggregates} aggregates are blocked, with {state.blocked} events:")
            table(
                ["row", "address", "aggregate", "waiting", "error"],
                [
                    [str(each.number), each.address, each.aggregateid, str(each.waiting), each.error]
                    for each in look.blocked
                ],
            )
    if state.blocked:
        raise typer.Exit(FINDINGS)


def database_url(database: str | None) -> str:
    """Return the URL that `--database` or the variable names, with what its references lead to.

    Raises:
        typer.BadParameter: neither names one, or a reference leads nowhere.
    """
    if not database:
        raise typer.BadParameter(
            f"the database of the outbox is not named: --database URL or {DATABASE_VARIABLE}", param_hint="--database"
        )
    return database_secret(database).get_secret_value()
