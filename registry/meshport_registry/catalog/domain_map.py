"""The domains of a mesh as a drawing: a column for each step along the flow of data, a curve from each domain to its readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from meshport_registry.catalog.overview import DomainCounts

MOST_DOMAINS: Final = 40
"""Domains of one drawing; more are too small to be read, and the list below it has all."""
_WIDTH: Final = 168
_HEIGHT: Final = 46
_ACROSS: Final = 260
_DOWN: Final = 64
_MARGIN: Final = 4
_LONGEST: Final = 20


class DomainBox(BaseModel):
    """A domain in the drawing: its box, by the upper left corner."""

    model_config = ConfigDict(frozen=True)

    name: str
    label: str
    products: int
    x: int
    y: int


class DomainMap(BaseModel):
    """The drawing.

    Attributes:
        width, height: of all of it, and of a box.
        boxes: the domains.
        curves: as the `d` of SVG's paths.
    """

    model_config = ConfigDict(frozen=True)

    width: int
    height: int
    box_width: int = _WIDTH
    box_height: int = _HEIGHT
    boxes: tuple[DomainBox, ...]
    curves: tuple[str, ...]


def domain_map(domains: Sequence[DomainCounts]) -> DomainMap | None:
    """Return the drawing of some domains, which come along the flow of data; None where there is nothing to be seen in one."""
    if len(domains) > MOST_DOMAINS or not any(each.reads for each in domains):
        return None
    columns: list[list[DomainCounts]] = []
    of: dict[str, int] = {}
    for each in domains:
        column = max((of[source] + 1 for source in each.reads if source in of), default=0)
        of[each.name] = column
        columns.extend([] for _ in range(column + 1 - len(columns)))
        columns[column].append(each)
    most = max(map(len, columns))
    boxes: dict[str, DomainBox] = {}
    for across, column_domains in enumerate(columns):
        ordered = sorted(column_domains, key=lambda each: (_middle(each, boxes), each.name))
        above = (most - len(ordered)) * _DOWN // 2
        for down, each in enumerate(ordered):
            label = each.name if len(each.name) <= _LONGEST else f"{each.name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
            boxes[each.name] = DomainBox(
                name=each.name,
                label=label,
                products=each.products,
                x=_MARGIN + across * _ACROSS,
                y=_MARGIN + above + down * _DOWN,
            )
    curves = [_curve(boxes[source], boxes[each.name]) for each in domains for source in each.reads if source in boxes]
    return DomainMap(
        width=2 * _MARGIN + (len(columns) - 1) * _ACROSS + _WIDTH,
        height=2 * _MARGIN + (most - 1) * _DOWN + _HEIGHT,
        boxes=tuple(boxes.values()),
        curves=tuple(curves),
    )


def _middle(domain: DomainCounts, boxes: dict[str, DomainBox]) -> float:
    """Return the mean height of the domains that a domain reads, so that few curves cross."""
    heights = [boxes[source].y for source in domain.reads if source in boxes]
    return sum(heights) / len(heights) if heights else 0.0


def _curve(source: DomainBox, reader: DomainBox) -> str:
    x, y = source.x + _WIDTH, source.y + _HEIGHT // 2
    to_x, to_y = reader.x, reader.y + _HEIGHT // 2
    bend = max(abs(to_x - x) // 2, 30)
    return f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
