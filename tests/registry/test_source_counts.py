"""What sources report of how many events they have: kept by interval, corrected, bounded, and never of two intervals at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from meshport.catalog import Removal, Retirement
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.registry import Registry
from tests.registry.schemas import plays

ADDRESS = "player/plays/events@1"
HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def mesh(registry: Registry) -> Registry:
    """A registry with the product player/plays."""
    registry.register(*plays())
    return registry


def test_counts_are_kept_and_corrected(mesh: Registry) -> None:
    """What a source reports is listed newest first, and from a time on; a count of the same interval replaces the earlier one."""
    levels = mesh.service_levels
    assert levels.counts("player/plays/events") == ()
    for hour in range(3):
        begin = BEGIN + hour * HOUR
        assert str(levels.report_count("player/plays/events", begin, begin + HOUR, hour)) == f"mesh://{ADDRESS}"
    levels.report_count(ADDRESS, BEGIN, BEGIN + HOUR, 2**53)
    assert [(each.start, each.end, each.count) for each in levels.counts(ADDRESS)] == [
        (BEGIN + 2 * HOUR, BEGIN + 3 * HOUR, 2),
        (BEGIN + HOUR, BEGIN + 2 * HOUR, 1),
        (BEGIN, BEGIN + HOUR, 2**53),
    ]
    assert [each.count for each in levels.counts(ADDRESS, since=BEGIN + HOUR)] == [2, 1]
    assert [each.count for each in levels.counts(ADDRESS, limit=1)] == [2]


def test_an_interval_that_cannot_be_is_refused(mesh: Registry) -> None:
    """An overlap, a future end, more than 31 days, an end before the start and an unknown port are refused; nothing is kept."""
    levels = mesh.service_levels
    levels.report_count(ADDRESS, BEGIN, BEGIN + HOUR, 1)
    with pytest.raises(RegistrationRefused, match="overlaps that from 2026-01-01T00:00:00Z to 2026-01-01T01:00:00Z"):
        levels.report_count(ADDRESS, BEGIN + HOUR / 2, BEGIN + 2 * HOUR, 1)
    with pytest.raises(RegistrationRefused, match="overlaps"):
        levels.report_count(ADDRESS, BEGIN, BEGIN + 2 * HOUR, 1)
    with pytest.raises(RegistrationRefused, match="which has not come yet"):
        levels.report_count(ADDRESS, datetime(9000, 1, 1, tzinfo=UTC), datetime(9000, 1, 2, tzinfo=UTC), 1)
    with pytest.raises(RegistrationRefused, match="has 32 days"):
        levels.report_count(ADDRESS, BEGIN - timedelta(days=33), BEGIN - timedelta(days=1), 1)
    with pytest.raises(ValidationError, match="which is not after its start"):
        levels.report_count(ADDRESS, BEGIN, BEGIN, 1)
    with pytest.raises(NotRegistered):
        levels.report_count("player/nothing/events", BEGIN, BEGIN + HOUR, 1)
    assert [each.count for each in levels.counts(ADDRESS)] == [1]


def test_the_newest_counts_are_kept(mesh: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest intervals are forgotten, in whatever order they come."""
    monkeypatch.setattr("meshport_registry.source_counts.KEPT", 3)
    for hour in (5, 1, 4, 2, 3):
        mesh.service_levels.report_count(ADDRESS, BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR, hour)
    assert [each.count for each in mesh.service_levels.counts(ADDRESS)] == [5, 4, 3]


def test_a_dropped_product_leaves_no_counts(mesh: Registry) -> None:
    """A product with counts can be removed, and one of its name begins without."""
    mesh.service_levels.report_count(ADDRESS, BEGIN, BEGIN + HOUR, 1)
    product, schemas = plays()
    mesh.retire(product.id, Retirement())
    mesh.drop(product.id, Removal())
    mesh.register(product, schemas)
    assert mesh.service_levels.counts(ADDRESS) == ()
