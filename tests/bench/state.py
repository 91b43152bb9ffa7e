"""The memory of a processor's state: what rows of the changelog take in the process that holds them.

Each kind of row is held by a process of its own. The peer is the row's key and value in the changelog, as the metric
`meshport_processor_state_bytes` counts them; the process has the row as Python objects, and its text as of the last checkpoint.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from meshport.process.state.rows import StateRows
from tests.bench.figures import Figure

ROWS: Final = 300_000
_BATCH: Final = 20_000

Make = Callable[[int], tuple[str, Any]]


def figures() -> Iterator[Figure]:
    """The bytes that a row takes, for rows of three sizes."""
    spawned = multiprocessing.get_context("spawn")
    for name, make in KINDS.items():
        with spawned.Pool(1) as pool:
            memory, changelog = pool.apply(_measured, (make,))
        yield Figure(f"state row, {name}", memory, "bytes", "in the changelog", changelog)


def total(number: int) -> tuple[str, Any]:
    """Return the row of a count and a sum by customer."""
    return f'["customer-{number}"]', [number, number * 7]


def function(number: int) -> tuple[str, Any]:
    """Return the row of a product's own function, with a total, a time and a list."""
    seen = [f"p{number}", f"p{number + 1}", f"p{number + 2}"]
    return f'["customer-{number}"]', {"total": number * 1000, "last": "2026-01-01T00:00:00Z", "seen": seen}


def wide(number: int) -> tuple[str, Any]:
    """Return a row of several aggregations, texts among them."""
    texts = [f"name of the customer {number}", f"{number:064d}"]
    return f'["customer-{number}"]', [number, number * 7, *texts, {"a": number, "b": f"text {number}"}, [number] * 3]


KINDS: Final[dict[str, Make]] = {"count and sum": total, "function": function, "wide": wide}


def _measured(make: Make) -> tuple[float, float]:
    """Return the bytes of memory and of the changelog that a row takes."""
    rows = StateRows()
    gc.collect()
    before = _resident()
    for number in range(ROWS):
        key, value = make(number)
        rows.put(key, value)
        rows.keep(number)
        if (number + 1) % _BATCH == 0:
            rows.changes(number)
            rows.mark_stored()
    gc.collect()
    return (_resident() - before) / ROWS, rows.size / ROWS


def _resident() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
