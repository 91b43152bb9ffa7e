"""Products, domains and subjects as policies see them, read from the database."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from meshport.address import Address
from meshport.policy import MESH, DomainResource, ProductResource, Resource, SubjectResource
from meshport_registry import tables
from meshport_registry.access.grants import granted_readers
from meshport_registry.products import descriptor_of, find_address, find_guid

_OWNERS: Final = select(tables.product.c.owner).where(tables.product.c.domain == bindparam("domain")).distinct()
_OF_SUBJECT: Final = (
    select(tables.product)
    .join(tables.binding, tables.binding.c.guid == tables.product.c.guid)
    .join(tables.subject, tables.subject.c.id == tables.binding.c.subject_id)
    .where(tables.subject.c.name == bindparam("subject"))
)
_OF_WAIVER: Final = (
    select(tables.product)
    .join(tables.waiver, tables.waiver.c.guid == tables.product.c.guid)
    .where(tables.waiver.c.id == bindparam("number"))
)


_OF_GRANT: Final = (
    select(tables.product)
    .join(tables.access_grant, tables.access_grant.c.guid == tables.product.c.guid)
    .where(tables.access_grant.c.id == bindparam("number"))
)


_OF_PROBLEM: Final = (
    select(tables.product)
    .join(tables.problem_report, tables.problem_report.c.guid == tables.product.c.guid)
    .where(tables.problem_report.c.id == bindparam("number"))
)


_OF_REPLAY: Final = (
    select(tables.product)
    .join(tables.replay_job, tables.replay_job.c.guid == tables.product.c.guid)
    .where(tables.replay_job.c.job == bindparam("job"))
)


def owners_of(connection: Connection, domain: str) -> frozenset[str]:
    """Return the owners of the products of a domain, the retired ones included."""
    return frozenset(connection.execute(_OWNERS, {"domain": domain}).scalars())


def domain_resource(connection: Connection, domain: str) -> Resource:
    """Return a domain."""
    return DomainResource(domain, owners_of(connection, domain))


def product_at(connection: Connection, address: Address) -> Resource:
    """Return the product at an address; the mesh, which has no owner, where there is none."""
    return _resource(connection, find_address(connection, address))


def product_of_guid(connection: Connection, guid: str) -> Resource:
    """Return the product of a GUID; the mesh where there is none."""
    return _resource(connection, find_guid(connection, guid))


def product_of_waiver(connection: Connection, number: int) -> Resource:
    """Return the product that a waiver is for; the mesh where there is no such waiver."""
    return _resource(connection, connection.execute(_OF_WAIVER, {"number": number}).one_or_none())


def product_of_grant(connection: Connection, number: int) -> Resource:
    """Return the product that a request for access is for; the mesh where there is no such request."""
    return _resource(connection, connection.execute(_OF_GRANT, {"number": number}).one_or_none())


def product_of_problem(connection: Connection, number: int) -> Resource:
    """Return the product that a problem report is about; the mesh where there is no such report."""
    return _resource(connection, connection.execute(_OF_PROBLEM, {"number": number}).one_or_none())


def product_of_replay(connection: Connection, job: str) -> Resource:
    """Return the product that a job replays; the mesh where there is no such job."""
    return _resource(connection, connection.execute(_OF_REPLAY, {"job": job}).one_or_none())


def reader_resource(connection: Connection, product: Address) -> Resource:
    """Return a product that reads, registered or not; the mesh where its domain has no owner."""
    row, owners = find_address(connection, product), owners_of(connection, product.domain)
    if row is not None or not owners:
        return _resource(connection, row)
    return ProductResource(product.domain, product.product, owner=min(owners), owners=owners)


def subject_resource(connection: Connection, name: str) -> Resource:
    """Return the product that has a subject as a port's, or the subject itself."""
    row = connection.execute(_OF_SUBJECT, {"subject": name}).one_or_none()
    if row is not None:
        return _resource(connection, row)
    domain, dot, _ = name.partition(".")
    return SubjectResource(name, owners_of(connection, domain) if dot else frozenset())


def _resource(connection: Connection, row: Row[Any] | None) -> Resource:
    if row is None:
        return MESH
    granted = (reader for reader, _, _ in granted_readers(connection, row.guid))
    return ProductResource.of(descriptor_of(row), domain_owners=owners_of(connection, row.domain), granted_to=granted)
