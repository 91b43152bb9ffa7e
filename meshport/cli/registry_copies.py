"""`meshport registry import` and `registry export`: the schemas of another registry, and of this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshport.cli.output import emit, progress, say
from meshport.cli.peer import (
    PeerCaOption,
    PeerCertificateOption,
    PeerKeyOption,
    PeerNetrcOption,
    open_peer,
    peer_login,
)
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.registry.importer import ImportReport, import_snapshot
from meshport.registry.snapshot_folder import read_snapshot, write_snapshot
from meshport.snapshot import RegistrySnapshot

_TIMEOUT_S = 120.0


def import_registry(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL|FOLDER",
            help="Another registry, by the root of Confluent's API; or what `export` wrote.",
        ),
    ],
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out", metavar="SUBJECT", help="A subject to pass over; * and ? as in file names. Repeatable."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change, and change nothing.")] = False,
    netrc: PeerNetrcOption = None,
    ca: PeerCaOption = None,
    certificate: PeerCertificateOption = None,
    key: PeerKeyOption = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Import the schemas of another registry: ids, versions, references, soft-deleted versions, levels and modes.

    Run it again and again until producers register here: what is here already is left, what is new there is added. An id or a
    version that has another schema here is a clash; then nothing is written, and every clash is named.

    Examples:
        meshport registry import --from http://schema-registry:8081
        meshport registry import --from https://registry.example.org/apis/ccompat/v7 --leave-out 'test-*' --dry-run
    """
    snapshot = _snapshot(source, netrc, ca, certificate, key)
    with open_registry(registry, timeout_s=_TIMEOUT_S) as mesh, progress("importing") as advance:
        report = import_snapshot(snapshot, mesh, leave_out=leave_out or (), dry_run=dry_run, progress=advance)
    _show(report, dry_run=dry_run, json=json)


def _snapshot(
    source: str, netrc: Path | None, ca: Path | None, certificate: Path | None, key: Path | None
) -> RegistrySnapshot:
    if "://" not in source:
        return read_snapshot(Path(source))
    with open_peer(source, peer_login(source, netrc=netrc, ca=ca, certificate=certificate, key=key)) as peer:
        return peer.snapshot()


def _show(report: ImportReport, *, dry_run: bool, json: bool) -> None:
    counts = report.counts
    if json:
        emit(
            {"source": report.source, "subjects": report.subjects, "dryRun": dry_run, "versions": counts.versions}
            | {"furtherIds": counts.further_ids, "deletions": counts.deletions, "settings": counts.settings}
            | {"unchanged": counts.unchanged, "notes": report.notes}
        )
        return
    for note in report.notes:
        say(f"note: {note}")
    found = [
        (counts.versions, "versions" if not dry_run else "versions to write"),
        (counts.further_ids, "further ids of schemas"),
        (counts.deletions, "versions deleted or restored"),
        (counts.settings, "levels and modes"),
    ]
    written = ", ".join(f"{number} {words}" for number, words in found if number)
    say(
        f"{report.subjects} subjects of {report.source}: {written or 'nothing new'}; {counts.unchanged} versions unchanged"
    )


def export_registry(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, or one of an earlier export.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="URL", help="Another registry, by the root of Confluent's API; by default the mesh's."
        ),
    ] = None,
    netrc: PeerNetrcOption = None,
    ca: PeerCaOption = None,
    certificate: PeerCertificateOption = None,
    key: PeerKeyOption = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Write the schemas of a registry to a folder: one JSON file a subject, with ids, versions, references, levels and modes.

    `meshport registry import --from FOLDER` takes it.

    Examples:
        meshport registry export schemas-backup
        meshport registry export peer --from http://schema-registry:8081
    """
    if source is not None:
        with open_peer(source, peer_login(source, netrc=netrc, ca=ca, certificate=certificate, key=key)) as peer:
            snapshot = peer.snapshot()
    else:
        with open_registry(registry, timeout_s=_TIMEOUT_S) as mesh:
            snapshot = mesh.subjects.snapshot()
    write_snapshot(snapshot, folder)
    if json:
        emit(
            {"source": snapshot.source, "folder": str(folder), "subjects": len(snapshot.subjects)}
            | {"versions": len(snapshot.versions), "notes": snapshot.notes}
        )
        return
    for note in snapshot.notes:
        say(f"note: {note}")
    say(
        f"{len(snapshot.subjects)} subjects with {len(snapshot.versions)} versions of {snapshot.source} are in {folder}"
    )
