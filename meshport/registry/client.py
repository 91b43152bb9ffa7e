"""The registry's client: addresses resolved, schemas found, products registered.

The registry may be down while data keeps flowing. What a process has seen once it goes on using: a schema for ever,
since it can never change, and a binding until the registry answers again. Everything else fails aloud: no answer is
never a pass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter

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
    Retirement,
    Waiver,
    WaiverRequest,
)
from meshport.compat import Verdict
from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.product import Product
from meshport.registry.generations import PortGenerations
from meshport.registry.requests import Requests, Transport, understood
from meshport.schema import Schema

_Key = TypeVar("_Key", int, str)

# Four times the schemas of the largest mesh that the bench knows would be some 40 MB.
_SCHEMAS_KEPT: Final = 4096
_BINDINGS_KEPT: Final = 4096
_READERS: Final = TypeAdapter(tuple[Reader, ...])
_WAIVERS: Final = TypeAdapter(tuple[Waiver, ...])


@dataclass(slots=True)
class _Resolved:
    binding: Binding
    at: float


class Registry:
    """A client of one registry; thread-safe, to be shared by a whole process.

    Args:
        url: of the registry, `http://host:port`.
        timeout: seconds for one answer.
        keep: seconds for which a binding is used without asking again.
        transport: how requests travel; for tests inside one process.
    """

    def __init__(
        self, url: str, *, timeout: float = 5.0, keep: float = 10.0, transport: Transport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._keep = keep
        self._requests = Requests(self.url, timeout=timeout, transport=transport)
        self._lock = threading.Lock()
        self._bindings: dict[Address, _Resolved] = {}
        self._by_id: dict[int, Schema] = {}
        self._by_fingerprint: dict[str, Schema] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what was seen before stays known."""
        self._requests.close()

    # --- what is behind an address

    def resolve(self, address: Address | str) -> Binding:
        """What stands behind an address: its default port at its live major, where none is named.

        While the registry does not answer, the last known binding is.

        Raises:
            AddressError: the text is no address.
            NotRegistered: the mesh has no such address, or it is retired; the hint names its successor.
            RegistryUnavailable: no answer, and the address was never resolved before.
        """
        wanted = _address(address)
        with self._lock:
            known = self._bindings.get(wanted)
        if known is not None and time.monotonic() - known.at < self._keep:
            return known.binding
        path = f"/api/v1/resolve/{wanted.key.partition('@')[0]}"
        try:
            binding = self._requests.get(path, Binding, major=wanted.major)
        except RegistryUnavailable:
            if known is None:
                raise
            binding = known.binding
        except NotRegistered:
            with self._lock:
                self._bindings.pop(wanted, None)
            raise
        with self._lock:
            _remember(self._bindings, wanted, _Resolved(binding, time.monotonic()), _BINDINGS_KEPT)
        return binding

    def product(self, which: UUID | Address | str) -> RegisteredProduct:
        """A product by its GUID or its address.

        Raises:
            NotRegistered: the mesh has none.
            RegistryUnavailable: no answer.
        """
        if isinstance(which, str):
            which = _guid_or_address(which)
        if isinstance(which, UUID):
            return self._requests.get(f"/api/v1/dataproducts/{which}", RegisteredProduct)
        return self._requests.get(f"/api/v1/dataproducts/by-address/{which.of_product.key}", RegisteredProduct)

    def search(self, text: str | None = None, *, offset: int = 0, limit: int = 50, **narrowed: str) -> ProductPage:
        """Products by address.

        Args:
            text: words that all have to stand in address, name, description, owner or tags.
            offset: how many to skip.
            limit: how many to answer, 1000 at most.
            narrowed: `domain`, `archetype`, `owner`, `status`, `tag`.

        Raises:
            RegistryUnavailable: no answer.
        """
        return self._requests.get("/api/v1/dataproducts", ProductPage, q=text, offset=offset, limit=limit, **narrowed)

    def lineage(self, address: Address | str) -> Lineage:
        """Everything that a product is made from, and everything that is made from it.

        Raises:
            NotRegistered: the mesh has no such product.
            RegistryUnavailable: no answer.
        """
        return self._requests.get(f"/api/v1/lineage/{_address(address).of_product.key}", Lineage)

    def readers(self, address: Address | str) -> tuple[Reader, ...]:
        """The products that read a product or one of its ports, and the fields that they read.

        Raises:
            NotRegistered: the mesh has no such product or port.
            RegistryUnavailable: no answer.
        """
        wanted = _address(address)
        answer = self._requests.ask("GET", f"/api/v1/readers/{wanted.key.partition('@')[0]}", {"major": wanted.major})
        return understood(answer, _READERS.validate_json)

    # --- schemas

    def by_id(self, schema_id: int) -> Schema:
        """The schema of a Confluent id.

        Raises:
            NotRegistered: the registry has none.
            RegistryUnavailable: no answer, and the schema was never seen before.
        """
        return self._schema(self._by_id, schema_id, f"/schemas/ids/{schema_id}?format=resolved")

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """The schema of a SHA-256 fingerprint; see `by_id`."""
        return self._schema(self._by_fingerprint, fingerprint, f"/api/v1/schemas/{fingerprint}")

    def by_guid(self, guid: UUID) -> Schema:
        """The schema of a GUID; see `by_id`."""
        return self._schema(self._by_fingerprint, str(guid), f"/schemas/guids/{guid}?format=resolved")

    def _schema(self, kept: dict[_Key, Schema], key: _Key, path: str) -> Schema:
        with self._lock:
            found = kept.get(key)
        if found is not None:
            return found
        answer = understood(self._requests.ask("GET", path), _SchemaAnswer.model_validate_json)
        schema = Schema(answer.text)
        with self._lock:
            _remember(kept, key, schema, _SCHEMAS_KEPT)
        return schema

    # --- changes

    def register(
        self,
        product: Product,
        schemas: Mapping[str, Schema],
        *,
        bootstrap_servers: str | None = None,
        dry_run: bool = False,
    ) -> Registration:
        """Register a product or bring it up to date; the same again changes nothing.

        Args:
            product: the descriptor.
            schemas: the schema of each output port, by `<port>@<major>`.
            bootstrap_servers: the cluster of its topics; None for the registry's own.
            dry_run: only say what would change.

        Raises:
            RegistrationRefused: with the reasons in `findings`; those of the gate begin with the id of a rule.
            RegistryUnavailable: no answer; whether it is registered is not known, and asking again is safe.
        """
        body = _declaration(product, schemas, bootstrap_servers)
        answer = self._requests.post("/api/v1/dataproducts", body, Registration, dry_run=str(dry_run).lower())
        if not dry_run:
            self._forget(product.address)
        return answer

    def deprecate(self, guid: UUID, wanted: Deprecation) -> RegisteredProduct:
        """Say until when readers should have gone, and where to.

        Raises:
            NotRegistered: no such product or successor.
            RegistrationRefused: it is retired already.
            RegistryUnavailable: no answer.
        """
        return self._change(guid, "deprecate", wanted)

    def retire(self, guid: UUID, wanted: Retirement) -> RegisteredProduct:
        """End a product or one of its ports.

        Raises:
            NotRegistered: no such product, port or successor.
            RegistrationRefused: somebody reads it who is not named in `force`; `findings` names them.
            RegistryUnavailable: no answer.
        """
        return self._change(guid, "retire", wanted)

    # --- generations

    def generations(self, address: Address | str) -> PortGenerations:
        """The generations of a port: which there are, and what may be done with them.

        Args:
            address: of the port; its live major where none is named.

        Raises:
            NotRegistered: the mesh has no such port.
            RegistryUnavailable: no answer, and the address was never resolved before.
        """
        wanted = _address(address)
        line = wanted if wanted.major else self.resolve(wanted).address
        return PortGenerations(line, self._requests, on_change=self._forget)

    def refresh(self, address: Address | str) -> Binding:
        """As `resolve`, but never from memory.

        Raises:
            NotRegistered: the mesh has no such address, or it is retired.
            RegistryUnavailable: no answer.
        """
        wanted = _address(address)
        path = f"/api/v1/resolve/{wanted.key.partition('@')[0]}"
        binding = self._requests.get(path, Binding, major=wanted.major)
        with self._lock:
            _remember(self._bindings, wanted, _Resolved(binding, time.monotonic()), _BINDINGS_KEPT)
        return binding

    # --- the gate

    def judge(self, product: Product, schemas: Mapping[str, Schema]) -> tuple[Verdict, ...]:
        """The verdict on each port of a product, then on each that it drops; nothing is registered.

        Args:
            product: the descriptor, as for `register`.
            schemas: the schema of each output port, by `<port>@<major>`.

        Raises:
            RegistrationRefused: ports and schemas do not match.
            RegistryUnavailable: no answer; never to be read as a pass.
        """
        return self._requests.post("/api/v1/gate/check", _declaration(product, schemas), _Judgement).verdicts

    def past(self, address: Address | str) -> ProductPast:
        """Whatever a change of a product is judged by: its contracts with every version, readers and waivers.

        Raises:
            NotRegistered: the mesh has no such product.
            RegistryUnavailable: no answer.
        """
        return self._requests.get(f"/api/v1/gate/past/{_address(address).of_product.key}", ProductPast)

    def waive(self, wanted: WaiverRequest) -> Waiver:
        """Record that one change of one port is to pass until a day.

        Raises:
            RegistrationRefused: no such port or rule, the rule lets nothing pass, or the day is past or too far away.
            RegistryUnavailable: no answer.
        """
        return self._requests.post("/api/v1/waivers", wanted, Waiver)

    def waivers(self, address: Address | str | None = None) -> tuple[Waiver, ...]:
        """Every waiver that was ever recorded, newest first.

        Args:
            address: a product, one of its ports, or one major of it; None for the whole mesh.

        Raises:
            NotRegistered: the mesh has no such product.
            RegistryUnavailable: no answer.
        """
        wanted = None if address is None else str(_address(address))
        return understood(self._requests.ask("GET", "/api/v1/waivers", {"address": wanted}), _WAIVERS.validate_json)

    def revoke(self, number: int) -> Waiver:
        """Take a waiver back; a second time changes nothing.

        Raises:
            NotRegistered: there is none of this number.
            RegistryUnavailable: no answer.
        """
        answer = self._requests.ask("POST", f"/api/v1/waivers/{number}/revoke")
        return understood(answer, Waiver.model_validate_json)

    def health(self) -> Health:
        """The state of the registry.

        Raises:
            RegistryUnavailable: no answer, or its database gives none.
        """
        return self._requests.get("/health", Health)

    def _change(self, guid: UUID, verb: str, body: BaseModel) -> RegisteredProduct:
        product = self._requests.post(f"/api/v1/dataproducts/{guid}/{verb}", body, RegisteredProduct)
        self._forget(product.descriptor.address)
        return product

    def _forget(self, product: Address) -> None:
        with self._lock:
            for address in [each for each in self._bindings if each.of_product == product.of_product]:
                del self._bindings[address]


class _Judgement(BaseModel):
    verdicts: tuple[Verdict, ...]


class _SchemaAnswer(BaseModel):
    """Confluent's answer, or the mesh's."""

    text: str = Field(validation_alias=AliasChoices("schema_text", "schema"))


def _declaration(
    product: Product, schemas: Mapping[str, Schema], bootstrap_servers: str | None = None
) -> ProductRegistration:
    return ProductRegistration(
        descriptor=product,
        schemas={port: schema.text for port, schema in schemas.items()},
        bootstrap_servers=bootstrap_servers,
    )


def _remember(kept: dict[Any, Any], key: Any, value: Any, room: int) -> None:
    kept[key] = value
    while len(kept) > room:
        del kept[next(iter(kept))]


def _address(address: Address | str) -> Address:
    return Address.parse(address) if isinstance(address, str) else address


def _guid_or_address(text: str) -> UUID | Address:
    try:
        return UUID(text)
    except ValueError:
        return Address.parse(text)
