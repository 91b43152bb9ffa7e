"""What is measured of a rebuild: how much it has read, and whether it moves."""

from __future__ import annotations

from typing import Final

from meshport.address import Address
from meshport.metrics.readiness import Readiness

__all__ = ["RebuildMeasures"]


class RebuildMeasures:
    """Counts what a rebuild reads, step after step, and notes whether it moves.

    A rebuild has joined and restored all that it needs once it reads. It is stuck where a step has offsets left and none was read
    for a minute; a wait between two steps, such as for the live processor to pause, ends by itself with an error.

    Args:
        address: of the port.
        readiness: notes that the rebuild is connected, and moves.
    """

    def __init__(self, address: Address, readiness: Readiness) -> None:
        from meshport.metrics import rebuild as metrics  # noqa: PLC0415 - slow to import

        self._read: Final = metrics.READ.labels(str(address))
        self._waiting: Final = metrics.WAITING.labels(str(address))
        self._readiness: Final = readiness
        self._step = (0, 0)

    def moved(self, done: int, total: int) -> None:
        """Note that so many offsets of a step are read, of so many in all."""
        before, of = self._step
        # A step that is another one begins from 0.
        new = done - before if of == total and done >= before else done
        self._step = (done, total)
        self._read.inc(new)
        self._waiting.set(max(0, total - done))
        self._readiness.lag(max(0, total - done))
        if new:
            self._readiness.progress()

    def said(self, _: str) -> None:
        """Note that the rebuild has come to its next step, as it reported in words; how much waits is not known."""
        self._step = (0, 0)
        self._waiting.set(0)
        self._readiness.meet("connected")
        self._readiness.lag(None)
        self._readiness.progress()
