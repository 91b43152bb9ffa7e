"""What clients with and without asyncio ask of a registry, each call once; see `meshport.registry.requests`."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport.catalog import Health, Lineage, ProductPage, ProductPast, Reader
from meshport.compat.port_history import PortVersions, VersionComparison
from meshport.errors import AddressError
from meshport.field_flows import FieldFlows
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


def field_lineage(address: Address | str, field: str | None) -> Steps[FieldFlows]:
    """See `Registry.field_lineage`."""
    path = f"/api/v1/lineage/{to_address(address).of_product.key}/fields"
    return parse_response((yield Call(path, {"field": field})), FieldFlows.model_validate_json)


def versions(port: Address | str) -> Steps[PortVersions]:
    """See `Registry.versions`."""
    wanted = _port(port)
    call = Call(f"/api/v1/versions/{wanted.key.partition('@')[0]}", {"major": wanted.major})
    return parse_response((yield call), PortVersions.model_validate_json)


def compare(port: Address | str, number: int, against: int | None) -> Steps[VersionComparison]:
    """See `Registry.compare`."""
    wanted = _port(port)
    path = f"/api/v1/versions/{wanted.key.partition('@')[0]}/{number}"
    call = Call(path, {"major": wanted.major, "against": against})
    return parse_response((yield call), VersionComparison.model_validate_json)


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


def line_path(port: Address | str, what: str) -> tuple[str, int | None]:
    """Return the path of what the mesh API has of a port, as `profiles`, and the major that is asked for.

    Raises:
        AddressError: the text is no address.
    """
    address = to_address(port)
    return f"/api/v1/{what}/{address.key.partition('@')[0]}", address.major


def to_address(address: Address | str) -> Address:
    """Return the address of a text.

    Raises:
        AddressError: the text is none.
    """
    return Address.parse(address) if isinstance(address, str) else address


def _port(address: Address | str) -> Address:
    wanted = to_address(address)
    if wanted.port is None:
        raise AddressError(
            f"{wanted} names no port", hint=f"name one, as in {Address(wanted.domain, wanted.product, 'events')}"
        )
    return wanted


def _guid_or_address(text: str) -> UUID | Address:
    try:
        return UUID(text)
    except ValueError:
        return Address.parse(text)
