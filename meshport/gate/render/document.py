"""The verdicts for scripts: one JSON document on one line."""

from __future__ import annotations

import json
from typing import Any

from meshport.gate.run import GateRun


def render(run: GateRun) -> str:
    """Return the run as JSON on one line, which is both a record of a log and a document for `jq`."""
    return json.dumps(as_data(run), ensure_ascii=False, separators=(",", ":"), default=str)


def as_data(run: GateRun) -> dict[str, Any]:
    """Return the run as JSON data.

    Returns:
        `passes`, `against`, `counts`, `verdicts` (each a `Verdict` and its `passes`), `unchanged`, `notes` and `evidence`; every
        key is always present.
    """
    return {
        "passes": run.passes,
        "against": run.against,
        "counts": run.counts,
        "verdicts": [{"passes": each.passes, **each.model_dump(mode="json")} for each in run.verdicts],
        "unchanged": run.unchanged,
        "notes": list(run.notes),
        "evidence": [{"passes": each.passes, **each.model_dump(mode="json")} for each in run.evidence],
    }
