"""What clients with and without asyncio ask of a registry, each call once; see `meshport.registry.requests`."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport.catalog import Health, Lineage, ProductPage, ProductPast, Reader
from meshport.registry.requests import Call, Steps, parse_response
from meshport.search import SearchPage
from meshport.seen_readers import LineReaders

_DOCUMENT: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_READERS: Final = TypeAdapter(tuple[Reader, ...])
_LINES: Final = TypeAdapter(tuple[LineReaders, ...])


def product(which: UUID | Address | str) -> Steps[RegisteredProduct]:
    """See `Registry.product`."""
    if isinstance(which, str):
        which = _guid_or_address(which)
    found = str(which) if isinstance(which, UUID) else f"by-address/{which.of_product.key}"
    return parse_response((yield Call(f"/api/v1/dataproducts/{found}")), RegisteredProduct.model_validate_json)


def search(text: str | None, *, offset: int, limit: int, **narrowed: str) -> Steps[ProductPage]:
    """See `Registry.search`."""
    query = {"q": text, "offset": offset, "limit": limit, **narrowed}
    return parse_response((yield Call("/api/v1/dataproducts", query)), ProductPage.model_validate_json)


def find(text: str, *, offset: int, limit: int, **narrowed: str) -> Steps[SearchPage]:
    """See `Registry.find`."""
    query = {"q": text, "offset": offset, "limit": limit, **narrowed}
    return parse_response((yield Call("/api/v1/search", query)), SearchPage.model_validate_json)


def lineage(address: Address | str) -> Steps[Lineage]:
    """See `Registry.lineage`."""
    path = f"/api/v1/lineage/{to_address(address).of_product.key}"
    return parse_response((yield Call(path)), Lineage.model_validate_json)


def readers(address: Address | str) -> Steps[tuple[Reader, ...]]:
    """See `Registry.readers`."""
    wanted = to_address(address)
    path = f"/api/v1/readers/{wanted.key.partition('@')[0]}"
    return parse_response((yield Call(path, {"major": wanted.major})), _READERS.validate_json)


def seen_readers(address: Address | str) -> Steps[tuple[LineReaders, ...]]:
    """See `Registry.seen_readers`."""
    wanted = to_address(address)
    path = f"/api/v1/seen-readers/{wanted.key.partition('@')[0]}"
    return parse_response((yield Call(path, {"major": wanted.major})), _LINES.validate_json)


def past(address: Address | str) -> Steps[ProductPast]:
    """See `Registry.past`."""
    path = f"/api/v1/gate/past/{to_address(address).of_product.key}"
    return parse_response((yield Call(path)), ProductPast.model_validate_json)


def export(form: str, address: Address | None) -> Steps[Any]:
    """See `Registry.export`."""
    of = "" if address is None else f"/products/{address.of_product.key}"
    return parse_response((yield Call(f"/api/v1{of}/export/{form}")), _DOCUMENT.validate_json)


def health() -> Steps[Health]:
    """See `Registry.health`."""
    return parse_response((yield Call("/health")), Health.model_validate_json)


def to_address(address: Address | str) -> Address:
    """Return the address of a text.

    Raises:
        AddressError: the text is none.
    """
    return Address.parse(address) if isinstance(address, str) else address


def _guid_or_address(text: str) -> UUID | Address:
    try:
        return UUID(text)
    except ValueError:
        return Address.parse(text)
