"""A warning that may be due for every event: it is logged the first time, the tenth, the hundredth, and so on."""

from __future__ import annotations

from logging import Logger


class CountedWarning:
    """Logs a warning ever more rarely, with the number of times that it was due.

    Args:
        log: the logger.
        text: the warning; the arguments of `due` are formatted into it.
    """

    def __init__(self, log: Logger, text: str) -> None:
        self._log = log
        self._text = text
        self._count = 0
        self._next = 1

    def due(self, *facts: object) -> None:
        """Note that the warning is due, and log it if it is the first, the tenth, the hundredth and so on."""
        self._count += 1
        if self._count == self._next:
            self._next *= 10
            times = f" ({self._count} such since the start)" if self._count > 1 else ""
            self._log.warning(self._text + times, *facts)
