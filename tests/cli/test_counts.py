"""`meshport counts`: a source's own counts are reported and listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshport.cli.output import FINDINGS, USAGE
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.registry.schemas import plays


@pytest.fixture
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with the product player/plays."""
    database = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'registry.db'}"
    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url:
        with Registry(url) as registry:
            registry.register(*plays())
        yield url


def test_counts_are_reported_and_listed(cli: Run, registry_url: str) -> None:
    """A count of an interval is reported by the product's address, and shown to people and programs."""
    at = ("--registry", registry_url)
    assert (
        cli("counts", "list", "player/plays", *at).err == "the source of player/plays/events@1 has reported no count\n"
    )
    interval = ("--from", "2026-01-01T10:00:00+01:00", "--to", "2026-01-01T10:00:00Z")
    told = cli("counts", "report", "player/plays", "5210", *interval, *at, "--json")
    assert told.code == 0
    assert told.err == (
        "player/plays/events@1: 5210 events from 2026-01-01 09:00:00 UTC to 2026-01-01 10:00:00 UTC, by the source's own count\n"
    )
    facts = {
        "address": "mesh://player/plays/events@1",
        "start": "2026-01-01T09:00:00Z",
        "end": "2026-01-01T10:00:00Z",
        "count": 5210,
    }
    assert told.lines == [facts]
    assert cli("counts", "list", "player/plays/events@1", *at, "--json").lines == [facts]
    header, row = cli("counts", "list", "player/plays", *at).out.splitlines()
    assert header.split() == ["from", "to", "events"]
    assert row.split() == ["2026-01-01", "09:00:00", "UTC", "2026-01-01", "10:00:00", "UTC", "5210"]


@pytest.mark.parametrize(
    ("begin", "end", "code", "told"),
    [
        ("2026-01-01", "2026-01-01", USAGE, "2026-01-01 is not after 2026-01-01"),
        ("soon", "2026-01-01", USAGE, "--from"),
        ("2026-01-01", "9000-01-01", FINDINGS, "which has not come yet"),
    ],
)
def test_a_wrong_interval_is_refused(cli: Run, registry_url: str, begin: str, end: str, code: int, told: str) -> None:
    """An interval that ends before its begin or in the future, and a time that is none, are refused."""
    ended = cli("counts", "report", "player/plays", "1", "--from", begin, "--to", end, "--registry", registry_url)
    assert ended.code == code
    assert told in ended.err
