"""Each recount on cases small enough to be told by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meshport.address import Address
from meshport.event import Event
from meshport.project.project import Project
from meshport.project.recount import load_recount
from tests.reference.made import event, in_order

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
# A day and a half later: whatever began at noon can no longer change, and its sessions are over.
LATER = 36 * 60


def play(
    minute: float,
    *,
    id: str,
    user: str = "u",
    artist: str = "a",
    ms: int = 60_000,
    ended: str = "COMPLETED",
    part: int = 0,
) -> Event:
    """A play that began so many minutes after noon."""
    record = {"play_id": id, "user_id": user, "artist_id": artist, "played_ms": ms, "ended": ended}
    return event(record, NOON + timedelta(minutes=minute), id=id, partition=part)


def terms(minute: float, rate: str, *, artist: str = "a", label: str | None = None) -> Event:
    """A row that holds from so many minutes after noon."""
    record = {"artist_id": artist, "label": label, "rate_per_play": Decimal(rate)}
    return event(record, NOON + timedelta(minutes=minute), id=f"{artist}-{minute}")


ANY_TERMS = [terms(-LATER, "0.004000"), terms(-LATER, "0.005000", artist="b")]


def recounted(
    project: Project, key: str, plays: Sequence[Event], rows: Sequence[Event] = tuple(ANY_TERMS)
) -> list[Mapping[str, Any]]:
    """What a product's recount makes of plays and terms."""
    function = load_recount(project.product(Address.parse(key)))
    assert function is not None
    sources = {"mesh://player/plays": in_order(plays), "mesh://artists/onboardings": in_order(rows)}
    return sorted(function(sources), key=lambda row: [str(value) for value in row.values()])


class TestSessions:
    """listening/sessions."""

    def sessions(self, project: Project, *plays: Event) -> list[tuple[Any, ...]]:
        """(listener, first and last minute, plays) of each session."""
        rows = recounted(project, "listening/sessions", plays)
        return [
            (
                row["user_id"],
                (row["window_start"] - NOON).seconds / 60,
                (row["window_end"] - NOON).seconds / 60,
                row["plays"],
            )
            for row in rows
        ]

    def test_a_gap_of_half_an_hour_holds_a_session_together(self, project: Project) -> None:
        """Plays 30 minutes apart are one session; a millisecond more makes two."""
        end = play(LATER, id="end", user="x")
        assert self.sessions(project, play(0, id="1"), play(30, id="2"), end) == [("u", 0, 30, 2)]
        more = 30 + 0.001 / 60
        assert len(self.sessions(project, play(0, id="1"), play(more, id="2"), end)) == 2

    def test_a_play_in_between_joins_two(self, project: Project) -> None:
        """A play that arrives later and lies between two sittings makes them one."""
        plays = play(0, id="1"), play(50, id="2"), play(25, id="3"), play(LATER, id="end", user="x")
        assert self.sessions(project, *plays) == [("u", 0, 50, 3)]

    def test_a_repeat_counts_once(self, project: Project) -> None:
        """The same id again is the same play."""
        plays = play(0, id="1"), play(5, id="2"), play(0, id="1"), play(LATER, id="end", user="x")
        assert self.sessions(project, *plays) == [("u", 0, 5, 2)]

    def test_a_late_play_does_not_count(self, project: Project) -> None:
        """Twelve hours behind the newest of its partition is in time, a minute more is late; other partitions do not matter."""
        plays = (
            play(0, id="0", part=1),
            play(720, id="1"),
            play(0, id="2"),
            play(-1, id="3"),
            play(LATER, id="end", user="x"),
        )
        assert self.sessions(project, *plays) == [("u", 0, 0, 1), ("u", 720, 720, 1)]
        assert self.sessions(project, play(LATER, id="end", user="x"), play(0, id="1")) == []

    def test_a_session_is_given_when_it_is_over(self, project: Project) -> None:
        """That is, once its partition holds a play more than 12.5 hours after its last."""
        over = 750
        assert self.sessions(project, play(0, id="1"), play(over, id="end", user="x")) == []
        assert len(self.sessions(project, play(0, id="1"), play(over + 0.001, id="end", user="x"))) == 1
        assert self.sessions(project, play(0, id="1"), play(LATER, id="end", user="x", part=1)) == []

    def test_the_figures_of_a_session(self, project: Project) -> None:
        """Skips, time heard and artists, each once and sorted."""
        plays = (
            play(0, id="1", artist="b", ms=1000, ended="SKIPPED"),
            play(1, id="2", artist="a", ms=2000),
            play(2, id="3", artist="b", ms=4000),
            play(LATER, id="end", user="x"),
        )
        (row,) = recounted(project, "listening/sessions", plays)
        assert (row["skips"], row["played_ms"], row["artists"]) == (1, 7000, ["a", "b"])


