"""What became of each part of a campaign, and the table of all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from tests.campaigns.ledger import Report

_KINDS: Final = [each.name for each in fields(Report) if each.name != "figures"]


@dataclass(frozen=True)
class Outcome:
    """What became of one part.

    Attributes:
        part: its name.
        done: how much was done, for people.
        report: of the ledger; None for a part that has none.
        took_s: seconds.
        right: whether it is as it should be.
    """

    part: str
    done: str
    report: Report | None
    took_s: float
    right: bool

    def cells(self) -> list[str]:
        """Its row of the table."""
        counts = [str(len(getattr(self.report, kind))) if self.report else "" for kind in _KINDS]
        return [self.part, self.done, *counts, f"{self.took_s:.0f}", "right" if self.right else "WRONG"]


def table(outcomes: Sequence[Outcome]) -> str:
    """The ledger of a campaign: a row for each part, its columns aligned."""
    rows = [["part", "done", *_KINDS, "s", "verdict"], *(each.cells() for each in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = range(2, len(rows[0]) - 1)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
