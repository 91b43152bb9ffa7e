"""A provider, a registry that logs people in there, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.plain_http import plain_http
from tests.registry.issuer import Issuer, issuer
from tests.registry.logins.browser import served


@pytest.fixture(scope="module")
def provider() -> Iterator[Issuer]:
    """Serve a provider that gives what a test has it give."""
    with issuer() as given:
        yield given


@pytest.fixture(scope="module")
def registry(provider: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a registry that logs people in at the provider, with a key of an admin."""
    with served(provider, f"sqlite:///{tmp_path_factory.mktemp('flow') / 'registry.db'}") as url:
        yield url


@pytest.fixture
def person(registry: str) -> Iterator[httpx2.Client]:
    """Yield a browser: a client that keeps its cookies and follows no redirect."""
    with plain_http(registry) as client:
        yield client
