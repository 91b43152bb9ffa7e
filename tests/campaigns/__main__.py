"""`python -m tests.campaigns kills|storm|defects`: the big campaigns of which the suite runs small ones."""

from __future__ import annotations

import argparse
import sys

from tests.campaigns import kills, sabotage, storm
from tests.campaigns.logic import KEYS


def main() -> None:
    """Run one campaign; exit code 1 where the ledger found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    killing = commands.add_parser("kills", help=kills.__doc__)
    killing.add_argument("--kills", type=int, default=200)
    killing.add_argument("--lanes", type=int, default=kills.LANES)
    storming = commands.add_parser("storm", help=storm.__doc__)
    storming.add_argument("--moves", type=int, default=200)
    storming.add_argument("--lanes", type=int, default=storm.LANES)
    sabotaging = commands.add_parser("defects", help=sabotage.__doc__)
    sabotaging.add_argument("--engine", action="append", choices=["batch", "faust"])
    for each in (killing, storming):
        each.add_argument("--engine", choices=["batch", "faust"], required=True)
        each.add_argument("--plan", choices=list(KEYS), default="windows")
    for each in (killing, storming, sabotaging):
        each.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    match told.command:
        case "kills":
            clean = kills.run(kills.Campaign(told.engine, told.plan, told.kills, told.seed, told.lanes))
        case "storm":
            clean = storm.run(storm.Storm(told.engine, told.plan, told.moves, told.seed, told.lanes))
        case _:
            clean = sabotage.run(told.engine or ["batch", "faust"], told.seed)
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
