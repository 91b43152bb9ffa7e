"""The option `--metrics` of long-running commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from meshport.cli.output import say

if TYPE_CHECKING:
    from meshport.metrics.readiness import Readiness

MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="[HOST:]PORT",
        help="Serve /metrics for Prometheus, and /health and /ready for probes; without a host to this machine alone.",
    ),
]


@contextmanager
def serving_metrics(at: str | None, *parts: Readiness) -> Iterator[None]:
    """Serve the metrics and the readiness of this process while the context is open, where that was asked for.

    Raises:
        MetricsUnavailable: the port is taken.
    """
    if at is None:
        yield
        return
    from meshport.metrics.server import served  # noqa: PLC0415 - slow to import

    with served(at, *parts) as url:
        say(f"metrics at {url}/metrics")
        yield
