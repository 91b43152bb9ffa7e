"""Both engines on a broker with TLS, SCRAM and ACLs: a part of the behaviour suite, under a processor's principal."""

from __future__ import annotations

import pytest

from meshport.local.cluster import Cluster
from tests.process.test_behaviour import ENGINES, Ran, check, run_all

RUNS = [(name, on) for on in ENGINES for name in ("KeyedWindows", "Joined", "Poison")]


@pytest.fixture(scope="module")
def ran(secured: Cluster) -> Ran:
    """The scenarios, run on each engine."""
    return run_all(RUNS, secured.bootstrap_servers)


@pytest.mark.parametrize(("name", "on"), RUNS)
def test_on_a_secured_kafka(name: str, on: str, ran: Ran) -> None:
    """Each engine logs in, and does the same as in memory."""
    check(name, on, ran)