class TestPlaysByArtist:
    """listening/plays-by-artist."""

    def test_hours_are_told_apart(self, project: Project) -> None:
        """A play at the full hour belongs to the hour that begins."""
        plays = play(0, id="1"), play(59.999, id="2"), play(60, id="3")
        rows = recounted(project, "listening/plays-by-artist", plays)
        assert [(row["window_start"], row["plays"]) for row in rows] == [(NOON, 2), (NOON + timedelta(hours=1), 1)]
        assert rows[0]["window_end"] == rows[1]["window_start"]

    def test_repeats_and_late_plays_do_not_count(self, project: Project) -> None:
        """Each play once, and none more than twelve hours behind its partition."""
        plays = play(0, id="1"), play(0, id="1"), play(721, id="2"), play(0.5, id="3"), play(1, id="4"), play(0, id="1")
        rows = recounted(project, "listening/plays-by-artist", plays)
        assert [row["plays"] for row in rows] == [2, 1]

    def test_each_play_is_priced_by_the_terms_of_its_time(self, project: Project) -> None:
        """A rate that changes within the hour holds from its moment on, whatever the order of arrival."""
        rows = [terms(-LATER, "0.003000", label="Old"), terms(30, "0.005000", label="New")]
        plays = play(30, id="2"), play(29.999, id="1"), play(10, id="0")
        (row,) = recounted(project, "listening/plays-by-artist", plays, rows)
        assert row["royalty"] == Decimal("0.011000")
        assert row["label"] == "New"

    def test_only_what_was_heard_for_half_a_minute_is_paid(self, project: Project) -> None:
        """30,000 ms are payable, 29,999 are not, and both are plays."""
        plays = play(0, id="1", ms=30_000), play(1, id="2", ms=29_999)
        (row,) = recounted(project, "listening/plays-by-artist", plays)
        assert (row["plays"], row["payable_plays"], row["royalty"]) == (2, 1, Decimal("0.004"))
        assert row["played_ms"] == 59_999

    def test_listeners_are_counted_once_an_hour(self, project: Project) -> None:
        """Two plays of one listener and one of another are two listeners."""
        plays = play(0, id="1"), play(1, id="2"), play(2, id="3", user="v")
        (row,) = recounted(project, "listening/plays-by-artist", plays)
        assert row["listeners"] == 2

    def test_an_artist_without_terms_is_left_out(self, project: Project) -> None:
        """A play before the first terms is for a person to look at; it is in no hour."""
        rows = [terms(1, "0.004000")]
        assert recounted(project, "listening/plays-by-artist", [play(0, id="1")], rows) == []

    def test_no_label_is_null(self, project: Project) -> None:
        """An artist who left a label has none at the hour's last play."""
        rows = [terms(-LATER, "0.004000", label="Old"), terms(10, "0.004000", label=None)]
        (row,) = recounted(project, "listening/plays-by-artist", [play(0, id="1"), play(10, id="2")], rows)
        assert row["label"] is None


