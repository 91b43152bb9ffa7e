"""The page of a port's quarantine: the newest events that its processor could not process, and the newest late ones."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.product.input_port import AddressText
from meshport.quarantine_report import QuarantineEntry, QuarantineReport
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading, product_at
from meshport_registry.catalog.lines import LineChoice, lines_to_choose
from meshport_registry.catalog.processing import ShownProcessor, shown_processor
from meshport_registry.catalog.routing import page_router
from meshport_registry.mesh_api import Major, Segment
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address
from meshport_registry.quarantine import find_quarantine, for_caller
from meshport_registry.state import Database

router = page_router()

_ROW: Final = 16


class ShownBytes(BaseModel):
    """The first bytes of a key or value.

    Attributes:
        size: of all of them; None where that is not known.
        shown: how many are shown.
        text: as text, where they are text that can be printed; else None.
        dump: as rows of offset, hexadecimal bytes, and letters of ASCII.
    """

    model_config = ConfigDict(frozen=True)

    size: int | None
    shown: int
    text: str | None
    dump: str

    @classmethod
    def of(cls, hexadecimal: str | None, size: int | None) -> ShownBytes | None:
        """Return bytes as they are shown; None where there are none, or they are withheld."""
        if hexadecimal is None:
            return None
        data = bytes.fromhex(hexadecimal)
        return cls(size=size, shown=len(data), text=_text(data), dump=_dump(data))


class ShownEntry(BaseModel):
    """One event of the quarantine.

    Attributes:
        entry: as the API has it.
        key: the bytes of its key.
        value: the bytes of its value.
        redrive: the command that brings it back; "" of a late event, and of one that was redriven.
    """

    model_config = ConfigDict(frozen=True)

    entry: QuarantineEntry
    key: ShownBytes | None
    value: ShownBytes | None
    redrive: str


class QuarantineView(PageView):
    """The page of a port's quarantine.

    Attributes:
        lines: the ports and majors that there are.
        address: of the one that is shown.
        short_address: as commands take it.
        processor: that builds it; None where none does.
        report: what was found, as far as the caller may see it, without its entries; None where no observer reported.
        quarantined: the newest events that could not be processed, newest first.
        late: the newest late events, newest first.
    """

    title: str
    product: ProductHeading
    lines: tuple[LineChoice, ...]
    address: AddressText
    short_address: str
    processor: ShownProcessor | None
    report: QuarantineReport | None
    quarantined: tuple[ShownEntry, ...]
    late: tuple[ShownEntry, ...]


@router.get("/catalog/quarantine/{domain}/{product}")
async def quarantine(
    request: Request,
    store: Database,
    domain: Segment,
    product: Segment,
    *,
    port: str | None = None,
    major: Major = None,
) -> Response:
    """Show what the processor of a port could not process, to who may read the port."""
    address = Address(domain, product, port, major if port else None)

    def read(connection: Connection) -> tuple[QuarantineView, QuarantineReport | None]:
        heading, declared = product_at(connection, domain, product)
        bindings = bindings_of(connection, require_address(connection, address), DefaultCluster())
        shown = choose_binding(bindings, address).address
        view = QuarantineView(
            title=f"Quarantine of {heading.display_name}",
            product=heading,
            lines=lines_to_choose(connection, address, shown),
            address=shown,
            short_address=shown.key,
            processor=shown_processor(connection, declared, shown),
            report=None,
            quarantined=(),
            late=(),
        )
        return view, find_quarantine(connection, shown)

    view, found = await store.read(read)
    if found is not None:
        found = await for_caller(request, store, found)
        entries = [_shown(each, view.short_address) for each in found.entries]
        view = view.model_copy(
            update={
                "report": found.model_copy(update={"entries": ()}),
                "quarantined": tuple(each for each in entries if not each.entry.late),
                "late": tuple(each for each in entries if each.entry.late),
            }
        )
    return await show(request, "quarantine.html", view)


def _shown(entry: QuarantineEntry, address: str) -> ShownEntry:
    back = f"meshport redrive {address} --topic {entry.topic} --partition {entry.partition} --offset {entry.offset}"
    return ShownEntry(
        entry=entry,
        key=ShownBytes.of(entry.key, entry.key_bytes),
        value=ShownBytes.of(entry.value, entry.value_bytes),
        redrive="" if entry.late or entry.redriven or entry.window is not None else back,
    )


def _text(data: bytes) -> str | None:
    """Return bytes as text, where every character of it can be printed; the end may be cut within a character."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        text = data[: error.start].decode("utf-8")
    return text if text and all(each.isprintable() or each in "\n\t" for each in text) else None


def _dump(data: bytes) -> str:
    rows, width = [], 3 * min(_ROW, len(data)) - 1
    for start in range(0, len(data), _ROW):
        row = data[start : start + _ROW]
        letters = "".join(chr(each) if 0x20 <= each < 0x7F else "." for each in row)
        rows.append(f"{start:04x}  {row.hex(' '):<{width}}  {letters}")
    return "\n".join(rows)
