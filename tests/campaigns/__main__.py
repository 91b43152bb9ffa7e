"""The long form of what the suite does in short: `python -m tests.campaigns [PART ...]`.

The parts are kills, outages, faults, storm, readers, replay, archive, archive-readers, outbox, debezium, backup, versions, chart,
defects, repeated, image and compose. Without one it runs all of them, which takes an hour or more on two cores, and prints a
table at the end. Its exit code is 1 if a ledger found something, a kill was not made, a defect was not caught or a test failed.
A part that ends by an error is WRONG in the table, and the others run all the same.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tests.campaigns import (
    archive,
    archive_readers,
    backups,
    chart,
    compose,
    debezium,
    faults,
    image,
    kills,
    outages,
    outbox,
    readers,
    repetition,
    replays,
    sabotage,
    storm,
    versions,
)
from tests.campaigns.logic import COLUMNS, KEYS
from tests.campaigns.outcome import Outcome, say, table
from tests.campaigns.points import Engine

PARTS: Final = (
    "kills",
    "outages",
    "faults",
    "storm",
    "readers",
    "replay",
    "archive",
    "archive-readers",
    "outbox",
    "debezium",
    "backup",
    "versions",
    "chart",
    "defects",
    "repeated",
    "image",
    "compose",
)
Job = Callable[[], list[Outcome]]
Asked = TypeVar("Asked")

ENGINES: Final[tuple[Engine, ...]] = ("batch", "faust")


def main() -> None:
    """Run the parts that are named, and print the table of what became of them."""
    asked = _parser().parse_args()
    outcomes: list[Outcome] = []
    try:
        for part in asked.part or PARTS:
            for name, job in _jobs(part, asked):
                outcomes += _outcomes(name, job)
                say("")
    finally:
        say(table(outcomes))
    sys.exit(0 if all(each.right for each in outcomes) else 1)


def _outcomes(name: str, job: Job) -> list[Outcome]:
    """Run a job; an error is its outcome, so that the jobs that follow run all the same."""
    begun = time.monotonic()
    try:
        return job()
    except Exception as error:  # noqa: BLE001 - the edge of the job; the traceback is printed
        traceback.print_exc()
        return [Outcome(name, f"ended by {type(error).__name__}", None, time.monotonic() - begun, right=False)]


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
    parser.add_argument(
        "--moves", type=int, default=200, help="of members, for each engine, and kills of readers (%(default)s)"
    )
    parser.add_argument(
        "--database",
        action="append",
        choices=outbox.DATABASES,
        help="of an outbox or a registry; by default both in turn",
    )
    parser.add_argument("--relays", type=int, default=100, help="kills of relays, on each database (%(default)s)")
    parser.add_argument("--archived", type=int, default=100, help="kills of an archiver (%(default)s)")
    parser.add_argument("--store", choices=["folder", "s3"], default="folder", help="where it archives (%(default)s)")
    parser.add_argument("--replays", type=int, default=50, help="kills, for each output of a replay (%(default)s)")
    parser.add_argument("--events", type=int, default=2_000_000, help="that are replayed (%(default)s)")
    parser.add_argument("--rows", type=int, default=50_000, help="of an outbox, on each database (%(default)s)")
    parser.add_argument(
        "--container", action="append", choices=compose.KILLED, help="of the compose file; by default each in turn"
    )
    parser.add_argument("--base", type=Path, help="a file that keeps the base of the image; by default it is made anew")
    parser.add_argument("--times", type=int, default=20, help="of backups, on each database (%(default)s)")
    parser.add_argument("--older", metavar="REVISION", help="by default the newest commit of another version")
    parser.add_argument("--lanes", type=int, help="processors beside each other")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (%(default)s)")
    return parser


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PARTS)}")
    return text


def _jobs(part: str, asked: argparse.Namespace) -> Iterator[tuple[str, Job]]:
    """Yield the jobs of a part, each with its name: one for each engine and plan."""
    engines, seed = asked.engine or ENGINES, asked.seed
    match part:
        case "kills":
            for engine in engines:
                for plan, count in _shares(asked.kills, asked.plan or _plans(engine)):
                    campaign = kills.Campaign(engine, plan, count, seed, asked.lanes or kills.LANES)
                    yield f"kills, {engine}, {plan}", partial(_alone, kills.run, campaign)
        case "outages":
            for engine in engines:
                outage = outages.Outages(engine, "windows", asked.outages, seed)
                yield f"outages, {engine}, windows", partial(_alone, outages.run, outage)
        case "faults":
            for engine in engines:
                for plan in asked.plan or ["windows"]:
                    yield f"faults, {engine}, {plan}", partial(_alone, faults.run, faults.Faults(engine, plan, seed))
        case "storm":
            for engine in engines:
                for plan, count in _shares(asked.moves, asked.plan or ["windows"]):
                    storm_ = storm.Storm(engine, plan, count, seed, asked.lanes or storm.LANES)
                    yield f"storm, {engine}, {plan}", partial(_alone, storm.run, storm_)
        case "outbox":
            for database in asked.database or outbox.DATABASES:
                relayed = outbox.OutboxCampaign(database, asked.relays, asked.rows, seed)
                yield f"outbox, {database}", partial(_alone, outbox.run, relayed)
        case "debezium":
            routed = debezium.DebeziumCampaign(asked.seed)
            yield "debezium", partial(_alone, debezium.run, routed)
        case "backup":
            for database in asked.database or outbox.DATABASES:
                drills = backups.Backups(database, asked.times)
                yield f"backup, {database}", partial(_alone, backups.run, drills)
        case "versions":
            yield "versions", partial(versions.run, asked.older)
        case "readers":
            yield "readers", partial(_alone, readers.run, readers.Readers(asked.moves, seed))
        case "replay":
            replayed = replays.ReplayCampaign(asked.replays, asked.events, seed)
            yield "replay", partial(replays.run, replayed)
        case "archive":
            yield "archive", partial(archive.run, archive.ArchiveCampaign(asked.archived, store=asked.store, seed=seed))
        case "archive-readers":
            yield "archive-readers", partial(archive_readers.run, 200_000)
        case "chart":
            yield "chart", chart.run
        case "defects":
            yield "defects", lambda: [sabotage.run(engines, seed)]
        case "compose":
            composed = compose.ComposeCampaign(asked.container or compose.KILLED)
            yield "compose", partial(_alone, compose.run, composed)
        case "image":
            yield "image", partial(image.run, asked.base)
        case _:
            yield "repeated", repetition.run


def _alone(run: Callable[[Asked], Outcome], asked: Asked) -> list[Outcome]:
    return [run(asked)]


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
