"""Importing a snapshot of another registry into this one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from meshport.address import Address
from meshport.errors import RegistrationRefused
from meshport.registry.client import Registry
from meshport.registry.import_plan import ImportPlan, plan_import
from meshport.snapshot import ImportCounts, RegistrySnapshot

_PAGE: Final = 1000
_READERS: Final = 8


@dataclass(frozen=True)
class ImportReport:
    """What an import did, or would do.

    Attributes:
        source: where the snapshot is from.
        subjects: how many it has.
        counts: what was written.
        notes: what differs from the other registry and stays so.
    """

    source: str
    subjects: int
    counts: ImportCounts
    notes: tuple[str, ...]


def import_snapshot(
    source: RegistrySnapshot,
    registry: Registry,
    *,
    leave_out: Collection[str] = (),
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import another registry's schemas with their ids, versions, references, levels and modes.

    Importing the same again changes nothing, and what changed there since is brought up to date. An import that was interrupted
    is completed by the next one.

    Args:
        source: the other registry.
        registry: this one.
        leave_out: subjects that are not imported; `*` and `?` as in file names.
        dry_run: plan it, and write nothing.
        progress: called with the number of versions that were sent, and of all.

    Raises:
        RegistrationRefused: something stands in the way; `findings` names all of it, and nothing was written.
        RegistryUnavailable: this registry did not answer.
    """
    plan = _planned(source, registry, leave_out)
    if plan.clashes:
        raise RegistrationRefused(
            f"nothing was imported from {source.source}: {len(plan.clashes)} clashes",
            findings=plan.clashes,
            url=registry.url,
            hint="--leave-out SUBJECT passes over a subject; an empty registry has no clashes of ids",
        )
    counts = ImportCounts(unchanged=plan.unchanged)
    total, sent = sum(len(each.versions) for each in plan.batches), 0
    for batch in plan.batches:
        if dry_run:
            counts += ImportCounts(versions=len(batch.versions), settings=len(batch.settings))
        else:
            counts += registry.import_batch(batch)
        sent += len(batch.versions)
        if progress is not None:
            progress(sent, total)
    return ImportReport(source.source, len(source.subjects), counts, plan.notes)


def _planned(source: RegistrySnapshot, registry: Registry, leave_out: Collection[str]) -> ImportPlan:
    subjects = registry.subjects
    return plan_import(
        source,
        subjects.snapshot(),
        schema_here=subjects.schema,
        products=_contracts(registry),
        leave_out=leave_out,
    )


def _contracts(registry: Registry) -> dict[str, str]:
    """Return the address of the product that a subject belongs to, by subject."""
    addresses: list[Address] = []
    while True:
        page = registry.search(offset=len(addresses), limit=_PAGE)
        addresses += (each.address for each in page.items)
        if len(addresses) >= page.total or not page.items:
            break
    found: dict[str, str] = {}
    with ThreadPoolExecutor(_READERS) as pool:
        for product in pool.map(registry.product, addresses):
            found |= {binding.subject: str(product.descriptor.address) for binding in product.bindings}
    return found
