"""Measured service levels: reports of an observer, their history, and what of them a binding carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meshport.catalog import Removal, Retirement
from meshport.errors import NotRegistered
from meshport.registry import Registry
from meshport.service_levels import JudgedLevel, LevelState, MeasuredLevels, Measurement
from tests.registry.schemas import plays

ADDRESS = "player/plays/events@1"
NOW = datetime.now(UTC)
"""When the module was imported: the tests may run an hour later."""
MINUTE = timedelta(minutes=1)


@pytest.fixture
def mesh(registry: Registry) -> Registry:
    """A registry with the product player/plays."""
    registry.register(*plays())
    return registry


def measured(
    state: LevelState = LevelState.MET, at: datetime = NOW, *, valid: timedelta = 600 * MINUTE
) -> MeasuredLevels:
    """A report of one promise."""
    level = JudgedLevel(property="timeliness", promised="1 m", state=state, reason="because", since=at)
    return MeasuredLevels(at=at, valid_until=at + valid, levels=(level,), measurement=Measurement(events=3))


def test_a_report_is_kept_and_listed(mesh: Registry) -> None:
    """What was reported of a port is returned with the worst state, and listed; a port that nobody measured is unknown."""
    levels = mesh.service_levels
    assert (levels.of("player/plays/events").state, levels.of(ADDRESS).report) == (LevelState.UNKNOWN, None)
    assert list(levels.all()) == []
    sent = measured(LevelState.AT_RISK)
    answer = levels.report("player/plays/events", sent)
    assert (str(answer.address), answer.state, answer.report) == (f"mesh://{ADDRESS}", LevelState.AT_RISK, sent)
    assert levels.of(ADDRESS) == answer
    assert list(levels.all()) == [answer]
    with pytest.raises(NotRegistered):
        levels.report("player/nothing/events", sent)


def test_an_older_report_changes_nothing(mesh: Registry) -> None:
    """Of two observers the newer report stands."""
    levels = mesh.service_levels
    levels.report(ADDRESS, measured(LevelState.MET))
    assert levels.report(ADDRESS, measured(LevelState.BROKEN, NOW - MINUTE)).state is LevelState.MET
    assert levels.of(ADDRESS).state is LevelState.MET


def test_a_report_ends(mesh: Registry) -> None:
    """After its last instant, a report says that every level is unknown, and since when nothing was measured."""
    mesh.service_levels.report(ADDRESS, measured(at=NOW - 10 * MINUTE, valid=2 * MINUTE))
    found = mesh.service_levels.of(ADDRESS)
    assert found.state is LevelState.UNKNOWN
    assert found.report is not None
    assert found.report.levels[0].reason.startswith("nothing was measured since")


def test_a_binding_changes_with_a_state_alone(mesh: Registry) -> None:
    """A binding carries the states for an hour; a report that changes none leaves it as it is until half of that has passed."""
    assert mesh.refresh(ADDRESS).service_levels is None
    begin = NOW - 40 * MINUTE
    mesh.service_levels.report(ADDRESS, measured(at=begin))
    first = mesh.refresh(ADDRESS).service_levels
    assert first is not None
    assert (first.state, first.levels) == (LevelState.MET, {"timeliness 1 m": LevelState.MET})
    assert first.valid_until - first.since == 60 * MINUTE
    assert first.state_at(begin + 61 * MINUTE) is LevelState.UNKNOWN
    mesh.service_levels.report(ADDRESS, measured(at=begin + MINUTE))
    assert mesh.refresh(ADDRESS).service_levels == first
    mesh.service_levels.report(ADDRESS, measured(LevelState.BROKEN, begin + 2 * MINUTE))
    broken = mesh.refresh(ADDRESS).service_levels
    assert broken is not None
    assert (broken.state, broken.since - first.since) == (LevelState.BROKEN, 2 * MINUTE)
    mesh.service_levels.report(ADDRESS, measured(LevelState.BROKEN, begin + 35 * MINUTE))
    renewed = mesh.refresh(ADDRESS).service_levels
    assert renewed is not None
    assert renewed.valid_until - first.since == 95 * MINUTE


def test_the_history_is_thinned_and_bounded(mesh: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history has a report of each five minutes and every change of a state, newest first, and the newest ones only."""
    monkeypatch.setattr("meshport_registry.service_levels.KEPT", 4)
    levels = mesh.service_levels
    begin = NOW - 60 * MINUTE
    for minutes, state in ((0, "met"), (1, "met"), (2, "broken"), (3, "broken"), (4, "met"), (9, "met"), (14, "met")):
        levels.report(ADDRESS, measured(LevelState(state), begin + minutes * MINUTE))
    found = levels.history(ADDRESS).reports
    assert [(each.at - found[-1].at) // MINUTE for each in found] == [12, 7, 2, 0]
    assert [each.state for each in found] == ["met", "met", "met", "broken"]
    assert len(levels.history(ADDRESS, limit=2).reports) == 2


def test_a_dropped_product_leaves_no_levels(mesh: Registry) -> None:
    """A product that was measured can be removed, and one of its name begins without levels."""
    mesh.service_levels.report(ADDRESS, measured())
    product, schemas = plays()
    mesh.retire(product.id, Retirement())
    mesh.drop(product.id, Removal())
    mesh.register(product, schemas)
    assert mesh.service_levels.of(ADDRESS).report is None
