"""`python -m tests.bench [part ...]`: every figure, or those of the named parts (`PARTS`)."""

from __future__ import annotations

import sys

from tests.bench import codec, columnar, contracts, engines, gate, ports, registry

PARTS = {
    "codec": codec.figures,
    "columnar": columnar.figures,
    "contracts": contracts.figures,
    "engines": engines.figures,
    "gate": gate.figures,
    "ports": ports.figures,
    "registry": registry.figures,
}


def main() -> None:
    """Print each figure as soon as it is measured."""
    wanted = sys.argv[1:] or list(PARTS)
    for name in wanted:
        if name not in PARTS:
            sys.exit(f"no part {name!r}; there are {', '.join(PARTS)}")
        for figure in PARTS[name]():
            sys.stdout.write(figure.line() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
