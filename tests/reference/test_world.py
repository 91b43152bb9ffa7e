"""The world behind the sources: repeatable, and shaped like the real one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from types import ModuleType
from typing import Any

import pytest

from meshport.codec import codec_for
from meshport.project.project import Project
from meshport.project.sources import SourceEvent, load_source, load_sources, merge

DAYS = 5
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SEED = 20260301

Events = Callable[[int], Iterator[SourceEvent]]


def until(occurrences: Iterator[SourceEvent], days: float = DAYS) -> list[SourceEvent]:
    """What is recorded in the first days."""
    return list(takewhile(lambda each: each.recorded < BEGIN + timedelta(days=days), occurrences))


@pytest.fixture(scope="module")
def plays(world: ModuleType) -> list[SourceEvent]:
    """Some days of plays, as they are sent."""
    return until(world.plays(SEED))


@pytest.fixture(scope="module")
def terms(world: ModuleType) -> list[SourceEvent]:
    """The same days of signings."""
    return until(world.onboardings(SEED))


def data(occurrence: SourceEvent) -> dict[str, Any]:
    """The record, which is there."""
    assert occurrence.record is not None
    return dict(occurrence.record)


@pytest.mark.parametrize("name", ["plays", "quality", "onboardings"])
def test_a_seed_gives_one_world(world: ModuleType, name: str) -> None:
    """The same seed gives the same occurrences, ids included; another seed gives others."""
    events: Events = getattr(world, name)
    one, again, other = (list(islice(events(seed), 2000)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize("name", ["plays", "quality", "onboardings"])
def test_sources_learn_in_order(world: ModuleType, name: str) -> None:
    """Occurrences come in the order in which they are recorded."""
    events: Events = getattr(world, name)
    recorded = [each.recorded for each in islice(events(SEED), 5000)]
    assert recorded == sorted(recorded)


def test_nothing_is_learnt_before_it_happens(plays: list[SourceEvent], world: ModuleType) -> None:
    """A play is recorded after it ended, a signal after the device noticed it."""
    for each in plays:
        record = data(each)
        assert record["started_at"] + timedelta(milliseconds=record["played_ms"]) <= each.recorded
    for each in islice(world.quality(SEED), 1000):
        assert data(each)["occurred_at"] <= each.recorded


@pytest.mark.parametrize("key", ["player/plays", "player/quality", "artists/onboardings"])
def test_records_fit_their_contracts(project: Project, key: str) -> None:
    """What a source gives is written and read back by the port's contract, unchanged."""
    product = next(each for each in project.products if each.product.address.key == key)
    codec = codec_for(product.schema(product.product.default_port))
    source = load_source(product, seed=SEED)
    assert source is not None
    for each in islice(source.events, 3000):
        record = data(each)
        assert codec.decode(codec.encode(record)) == record


def test_a_day_has_some_eight_thousand_plays(plays: list[SourceEvent]) -> None:
    """At an hour of world time a second, that is some three hundred events a second."""
    assert 6500 < len(plays) / DAYS < 9500


def test_artists_follow_zipfs_law(plays: list[SourceEvent]) -> None:
    """On logarithmic scales, plays fall off with rank along a line of slope about -1."""
    counts = [count for _, count in Counter(data(each)["artist_id"] for each in plays).most_common(100)]
    points = [(math.log(rank + 3), math.log(count)) for rank, count in enumerate(counts)]
    x, y = (sum(each) / len(points) for each in zip(*points, strict=True))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    assert -1.35 < slope < -0.85
    assert counts[0] < 0.15 * len(plays)


def test_listening_has_a_daily_rhythm(plays: list[SourceEvent]) -> None:
    """Evenings have several times the plays of the small hours."""
    hours = Counter(data(each)["started_at"].hour for each in plays)
    assert hours[20] > 3 * hours[4]
    assert max(hours, key=lambda hour: hours[hour]) in range(18, 23)


def test_listeners_sit_for_a_while(plays: list[SourceEvent]) -> None:
    """Most plays of a listener follow within half an hour of another, and a fifth or so are skipped."""
    listeners = defaultdict(set)
    for each in plays:
        listeners[data(each)["user_id"]].add(data(each)["started_at"])
    gaps = [after - before for times in listeners.values() for before, after in pairwise(sorted(times))]
    assert sum(gap <= timedelta(minutes=30) for gap in gaps) / len(gaps) > 0.75
    assert any(gap > timedelta(hours=4) for gap in gaps)
    endings = Counter(data(each)["ended"] for each in plays)
    assert 0.17 < endings["SKIPPED"] / len(plays) < 0.27


