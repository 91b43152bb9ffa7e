"""The fast decoder against the bounded one: random records of random schemas, and payloads that were mutated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S

_SCHEMAS, _RECORDS, _PAYLOADS = repeats(100, 2_000), 50, repeats(4_000, 200_000)


def _campaign(*arguments: Any) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.columnar.campaign", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=repeats(1, 10) * PATIENCE_S,
        check=False,
        # Allocators that take what they need, so that 64 MB of address space are 64 MB of memory.
        env=os.environ | {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    counted: dict[str, Any] = json.loads(ran.stdout)
    assert not counted["differ"], ran.stderr[-2000:]
    return counted


@repeated
def test_values_and_bytes_are_those_of_the_codec() -> None:
    """Random records of random schemas are read natively to the codec's values, and written to the codec's bytes."""
    counted = _campaign("values", _SCHEMAS, _RECORDS)
    assert counted["schemas"] == _SCHEMAS
    assert counted["records"] == _SCHEMAS * _RECORDS
    assert counted["unsupported"] < _SCHEMAS / 20


@repeated
def test_mutated_payloads_get_the_verdict_of_the_bounded_decoder() -> None:
    """Mutated payloads are read or refused as the bounded decoder does, within 64 MB, and each call ends."""
    counted = _campaign("hostile", 60, _PAYLOADS)
    assert counted["payloads"] >= _PAYLOADS
    # Both outcomes occurred, by the native decoder and by the bounded one.
    assert counted["refused"] > _PAYLOADS / 4
    assert counted["quick"] > _PAYLOADS / 20
