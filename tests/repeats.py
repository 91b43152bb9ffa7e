"""How often a test repeats what it draws at random: some times in the suite, many times in `make campaign`.

A test with Hypothesis takes `EXAMPLES` by its profile (`tests/conftest.py`); pytest marks it `hypothesis`, and a campaign runs
it. Another test that repeats has the mark `repeated` and asks `repeats` for its numbers.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

CAMPAIGN: Final = "MESHPORT_CAMPAIGN"
"""Set to 1 in the environment, every repeated test takes its long form."""

repeated: Final = pytest.mark.repeated
"""Marks a test that has a long form."""


def repeats(suite: int, campaign: int) -> int:
    """The repetitions of a test: in the suite, or in a campaign."""
    return campaign if os.environ.get(CAMPAIGN) == "1" else suite


EXAMPLES: Final = repeats(suite=25, campaign=2_000)
"""The examples of a test with Hypothesis."""
