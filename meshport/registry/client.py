"""The client of the registry.

Producers and consumers keep running while the registry is down. A schema that was fetched once is used for as long as
the client lives, because it never changes; a binding that was resolved once is used until the registry answers again.
Every other call raises: a registry that does not answer is never a pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel

from meshport.address import Address
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import (
    Deprecation,
    Health,
    Lineage,
    ProductPage,
    ProductPast,
    ProductRegistration,
    Reader,
    Registration,
    Removal,
    Retirement,
)
from meshport.compat import Verdict
from meshport.compat.port_history import PortVersions, VersionComparison
from meshport.field_flows import FieldFlows
from meshport.product import Product
from meshport.registry import calls
from meshport.registry.api_keys import RegistryKeys
from meshport.registry.audit import AuditLog
from meshport.registry.calls import to_address
from meshport.registry.generations import PortGenerations
from meshport.registry.glossary import RegistryGlossary
from meshport.registry.grants import RegistryGrants
from meshport.registry.kept import FetchedSchemas, ResolvedBindings
from meshport.registry.login import RegistryLogin
from meshport.registry.measured import RegistryLevels
from meshport.registry.policies import RegistryPolicies
from meshport.registry.problems import RegistryProblems
from meshport.registry.processors import RegistryProcessors
from meshport.registry.replays import RegistryReplays
from meshport.registry.requests import Requests, Transport, login_of, parse_response
from meshport.registry.subjects import ConfluentSubjects
from meshport.registry.waivers import RegistryWaivers
from meshport.schema import Schema
from meshport.search import SearchPage
from meshport.seen_readers import GroupReports, LineReaders, SubscriberName
from meshport.snapshot import ImportBatch, ImportCounts


class Registry:
    """A client of one registry; thread-safe, so that a process needs one.

    Args:
        url: of the registry, `http://host:port` or `http://user:password@host:port`; `host:port` means the former.
        timeout: seconds to wait for one response; a connection is waited for 5 seconds at most.
        keep: seconds for which a resolved binding is returned without a request.
        transport: the transport of requests; for tests inside one process.
        login: of the registry; by default that of the environment, or the one that `meshport login` kept for the URL.

    Attributes:
        url: of the registry, without user and password.

    Raises:
        RegistryUnavailable: the URL is none.
        LoginRefused: see `meshport.registry.login.registry_login`.
        FileError: a certificate, or the login that is kept, cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        keep: float = 10.0,
        transport: Transport | None = None,
        login: RegistryLogin | None = None,
    ) -> None:
        self._requests = Requests(url, timeout=timeout, transport=transport, login=login or login_of(url))
        self.url = self._requests.url
        self._bindings = ResolvedBindings(keep)
        self._schemas = FetchedSchemas()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Cached bindings and schemas stay usable."""
        self._requests.close()

    # --- addresses, products and readers

    def resolve(self, address: Address | str) -> Binding:
        """Return the binding of an address. Without a port it is the default port's, without a major the live major's.

        While the registry does not answer, this returns the last binding that it resolved.

        Raises:
            AddressError: the text is no address.
            NotRegistered: the address is not registered, or it is retired; then the error has its `successor`.
            RegistryUnavailable: the registry did not answer, and the address was never resolved before.
        """
        return self._requests.take(self._bindings.resolve(to_address(address)))

    def resolve_as(self, address: Address, reader: SubscriberName) -> Binding:
        """Return the binding of an address as `resolve` does, for a subscriber that the registry then knows as a reader."""
        return self._requests.take(self._bindings.resolve(address, reader))

    def product(self, which: UUID | Address | str) -> RegisteredProduct:
        """Return a product by its GUID or its address.

        Raises:
            NotRegistered: the product is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.product(which))

    def search(self, text: str | None = None, *, offset: int = 0, limit: int = 50, **narrowed: str) -> ProductPage:
        """Return a page of the products that match, ordered by address.

        Args:
            text: words that all have to appear in address, name, description, owner or tags.
            offset: the number of products to skip.
            limit: the number of products to return, 1000 at most.
            narrowed: `domain`, `archetype`, `owner`, `status` or `tag` that the products have.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.search(text, offset=offset, limit=limit, **narrowed))

    def find(self, text: str, *, offset: int = 0, limit: int = 20, **narrowed: str) -> SearchPage:
        """Return a page of the products that a search finds, the best first; typos are forgiven.

        Args:
            text: words of names, descriptions, fields, documentation, tags, owners or topics.
            offset: the number of products to skip.
            limit: the number of products to return, 100 at most.
            narrowed: `domain`, `archetype`, `status`, `classification`, `owner` or `tag` that the products have.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.find(text, offset=offset, limit=limit, **narrowed))

    def lineage(self, address: Address | str) -> Lineage:
        """Return every product upstream and downstream of a product.

        Raises:
            NotRegistered: the product is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.lineage(address))

    def field_lineage(self, address: Address | str, field: str | None = None) -> FieldFlows:
        """Return what the fields of a product are made from, and what is made from them, as declared processes say.

        Args:
            address: of the product.
            field: only what leads to this field, and from it; None for all fields.

        Raises:
            NotRegistered: the product is not registered, or has no such field.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.field_lineage(address, field))

    def readers(self, address: Address | str) -> tuple[Reader, ...]:
        """Return the products that read a product or one of its ports, and the fields that they read.

        Raises:
            NotRegistered: the product or port is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.readers(address))

    def seen_readers(self, address: Address | str) -> tuple[LineReaders, ...]:
        """Return who reads each line of a product, or one line, declared or not, and when it was seen last.

        Args:
            address: of a product, a port, or a line of a port; of a port it is the live line.

        Raises:
            NotRegistered: the product or port is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.seen_readers(address))

    def report_groups(self, line: Address, reports: GroupReports) -> LineReaders:
        """Report all consumer groups that read a line, and return its readers.

        Raises:
            NotRegistered: the line is not registered, or retired.
            RegistrationRefused: the caller may not report what it observes.
            RegistryUnavailable: the registry did not answer.
        """
        path = f"/api/v1/seen-readers/{line.key.partition('@')[0]}"
        response = self._requests.send("PUT", path, {"major": line.major}, reports.model_dump_json())
        return parse_response(response, LineReaders.model_validate_json)

    def export(self, form: str, address: Address | str | None = None) -> Any:
        """Return the mesh or one product as a document of a standard, as JSON data.

        Args:
            form: the format, one of `meshport.export.formats.ExportFormat`.
            address: of the product; None for every product of the mesh.

        Raises:
            NotRegistered: the product is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.export(form, None if address is None else to_address(address)))

    # --- contracts and schemas

    def versions(self, port: Address | str) -> PortVersions:
        """Return the versions of a port's contract, newest first, and its waivers.

        Args:
            port: its address; without a major, of its live major.

        Raises:
            AddressError: the address names no port.
            NotRegistered: the port is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.versions(port))

    def compare(self, port: Address | str, number: int, against: int | None = None) -> VersionComparison:
        """Return what changed between two versions of a port's contract, in words, and the gate's verdict of then.

        Args:
            port: its address; without a major, of its live major.
            number: of the one version.
            against: the number of the other one; None for the version before.

        Raises:
            AddressError: the address names no port.
            NotRegistered: the port is not registered, or has no such version.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.compare(port, number, against))

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema with a Confluent id.

        Raises:
            NotRegistered: no schema has this id.
            RegistryUnavailable: the registry did not answer, and the schema was never fetched before.
        """
        return self._requests.take(self._schemas.by_id(schema_id))

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """Return the schema with a SHA-256 fingerprint (64 lower-case hex digits); see `by_id`."""
        return self._requests.take(self._schemas.by_fingerprint(fingerprint))

    def by_guid(self, guid: UUID) -> Schema:
        """Return the schema with a GUID, the first 128 bits of its fingerprint; see `by_id`."""
        return self._requests.take(self._schemas.by_guid(guid))

    # --- changes

    def register(
        self,
        product: Product,
        schemas: Mapping[str, Schema],
        *,
        bootstrap_servers: str | None = None,
        clusters: Mapping[str, str] | None = None,
        topic_ids: Mapping[str, str] | None = None,
        unused: Collection[str] = (),
        dry_run: bool = False,
    ) -> Registration:
        """Register a product or update it. Registering the same again changes nothing.

        Args:
            product: the descriptor.
            schemas: the schema of each output port, by `<port>@<major>`.
            bootstrap_servers: of the cluster of the ports that name none; None for the registry's default cluster.
            clusters: the bootstrap servers of the clusters that ports name, by name.
            topic_ids: Kafka's ids of its topics, by topic; a topic that is not named keeps the id that it has.
            unused: its topics that hold no event and that no consumer group reads; without a declared reader, the contract of
                their lines may change at will.
            dry_run: return what would change, and change nothing.

        Raises:
            RegistrationRefused: `findings` holds the reasons; those of the gate begin with the id of a rule.
            RegistryUnavailable: the registry did not answer. The product may be registered; a repeated call is safe.
        """
        kafka = {
            "bootstrap_servers": bootstrap_servers,
            "clusters": dict(clusters or {}),
            "topic_ids": topic_ids,
            "unused": tuple(sorted(unused)),
        }
        body = _declaration(product, schemas).model_copy(update=kafka)
        done = self._requests.post("/api/v1/dataproducts", body, Registration, dry_run=str(dry_run).lower())
        if not dry_run:
            self._bindings.forget(product.address)
        return done

    def deprecate(self, guid: UUID, wanted: Deprecation) -> RegisteredProduct:
        """Deprecate a product: record the day after which it may go, and its successor.

        Raises:
            NotRegistered: the product or the successor is not registered.
            RegistrationRefused: the product is retired already.
            RegistryUnavailable: the registry did not answer.
        """
        return self._change(guid, "deprecate", wanted)

    def activate(self, guid: UUID) -> RegisteredProduct:
        """Undo the deprecation of a product; its day and its successor are forgotten.

        Raises:
            NotRegistered: the product is not registered.
            RegistrationRefused: the product is a draft or retired.
            RegistryUnavailable: the registry did not answer.
        """
        return self._change(guid, "activate", _Nothing())

    def retire(self, guid: UUID, wanted: Retirement) -> RegisteredProduct:
        """Retire a product or one of its lines.

        Raises:
            NotRegistered: the product, the port or the successor is not registered.
            RegistrationRefused: products that `force` does not name still read it; `findings` names them.
            RegistryUnavailable: the registry did not answer.
        """
        return self._change(guid, "retire", wanted)

    def drop(self, guid: UUID, wanted: Removal) -> RegisteredProduct:
        """Remove an unused or retired product; its topics stay.

        Raises:
            NotRegistered: the product is not registered.
            RegistrationRefused: a product reads it; or it is not retired, and `unused` lacks a topic of it.
            RegistryUnavailable: the registry did not answer.
        """
        return self._change(guid, "drop", wanted)

    # --- generations

    def generations(self, address: Address | str) -> PortGenerations:
        """Return the client of a port's generations.

        Args:
            address: of the port; without a major, of its live major.

        Raises:
            NotRegistered: the address has no major, and the port is not registered.
            RegistryUnavailable: the registry did not answer, and the address was never resolved before.
        """
        wanted = to_address(address)
        line = wanted if wanted.major else self.resolve(wanted).address
        return PortGenerations(line, self._requests, on_change=self._bindings.forget)

    @property
    def keys(self) -> RegistryKeys:
        """The client of the registry's API keys."""
        return RegistryKeys(self._requests)

    def refresh(self, address: Address | str) -> Binding:
        """Return the binding of an address as `resolve` does, but always ask the registry.

        Raises:
            NotRegistered: the address is not registered, or it is retired.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(self._bindings.refresh(to_address(address)))

    # --- the gate

    def judge(self, product: Product, schemas: Mapping[str, Schema]) -> tuple[Verdict, ...]:
        """Return the verdict on each port of a product, then on each registered port that it drops.

        Nothing is registered.

        Args:
            product: the descriptor, as for `register`.
            schemas: the schema of each output port, by `<port>@<major>`.

        Raises:
            RegistrationRefused: ports and schemas do not match.
            RegistryUnavailable: the registry did not answer, which is never a pass.
        """
        return self._requests.post("/api/v1/gate/check", _declaration(product, schemas), _Verdicts).verdicts

    def past(self, address: Address | str) -> ProductPast:
        """Return what the gate judges a change of a product by: contracts, versions, readers and waivers.

        Raises:
            NotRegistered: the product is not registered.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.take(calls.past(address))

    @property
    def waivers(self) -> RegistryWaivers:
        """Waivers of the gate's rules."""
        return RegistryWaivers(self._requests)

    @property
    def service_levels(self) -> RegistryLevels:
        """Measured service levels."""
        return RegistryLevels(self._requests)

    @property
    def processors(self) -> RegistryProcessors:
        """What observers report of processors."""
        return RegistryProcessors(self._requests)

    @property
    def access(self) -> RegistryGrants:
        """Requests for access and grants."""
        return RegistryGrants(self._requests)

    @property
    def problems(self) -> RegistryProblems:
        """Problem reports on products."""
        return RegistryProblems(self._requests)

    @property
    def replays(self) -> RegistryReplays:
        """Replay jobs."""
        return RegistryReplays(self._requests)

    @property
    def glossary(self) -> RegistryGlossary:
        """The glossary of the mesh."""
        return RegistryGlossary(self._requests)

    @property
    def policies(self) -> RegistryPolicies:
        """The registry's policies."""
        return RegistryPolicies(self._requests)

    @property
    def audit(self) -> AuditLog:
        """The registry's audit."""
        return AuditLog(self._requests)

    # --- subjects of other registries

    @property
    def subjects(self) -> ConfluentSubjects:
        """The client of the registry's subjects by Confluent's API, as of any other registry."""
        return ConfluentSubjects(self._requests)

    def import_batch(self, batch: ImportBatch) -> ImportCounts:
        """Import a part of another registry; see `meshport.registry.importer`. A repeated import changes nothing.

        Raises:
            RegistrationRefused: `findings` names the ids and versions that have another schema here; nothing was written.
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.post("/api/v1/import", batch, ImportCounts)

    def health(self) -> Health:
        """Return the state of the registry.

        Raises:
            RegistryUnavailable: the registry, or its database, did not answer.
        """
        return self._requests.take(calls.health())

    def _change(self, guid: UUID, verb: str, body: BaseModel) -> RegisteredProduct:
        product = self._requests.post(f"/api/v1/dataproducts/{guid}/{verb}", body, RegisteredProduct)
        self._bindings.forget(product.descriptor.address)
        return product


class _Nothing(BaseModel):
    """The body of a request that needs none."""


class _Verdicts(BaseModel):
    verdicts: tuple[Verdict, ...]


def _declaration(product: Product, schemas: Mapping[str, Schema]) -> ProductRegistration:
    return ProductRegistration(
        descriptor=product,
        # The author's own text where it stands alone, because that is what the registry shows to readers.
        schemas={port: schema.written or schema.text for port, schema in schemas.items()},
    )
