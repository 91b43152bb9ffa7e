"""The processor of a product as pages show it: whether it runs, and what it had not processed when it was observed last."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from meshport.address import Address
from meshport.processor_reports import KeptEvents, ProcessorReport, ProcessorState, ProcessorStatus
from meshport.product import Product
from meshport_registry.catalog.words import count, waited
from meshport_registry.processors import processor_of

__all__ = ["ShownProcessor", "kept_in_words", "shown_processor"]


class ShownProcessor(BaseModel):
    """A processor on a page.

    Attributes:
        status: as the API has it.
        headline: whether it runs, in words, without the state itself.
        backlog: what it had not processed, in words; "" where that is not known.
        quarantined: how many events it quarantined, in words.
        late: how many events came late, in words.
    """

    model_config = ConfigDict(frozen=True)

    status: ProcessorStatus
    headline: str
    backlog: str
    quarantined: str
    late: str


def shown_processor(connection: Connection, product: Product, address: Address) -> ShownProcessor | None:
    """Return the processor that builds a port; None where none does.

    Args:
        connection: to the database.
        product: that declares the port.
        address: of the port, with its major.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    if product.process is None or address.port != product.default_port.name:
        return None
    status = processor_of(connection, address)
    report = status.report
    return ShownProcessor(
        status=status,
        headline=_headline(status),
        backlog="" if report is None else _backlog(report),
        quarantined="" if report is None else kept_in_words(report.quarantined),
        late="" if report is None else kept_in_words(report.late),
    )


def _headline(status: ProcessorStatus) -> str:
    report = status.report
    if report is None:
        return "no observer reported on it"
    if report.state is ProcessorState.UNKNOWN:
        return f"not known: {report.hidden}"
    found = count(report.members, "member") if report.members else "its group has no member"
    return found if status.is_current else f"not observed lately; then: {found}"


def _backlog(report: ProcessorReport) -> str:
    if report.events is None:
        return ""
    if not report.events:
        return "nothing waits"
    number = f"{'at most ' if report.at_most else ''}{count(report.events, 'event')} {'waits' if report.events == 1 else 'wait'}"
    return number if report.seconds is None else f"{number}, the oldest for {waited(report.seconds)}"


def kept_in_words(kept: KeptEvents | None) -> str:
    """Return how many events a processor keeps: `none`, `3 events, 1 of them redriven`."""
    if kept is None:
        return "not known: the observer cannot read them"
    if not kept.events:
        return "none"
    number = f"{'at most ' if kept.at_most else ''}{count(kept.events, 'event')}"
    return f"{number}, {kept.redriven:,} of them redriven" if kept.redriven else number