class TestArtistRoyalties:
    """payments/artist-royalties."""

    def test_days_are_told_apart_in_utc(self, project: Project) -> None:
        """Midnight UTC begins a day."""
        plays = play(12 * 60 - 0.001, id="1"), play(12 * 60, id="2")
        rows = recounted(project, "payments/artist-royalties", plays)
        assert [row["day"] for row in rows] == [date(2026, 3, 2), date(2026, 3, 3)]

    @pytest.mark.parametrize(
        ("rate", "plays", "royalty", "amount"),
        [
            ("0.000100", 3, "0.0003", "0.00"),
            ("0.005000", 1, "0.005", "0.00"),  # half a cent to the even cent below
            ("0.005000", 3, "0.015", "0.02"),  # and above
            ("0.005001", 1, "0.005001", "0.01"),
            ("0.003333", 30, "0.09999", "0.10"),
            ("999.999999", 2, "1999.999998", "2000.00"),
        ],
    )
    def test_royalties_are_exact_and_paid_in_cents(
        self, project: Project, rate: str, plays: int, royalty: str, amount: str
    ) -> None:
        """The sum is exact to the millionth; only the amount is rounded, once, half a cent to the even one."""
        events = [play(number, id=str(number)) for number in range(plays)]
        (row,) = recounted(project, "payments/artist-royalties", events, [terms(-LATER, rate)])
        assert (row["royalty"], row["amount"], row["payable_plays"]) == (Decimal(royalty), Decimal(amount), plays)

    def test_each_play_at_the_rate_of_its_moment(self, project: Project) -> None:
        """Of two rows that hold from one moment the later one counts."""
        rows = [terms(-LATER, "0.001000"), terms(5, "0.002000"), terms(5, "0.003000")]
        plays = [play(4, id="1"), play(5, id="2"), play(6, id="3", ms=29_000)]
        (row,) = recounted(project, "payments/artist-royalties", plays, rows)
        assert (row["plays"], row["payable_plays"], row["royalty"]) == (3, 2, Decimal("0.004"))

    def test_repeats_late_and_unpriced_plays_earn_nothing(self, project: Project) -> None:
        """As in the hours from which it is built."""
        plays = [
            play(0, id="0", artist="unknown"),
            play(0, id="1"),
            play(0, id="1"),
            play(721, id="2", artist="b"),
            play(0.9, id="3"),
        ]
        rows = recounted(project, "payments/artist-royalties", plays)
        assert [(row["artist_id"], row["plays"]) for row in rows] == [("a", 1), ("b", 1)]


class TestRelatedArtists:
    """recommendations/related-artists."""

    def edges(self, project: Project, *plays: Event) -> dict[tuple[str, str], int]:
        """Sessions by edge."""
        rows = recounted(project, "recommendations/related-artists", [*plays, play(LATER, id="end", user="x")])
        return {(row["artist_id"], row["related_artist_id"]): row["sessions"] for row in rows}

    def test_an_edge_is_counted_once_a_session(self, project: Project) -> None:
        """In both directions, however often the artists are played; a session with one artist has no edge."""
        plays = [play(n, id=str(n), artist=artist) for n, artist in enumerate("abab")]
        assert self.edges(project, *plays) == {("a", "b"): 1, ("b", "a"): 1}
        assert self.edges(project, play(0, id="1"), play(1, id="2")) == {}

    def test_sessions_add_up(self, project: Project) -> None:
        """Sessions of other listeners and of other hours count, plays on the two sides of a silence do not."""
        plays = [
            *(play(0, id="1", artist="a"), play(1, id="2", artist="b")),
            *(play(100, id="3", artist="a"), play(101, id="4", artist="b"), play(102, id="5", artist="c")),
            *(play(0, id="6", artist="a", user="v", part=1), play(31, id="7", artist="b", user="v", part=1)),
            play(LATER, id="end1", user="y", part=1),
        ]
        edges = self.edges(project, *plays)
        assert edges == {
            (one, other): 2 if {one, other} == {"a", "b"} else 1 for one in "abc" for other in "abc" if one != other
        }

    def test_the_latest_session_tells_when(self, project: Project) -> None:
        """The time of an edge is the end of the last session that holds both."""
        plays = [
            *(play(0, id="1", artist="a"), play(1, id="2", artist="b")),
            *(play(100, id="3", artist="b"), play(101, id="4", artist="a"), play(110, id="5", artist="a")),
            play(LATER, id="end", user="x"),
        ]
        rows = recounted(project, "recommendations/related-artists", plays)
        assert {row["last_heard_at"] for row in rows} == {NOON + timedelta(minutes=110)}

    def test_what_is_late_repeated_or_open_makes_no_edge(self, project: Project) -> None:
        """A session that is not over yet is not counted, nor is a play that sessions do not hold."""
        late = [play(721, id="1", artist="a"), play(0, id="2", artist="b"), play(0.5, id="3", artist="a")]
        assert self.edges(project, *late) == {}
        still_open = [play(LATER - 100, id="1", artist="a"), play(LATER - 99, id="2", artist="b")]
        assert self.edges(project, *still_open) == {}
