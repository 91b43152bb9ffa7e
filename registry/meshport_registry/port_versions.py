"""The versions of a port's contract, and what is judged to compare two of them. This module only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select

from meshport.address import Address
from meshport.catalog import Waiver
from meshport.compat import Case, Contract, Past, Verdict, Version
from meshport.compat.judgement import GateJudgement
from meshport.compat.port_history import ListedVersion, PortVersions, VersionComparison
from meshport.compat.schema_changes import schema_changes
from meshport_registry import tables
from meshport_registry.errors import VersionNotFound
from meshport_registry.gate import past_of
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.store import instant
from meshport_registry.waivers import waivers


def port_versions(connection: Connection, address: Address) -> PortVersions:
    """Return the versions of a port's contract.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port; without a major it is the live one.

    Raises:
        NotInMesh: the mesh has no such product, port or major.
    """
    binding = choose_binding(bindings_of(connection, require_address(connection, address), DefaultCluster()), address)
    return PortVersions(
        address=binding.address,
        subject=binding.subject,
        versions=tuple(reversed(_listed(connection, binding.subject, binding.fingerprint))),
        waivers=waivers(connection, binding.address),
    )


def _listed(connection: Connection, subject: str, fingerprint: str) -> tuple[ListedVersion, ...]:
    version, schema = tables.version.c, tables.schema.c
    rows = connection.execute(
        select(version.version, version.schema_id, version.created_at, schema.fingerprint)
        .join(tables.subject, tables.subject.c.id == version.subject_id)
        .join(tables.schema, schema.id == version.schema_id)
        .where(tables.subject.c.name == subject, version.deleted.is_(False))
        .order_by(version.version)
    ).all()
    # Two ids may have one schema; the port is bound to the newest of them.
    bound = max((row.version for row in rows if row.fingerprint == fingerprint), default=None)
    return tuple(
        ListedVersion(
            number=row.version,
            schema_id=row.schema_id,
            fingerprint=row.fingerprint,
            created_at=instant(row.created_at),
            bound=row.version == bound,
        )
        for row in rows
    )


@dataclass(frozen=True)
class PlannedComparison:
    """Two versions that are to be compared: what the registry knows of them, and the judgement that is still to be made.

    Attributes:
        judgement: has two verdicts as its result, in the order of `VersionComparison`.
    """

    judgement: GateJudgement
    _address: Address
    _older: tuple[ListedVersion, Version]
    _newer: tuple[ListedVersion, Version]

    def result(self, verdicts: Sequence[Verdict]) -> VersionComparison:
        """Return the comparison.

        Args:
            verdicts: the result of the judgement.
        """
        (older, before), (newer, after) = self._older, self._newer
        return VersionComparison(
            address=self._address,
            older=older,
            newer=newer,
            changes=schema_changes(before.schema, after.schema),
            verdict=verdicts[0],
            verdict_then=verdicts[1],
        )


def plan_comparison(connection: Connection, address: Address, one: int, other: int | None = None) -> PlannedComparison:
    """Return what is needed to compare two versions of a port's contract, in whichever order they are named.

    Args:
        connection: to the database.
        address: of a port, or of a line of it; without a major it is the live one.
        one: the number of a version.
        other: that of the other; None for the version before.

    Raises:
        NotInMesh: the mesh has no such product, port or major.
        VersionNotFound: the port has no such version, or both are the same one.
    """
    row = require_address(connection, address)
    binding = choose_binding(bindings_of(connection, row, DefaultCluster()), address)
    listed = {each.number: each for each in _listed(connection, binding.subject, binding.fingerprint)}
    if other is None:
        other = max((number for number in listed if number < one), default=one)
    if one == other or not {one, other} <= listed.keys():
        known = ", ".join(map(str, listed))
        raise VersionNotFound(f"{binding.address} has no two versions {one} and {other}; it has {known}")
    older, newer = sorted((one, other))
    past = past_of(connection, row, binding)
    versions = {each.number: each for each in past.versions}
    then = listed[newer].created_at
    waived = tuple(_as_of(each, then) for each in past.waivers if _was_known(each, then))
    before = tuple(versions[number] for number in sorted(versions) if number < newer)
    candidate = versions[newer].schema
    judgement = GateJudgement(
        tuple(
            Case.declared(past.contract.product, past.contract.port, candidate, _past(past, seen, waived))
            for seen in ((versions[older],), before)
        ),
        then.date(),
    )
    return PlannedComparison(
        judgement, binding.address, (listed[older], versions[older]), (listed[newer], versions[newer])
    )


def _past(past: Past, versions: tuple[Version, ...], waived: tuple[Waiver, ...]) -> Past:
    """Return the past of a port as it was when these were its versions; product and readers are those of today."""
    contract = Contract(past.contract.product, past.contract.port, versions[-1].schema)
    return replace(past, contract=contract, versions=versions, waivers=waived)


def _was_known(waiver: Waiver, then: datetime) -> bool:
    return waiver.created_at <= then and (waiver.revoked_at is None or waiver.revoked_at > then)


def _as_of(waiver: Waiver, then: datetime) -> Waiver:
    """Return a waiver as it was at an instant: one that was revoked later was in force."""
    late = waiver.revoked_at is not None and waiver.revoked_at > then
    return waiver.model_copy(update={"revoked_at": None}) if late else waiver
