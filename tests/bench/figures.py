"""A figure of the bench: one JSON line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure beside a peer or a limit that was measured in the same run.

    Attributes:
        figure: what was measured.
        value: of ours.
        unit: of both values.
        peer: whose value it stands beside, None for a figure by itself.
        peer_value: of the peer.
    """

    figure: str
    value: float
    unit: str
    peer: str | None
    peer_value: float | None

    def line(self) -> str:
        """The figure as the bench prints it; `ratio` is value / peer_value."""
        ratio = self.value / self.peer_value if self.peer_value else None
        facts = {
            "figure": self.figure,
            "value": _rounded(self.value),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": _rounded(self.peer_value),
            "ratio": _rounded(ratio),
        }
        return json.dumps(facts)


def say(line: str) -> None:
    """Print a line for people, on stderr; stdout is for figures."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
