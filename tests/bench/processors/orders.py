"""Orders and customers, the same for everyone, and what each job has to make of them, in the plainest way."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from tests.bench.processors.schemas import WINDOW_MS, Job

CUSTOMERS: Final = 1_000
SPACING_MS: Final = 10
PER_WINDOW: Final = WINDOW_MS // SPACING_MS
"""A window holds a thousand orders, and the next one begins: windows close all along, ten orders a row."""

_BUYERS: Final = 100
_TIERS: Final = ("basic", "silver", "gold")


class Totals(NamedTuple):
    """What a job's outputs come to: how many, and the sum of the job's summed field (`schemas.SUMMED`)."""

    rows: int
    sum: int


def name(number: int) -> str:
    """A customer's id."""
    return f"customer-{number:04d}"


def customers(since: datetime) -> Iterator[dict[str, Any]]:
    """One row a customer."""
    for number in range(CUSTOMERS):
        yield {
            "customer_id": name(number),
            "tier": _TIERS[number % 3],
            "credit": number * 100,
            "since": since,
        }


def orders(count: int, start: datetime, *, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Orders in the order of their times; a hundred customers buy in each window, others in the next.

    Args:
        count: how many.
        start: time of the first, the beginning of a window.
        seed: of the customers' choice.
    """
    dice = random.Random(seed)
    for number in range(count):
        yield {
            "order_id": f"o-{number:012d}",
            "customer_id": name((number // PER_WINDOW * _BUYERS + dice.randrange(_BUYERS)) % CUSTOMERS),
            "amount_cents": number * 37 % 100_000,
            "currency": ("EUR", "USD", "GBP")[number % 3],
            "quantity": number % 7 + 1,
            "price": number * 37 % 100_000 / 100,
            "note": None if number % 4 else "leave it at the door",
            "placed_at": start + timedelta(milliseconds=number * SPACING_MS),
            "tags": ["web", "promo"] if number % 2 else ["shop"],
            "gift": number % 3 == 0,
        }


def closing(count: int, start: datetime, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    """An order a partition, an hour after all others, so that every window before it closes.

    Args:
        count: of the orders before.
        start: time of the first order.
        keys: a customer for each partition.
    """
    last = next(iter(orders(1, start)))
    for number, key in enumerate(keys):
        yield last | {
            "order_id": f"o-closing-{number}",
            "customer_id": key,
            "placed_at": start + timedelta(milliseconds=count * SPACING_MS, hours=1),
        }


def window_start(moment: datetime) -> datetime:
    """The beginning of the window that holds a time."""
    return datetime.fromtimestamp(int(moment.timestamp() * 1000) // WINDOW_MS * WINDOW_MS / 1000, UTC)


def expected(job: Job, placed: Iterable[dict[str, Any]]) -> Totals:
    """Recount: what a job's outputs have to come to.

    Args:
        job: the job.
        placed: the orders, the closing ones last. The windows that those open never close.
    """
    rows = total = 0
    cents: dict[Any, int] = defaultdict(int)
    newest = max_start = datetime.min.replace(tzinfo=UTC)
    for order in placed:
        amount, customer = order["amount_cents"], order["customer_id"]
        rows += 1
        newest = max(newest, order["placed_at"])
        match job:
            case "transform":
                total += amount * order["quantity"]
            case "join":
                total += int(customer.removeprefix("customer-")) * 100
            case "function":
                cents[customer] += amount
                total += cents[customer]
            case "window" | "window update":
                group = (customer, window_start(order["placed_at"]))
                max_start = max(max_start, group[1])
                cents[group] += amount
                total += cents[group]
    if job != "window":
        return Totals(rows, total)
    closed = [each for (_, begin), each in cents.items() if begin < max_start]
    return Totals(len(closed), sum(closed))
