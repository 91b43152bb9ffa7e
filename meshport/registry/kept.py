"""What a client of the registry keeps, so that producers and consumers run while the registry is down.

A schema never changes: one that was fetched once is used for as long as the client lives. A binding that was resolved once is
used until the registry answers again.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.registry.requests import Call, Steps, parse_response
from meshport.schema import Schema
from meshport.seen_readers import SubscriberName

_Key = TypeVar("_Key", int, str)
_Asked = tuple[Address, SubscriberName | None]

# About 40 MB of schemas, four times those of the largest mesh of the benchmarks.
_SCHEMAS_KEPT: Final = 4096
_BINDINGS_KEPT: Final = 4096


class ResolvedBindings:
    """The bindings that a client has resolved; thread-safe.

    Args:
        keep: seconds for which a binding is returned without a request.
    """

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._known: dict[Address, Binding] = {}
        self._asked_at: dict[_Asked, float] = {}

    def resolve(self, wanted: Address, reader: SubscriberName | None = None) -> Steps[Binding]:
        """See `Registry.resolve`; each subscriber asks by itself, so that the registry knows of each."""
        with self._lock:
            known, at = self._known.get(wanted), self._asked_at.get((wanted, reader))
        if known is not None and at is not None and time.monotonic() - at < self._keep:
            return known
        try:
            return (yield from self.refresh(wanted, reader))
        except RegistryUnavailable:
            if known is None:
                raise
            self._note_asked(wanted, reader)
            return known
        except NotRegistered:
            with self._lock:
                self._known.pop(wanted, None)
            raise

    def refresh(self, wanted: Address, reader: SubscriberName | None = None) -> Steps[Binding]:
        """See `Registry.refresh`."""
        path = f"/api/v1/resolve/{wanted.key.partition('@')[0]}"
        response = yield Call(path, {"major": wanted.major}, reader=reader)
        binding = parse_response(response, Binding.model_validate_json)
        with self._lock:
            _remember(self._known, wanted, binding, _BINDINGS_KEPT)
        for asker in {None, reader}:
            self._note_asked(wanted, asker)
        return binding

    def forget(self, product: Address) -> None:
        """Forget the bindings of a product: the next `resolve` asks the registry."""
        with self._lock:
            for address in [each for each in self._known if each.of_product == product.of_product]:
                del self._known[address]

    def _note_asked(self, wanted: Address, asker: SubscriberName | None) -> None:
        with self._lock:
            _remember(self._asked_at, (wanted, asker), time.monotonic(), _BINDINGS_KEPT)


class FetchedSchemas:
    """The schemas that a client has fetched; thread-safe.

    One that was fetched by its id is known by its fingerprint as well: events are read by either, one by one or in columns, and a
    registry that does not answer must not make the difference.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[int, Schema] = {}
        self._by_fingerprint: dict[str, Schema] = {}

    def by_id(self, schema_id: int) -> Steps[Schema]:
        """See `Registry.by_id`."""
        return self._schema(self._by_id, schema_id, f"/schemas/ids/{schema_id}?format=resolved")

    def by_fingerprint(self, fingerprint: str) -> Steps[Schema]:
        """See `Registry.by_fingerprint`."""
        return self._schema(self._by_fingerprint, fingerprint, f"/api/v1/schemas/{fingerprint}")

    def by_guid(self, guid: UUID) -> Steps[Schema]:
        """See `Registry.by_guid`."""
        return self._schema(self._by_fingerprint, str(guid), f"/schemas/guids/{guid}?format=resolved")

    def _schema(self, kept: dict[_Key, Schema], key: _Key, path: str) -> Steps[Schema]:
        with self._lock:
            found = kept.get(key)
        if found is not None:
            return found
        answer = parse_response((yield Call(path)), _SchemaResponse.model_validate_json)
        schema = Schema(answer.text)
        with self._lock:
            _remember(kept, key, schema, _SCHEMAS_KEPT)
            _remember(self._by_fingerprint, schema.fingerprint, schema, _SCHEMAS_KEPT)
            if answer.id is not None:
                _remember(self._by_id, answer.id, schema, _SCHEMAS_KEPT)
        return schema


class _SchemaResponse(BaseModel):
    """A schema in Confluent's format, or in the mesh API's."""

    text: str = Field(validation_alias=AliasChoices("schema_text", "schema"))
    id: int | None = None


def _remember(kept: dict[Any, Any], key: Any, value: Any, room: int) -> None:
    kept[key] = value
    while len(kept) > room:
        del kept[next(iter(kept))]
