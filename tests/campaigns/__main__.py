"""The long form of what the suite does in short: `python -m tests.campaigns [kills|outages|faults|storm|defects|repeated] ...`.

Without a part it runs all of them, which takes an hour or more on two cores, and prints a table at the end. Its exit code is 1
if a ledger found something, a kill was not made, a defect was not caught or a test failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from tests.campaigns import faults, kills, outages, repetition, sabotage, storm
from tests.campaigns.logic import COLUMNS, KEYS
from tests.campaigns.outcome import Outcome, say, table
from tests.campaigns.points import Engine

PARTS: Final = ("kills", "outages", "faults", "storm", "defects", "repeated")
ENGINES: Final[tuple[Engine, ...]] = ("batch", "faust")


def main() -> None:
    """Run the parts that are named, and print the table of what became of them."""
    asked = _parser().parse_args()
    outcomes: list[Outcome] = []
    for part in asked.part or PARTS:
        for outcome in _run(part, asked):
            outcomes.append(outcome)
            say("")
    say(table(outcomes))
    sys.exit(0 if all(each.right for each in outcomes) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", type=_part, help=f"{', '.join(PARTS)}; by default all of them")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="by default both")
    parser.add_argument(
        "--plan", action="append", choices=list(KEYS), help="of kills and storms; by default each in turn"
    )
    parser.add_argument("--kills", type=int, default=200, help="of each engine, shared by the plans (%(default)s)")
    parser.add_argument("--outages", type=int, default=30, help="kills of brokers, for each engine (%(default)s)")
    parser.add_argument("--moves", type=int, default=200, help="of members, for each engine (%(default)s)")
    parser.add_argument("--lanes", type=int, help="processors beside each other")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (%(default)s)")
    return parser


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PARTS)}")
    return text


def _run(part: str, asked: argparse.Namespace) -> Iterator[Outcome]:
    engines = asked.engine or ENGINES
    match part:
        case "kills":
            for engine in engines:
                for plan, count in _shares(asked.kills, asked.plan or _plans(engine)):
                    yield kills.run(kills.Campaign(engine, plan, count, asked.seed, asked.lanes or kills.LANES))
        case "outages":
            for engine in engines:
                yield outages.run(outages.Outages(engine, "windows", asked.outages, asked.seed))
        case "faults":
            for engine in engines:
                for plan in asked.plan or ["windows"]:
                    yield faults.run(faults.Faults(engine, plan, asked.seed))
        case "storm":
            for engine in engines:
                for plan, count in _shares(asked.moves, asked.plan or ["windows"]):
                    yield storm.run(storm.Storm(engine, plan, count, asked.seed, asked.lanes or storm.LANES))
        case "defects":
            yield sabotage.run(engines, asked.seed)
        case _:
            yield from repetition.run()


def _plans(engine: Engine) -> list[str]:
    """The plans that differ for an engine: only the batch engine computes by columns."""
    return [plan for plan in KEYS if plan != COLUMNS or engine == "batch"]


def _shares(count: int, plans: list[str]) -> Iterator[tuple[str, int]]:
    """Share a count evenly among plans."""
    for number, plan in enumerate(plans):
        share = count // len(plans) + (number < count % len(plans))
        if share:
            yield plan, share


if __name__ == "__main__":
    main()
