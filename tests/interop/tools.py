"""What to do without a tool of another house."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def do_without(reason: str) -> NoReturn:
    """Skip the test; fail it if the environment has MESHPORT_REQUIRE_INTEROP=1."""
    if os.environ.get("MESHPORT_REQUIRE_INTEROP") == "1":
        pytest.fail(f"MESHPORT_REQUIRE_INTEROP=1, and {reason}")
    pytest.skip(reason)
