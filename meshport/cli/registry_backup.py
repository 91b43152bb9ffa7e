"""`meshport registry backup` and `registry restore`: a registry's whole database, as one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshport.cli.output import emit, say
from meshport.cli.registry_database import DatabaseUrl, database_secret
from meshport.cli.session import JsonOption
from meshport.errors import MeshError

if TYPE_CHECKING:
    from meshport_registry.backup import BackupReport


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new file, or a folder that gets one, named by the time.")
    ],
    database: DatabaseUrl,
    json: JsonOption = False,
) -> None:
    """Write a registry's database to a file, while registries run on it: schemas, products, rights, keys' hashes and the audit.

    The file is of one moment. It is the same for SQLite and PostgreSQL, so `restore` also moves a registry from one to the other.

    Examples:
        meshport registry backup registry-2026-12-31.gz --database 'postgresql://meshport:${file:password}@db/registry'
        meshport registry backup /backups    # as /backups/registry-2026-12-31T031700Z.gz
    """
    from meshport_registry.backup import back_up  # noqa: PLC0415 - the service is an extra

    if file.is_dir():
        file /= f"registry-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.gz"
    with _as_usage():
        report = back_up(database_secret(database), file)
    _show(report, file, json, f"{file} holds the registry as of {report.head.taken_at:%Y-%m-%dT%H:%M:%SZ}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `registry backup` wrote.")],
    database: DatabaseUrl,
    skip_ids: Annotated[
        int | None,
        typer.Option(
            "--skip-ids",
            min=0,
            max=100_000_000,
            metavar="N",
            help="How many schema ids to leave out, by default 10,000: more than were given after the backup, "
            "as records on Kafka have those.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a backup into an empty database, whole or not at all. Then start the registry on it.

    What was registered after the backup is lost; `meshport apply` in each project registers it again.

    Example: meshport registry restore registry-2026-12-31.gz --database sqlite:///restored.db
    """
    from meshport_registry.backup import SKIPPED_IDS  # noqa: PLC0415 - as above
    from meshport_registry.backup import restore as restore_backup  # noqa: PLC0415 - as above

    with _as_usage():
        report = restore_backup(
            file, database_secret(database), skipped_ids=SKIPPED_IDS if skip_ids is None else skip_ids
        )
    _show(report, file, json, f"restored the registry of {report.head.taken_at:%Y-%m-%dT%H:%M:%SZ} from {file}")


@contextmanager
def _as_usage() -> Iterator[None]:
    try:
        yield
    except MeshError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--database") from None


def _show(report: BackupReport, file: Path, json: bool, sentence: str) -> None:
    rows = report.rows
    if json:
        emit({"file": str(file), **report.head.model_dump(mode="json", by_alias=True), "rows": rows})
        return
    say(
        f"{sentence}: {rows['schema']} schemas, {rows['version']} versions of {rows['subject']} subjects, "
        f"{rows['product']} products, {rows['audit']} entries of the audit"
    )
