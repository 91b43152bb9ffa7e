"""What to do without a tool of another house."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def do_without(reason: str) -> NoReturn:
    """Skip, or fail where MESHPORT_REQUIRE_INTEROP=1 says that interoperability has to be shown."""
    if os.environ.get("MESHPORT_REQUIRE_INTEROP") == "1":
        pytest.fail(f"MESHPORT_REQUIRE_INTEROP=1, and {reason}")
    pytest.skip(reason)