def test_devices_send_late_twice_and_in_lumps(plays: list[SourceEvent]) -> None:
    """The shares of late, repeated, offline and far too late plays are those that the module declares."""
    ids = Counter(each.id for each in plays)
    repeated = sum(count - 1 for count in ids.values()) / len(plays)
    assert 0.010 < repeated < 0.025
    first = {each.id: each for each in reversed(plays)}.values()
    waits = [(data(each), each.recorded - _end(each)) for each in first]
    online = [wait for record, wait in waits if not record["offline"]]
    assert 0.02 < sum(wait > timedelta(minutes=1) for wait in online) / len(online) < 0.045
    assert max(online) < timedelta(hours=2, minutes=1)
    offline = [each for each in first if data(each)["offline"]]
    assert 0.02 < len(offline) / len(first) < 0.07
    lumps = Counter((data(each)["user_id"], each.recorded.replace(microsecond=0)) for each in offline)
    assert len(lumps) < len(offline) / 2
    newest, too_late = BEGIN, 0
    for each in plays:
        newest = max(newest, data(each)["started_at"])
        too_late += data(each)["started_at"] < newest - timedelta(hours=12)
    assert 0.0005 < too_late / len(plays) < 0.01


def _end(occurrence: SourceEvent) -> datetime:
    record = data(occurrence)
    end: datetime = record["started_at"] + timedelta(milliseconds=record["played_ms"])
    return end


def test_a_repeat_is_the_same_event(plays: list[SourceEvent]) -> None:
    """Some repeats come at once, some hours after, and all say the same as the first."""
    first: dict[str, SourceEvent] = {}
    waits = []
    for each in plays:
        if each.id in first:
            assert each.record == first[each.id].record
            waits.append(each.recorded - first[each.id].recorded)
        first.setdefault(each.id, each)
    assert min(waits) < timedelta(seconds=30)
    assert max(waits) > timedelta(hours=1)


def test_terms_are_known_a_day_before_they_are_needed(plays: list[SourceEvent], terms: list[SourceEvent]) -> None:
    """Each artist is first played a day or more after the onboarding was recorded, and so is each change of terms."""
    onboarded = {data(each)["artist_id"]: each.recorded for each in terms if data(each)["change"] == "ONBOARDED"}
    for each in plays:
        assert data(each)["started_at"] >= onboarded[data(each)["artist_id"]] + timedelta(hours=24)
    assert all(data(each)["valid_from"] == each.recorded + timedelta(hours=24) for each in terms)


def test_artists_join_and_terms_change(terms: list[SourceEvent]) -> None:
    """Artists join after the beginning, labels and rates change, and a later row of an artist holds from later on."""
    changes = Counter(data(each)["change"] for each in terms if each.recorded >= BEGIN)
    assert set(changes) == {"ONBOARDED", "LABEL_CHANGED", "RATE_CHANGED"}
    rows = defaultdict(list)
    for each in terms:
        rows[data(each)["artist_id"]].append(data(each))
    for versions in rows.values():
        times = [row["valid_from"] for row in versions]
        assert times == sorted(set(times))
        assert versions[0]["change"] == "ONBOARDED"
        for before, after in pairwise(versions):
            changed = {name for name in ("label", "rate_per_play") if before[name] != after[name]}
            assert changed <= {"label" if after["change"] == "LABEL_CHANGED" else "rate_per_play"}


def test_quality_tells_of_plays(plays: list[SourceEvent], world: ModuleType) -> None:
    """A signal names a play that there was, of the same listener, unless nothing was heard at all."""
    known = {each.id: data(each) for each in plays}
    signals = [data(each) for each in until(world.quality(SEED), days=2)]
    assert len(signals) > 300
    for signal in signals:
        assert (signal["play_id"] is None) == (signal["kind"] == "START_FAILURE")
        if signal["play_id"]:
            play = known[signal["play_id"]]
            assert (play["user_id"], play["artist_id"]) == (signal["user_id"], signal["artist_id"])
            assert signal["occurred_at"] >= play["started_at"]


def test_the_merged_world_tells_onboardings_first(project: Project) -> None:
    """Merged by the time of recording, the first day's artists come before any play."""
    merged = merge(load_sources(project, seed=SEED))
    first = [(address.key, each.recorded) for address, each in islice(merged, 300)]
    assert [key for key, _ in first[:280]] == ["artists/onboardings"] * 280
    assert first[280][1] >= BEGIN
    assert [at for _, at in first] == sorted(at for _, at in first)
