"""`python -m tests.bench [part ...]`: every figure, or those of the named parts (`PARTS`).

A part may be told what of it is wanted: `processors:transform,window:faust,kafka-streams`, see its `figures`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Final

from tests.bench import (
    archive,
    catalog,
    codec,
    columnar,
    contracts,
    emitting,
    exports,
    gate,
    identity,
    lead_time,
    observing,
    outbox,
    ports,
    registry,
    registry_attacks,
    replaying,
    secured,
    state,
)
from tests.bench.figures import Figure
from tests.bench.processors import bench as processors

PARTS: Final[dict[str, Callable[..., Iterator[Figure]]]] = {
    "archive": archive.figures,
    "catalog": catalog.figures,
    "codec": codec.figures,
    "columnar": columnar.figures,
    "contracts": contracts.figures,
    "emitting": emitting.figures,
    "exports": exports.figures,
    "gate": gate.figures,
    "identity": identity.figures,
    "lead-time": lead_time.figures,
    "observing": observing.figures,
    "outbox": outbox.figures,
    "ports": ports.figures,
    "processors": processors.figures,
    "registry": registry.figures,
    "registry-attacks": registry_attacks.figures,
    "replaying": replaying.figures,
    "secured": secured.figures,
    "state": state.figures,
}


def main() -> None:
    """Print each figure as soon as it is measured."""
    wanted = sys.argv[1:] or list(PARTS)
    for part in wanted:
        name, *options = part.split(":")
        if name not in PARTS:
            sys.exit(f"no part {name!r}; there are {', '.join(PARTS)}")
        for figure in PARTS[name](*options):
            sys.stdout.write(figure.line() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
