"""What a reader requires of the service levels of its port, and what becomes of it while they are below that."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

from meshport.binding import Binding
from meshport.errors import LevelsNotMet
from meshport.service_levels import LevelState

__all__ = ["Require", "RequireWord", "RequiredLevels"]

_log: Final = logging.getLogger(__name__)


class Require(StrEnum):
    """What a reader requires of the service levels of its port, as an observer measured them."""

    MET = "met"
    """Every promise is met: otherwise reading raises LevelsNotMet, at its beginning or later."""
    AWAIT_MET = "await-met"
    """While a promise is not met, reading waits."""


RequireWord = Require | Literal["met", "await-met"]
"""What a reader requires, as a member of `Require` or as its word."""


class RequiredLevels:
    """Decides whether a reader may read on, by the newest binding of its port.

    Args:
        require: what is required.
    """

    def __init__(self, require: Require) -> None:
        self._require = require
        self._waits = False

    def admits(self, binding: Binding) -> bool:
        """Return whether the reader may read on; False where it waits.

        Raises:
            LevelsNotMet: a promise is not met, and the reader does not wait.
        """
        found = binding.service_levels
        state = LevelState.UNKNOWN if found is None else found.state_at(datetime.now(UTC))
        if state is LevelState.MET:
            self._waits = False
            return True
        failing = {} if found is None else {name: each for name, each in found.levels.items() if each != LevelState.MET}
        words = ", ".join(f"{name} is {each}" for name, each in failing.items()) or "nothing measures it"
        if self._require is Require.MET:
            raise LevelsNotMet(
                f"{binding.address}: its service levels are {state}: {words}",
                address=str(binding.address),
                state=str(state),
                hint=f"`meshport resolve {binding.address.key} --json` says why; require={Require.AWAIT_MET.value!r} waits",
            )
        if not self._waits:
            self._waits = True
            _log.warning("reading %s waits for its service levels, which are %s: %s", binding.address, state, words)
        return False
