"""A pytest plugin: every registry of the session answers with fields that no version has.

`python -m pytest -p tests.registry.unknown_fields tests/registry/test_client.py`
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.registry.newer import answering, with_unknown_fields


def pytest_configure(config: pytest.Config) -> None:
    """Have registries answer so until the session ends."""
    opened = ExitStack()
    opened.enter_context(answering(with_unknown_fields))
    config.add_cleanup(opened.close)
