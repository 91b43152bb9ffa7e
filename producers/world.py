"""The world that the reference mesh listens to: artists, listeners, what they play, and how it reaches the platform.

Three products tell of one world, and a product never imports another; so the world is a module of its own, and each
source gives its own view of it. Everything follows from the seed: the same one gives the same occurrences, byte by
byte, and what the derived products should hold can be counted again.

The shape of it, as measured of music services: popularity of artists falls off as Zipf's law has it; listening has a
daily rhythm; listeners sit for a while, stay with an artist or near them, and skip. And the ways of devices: most plays
arrive within seconds, some minutes late; those of a device that was offline hours later in one lump; a send that got
no answer is repeated, mostly at once, sometimes hours after; a few arrive later than anyone waits for.
"""

from __future__ import annotations

import heapq
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, count, product
from random import Random
from typing import Any, Final

from meshport.project.sources import SourceEvent

BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
"""When listening begins. The artists of the first day were signed before."""

NOTICE: Final = timedelta(hours=24)
"""Terms hold from this long after their signing, and no play of an artist comes before the first."""

ARTISTS: Final = 400
_SIGNED_BEFORE: Final = 280
_SIGNING_EVERY_H: Final = 5.0
_FLAT: Final = 3  # Zipf's law as Mandelbrot has it, 1 / (rank + 3): the most popular few are nearer to one another
LISTENERS: Final = 3000
_SESSIONS_PER_HOUR: Final = 42.0
_TERMS_PER_DAY: Final = 24
# Listening by hour of the day (UTC), as a share of the mean: the trough is at four, the peak in the evening.
_RHYTHM: Final = (
    *(0.75, 0.55, 0.40, 0.32, 0.28, 0.32, 0.45, 0.70, 0.90, 1.00, 1.05, 1.10),
    *(1.15, 1.12, 1.10, 1.12, 1.20, 1.35, 1.55, 1.70, 1.75, 1.65, 1.40, 1.08),
)
_WEEKEND: Final = 1.12

# Shares of sessions or plays.
_OFFLINE: Final = 0.04
_LOST_FOR_LONG: Final = 0.06  # of the offline sessions: the device came back after more than half a day
_LATE: Final = 0.03
_REPEATED: Final = 0.015
_REPEATED_LONG_AFTER: Final = 0.003
_DISTURBED: Final = 0.06

_COUNTRIES: Final = (
    *("AR", "AU", "BR", "CA", "DE", "ES", "FR", "GB", "IN", "IT", "JP"),
    *("KE", "KR", "MX", "NG", "NL", "PL", "SE", "TR", "US", "ZA"),
)
_DEVICES: Final = ("PHONE",) * 11 + ("DESKTOP",) * 4 + ("SPEAKER",) * 2 + ("CAR", "TABLET", "TV")
_PORTABLE: Final = frozenset({"PHONE", "TABLET", "CAR"})
_GENRES: Final = ("AFROBEATS", "CLASSICAL", "ELECTRONIC", "FOLK", "HIPHOP", "JAZZ", "METAL", "POP", "ROCK")
_LABELS: Final = ("Blackthorn", "Cold Harbour", "Dune", "Fourth Wall", "Lantern", "Paper Moon", "Tideline")
_FIRST: Final = ("Amber", "Broken", "Distant", "Electric", "Golden", "Hollow", "Neon", "Quiet", "Silver", "Velvet")
_SECOND: Final = ("Arcade", "Choir", "Ferry", "Gardens", "Kites", "Machines", "Parade", "Rivers", "Saints", "Tigers")
_THIRD: Final = ("", "Club", "Trio", "Union")
_BITRATES: Final = (320, 256, 192, 128, 96, 64)


def plays(seed: int) -> Iterator[SourceEvent]:
    """Every play, as often as it is sent, for as long as one asks."""
    return _by_time_recorded(World(seed), World.plays_sent)


def quality(seed: int) -> Iterator[SourceEvent]:
    """Every signal of what went wrong with a play."""
    return _by_time_recorded(World(seed), World.signals_sent)


def onboardings(seed: int) -> Iterator[SourceEvent]:
    """Every signing: of new artists, and of new terms."""
    world = World(seed)
    first = (_Signing(artist.signed_at, artist, "ONBOARDED", artist.label, artist.rate) for artist in world.artists)
    for signing in heapq.merge(first, world.changes_of_terms(), key=lambda each: each.at):
        artist = signing.artist
        record = {
            "artist_id": artist.id,
            "name": artist.name,
            "label": signing.label,
            "country": artist.country,
            "genres": list(artist.genres),
            "rate_per_play": signing.rate,
            "change": signing.change,
            "signed_at": signing.at,
            "valid_from": signing.at + NOTICE,
        }
        yield SourceEvent(record, f"{artist.id}-{signing.at:%Y%m%dT%H%M%S}", signing.at)


@dataclass(frozen=True)
class Artist:
    """One artist.

    Attributes:
        rank: by popularity, from 0.
        signed_at: when; the first play is a day after, or later.
        rate: euro per payable play, of the first terms.
    """

    id: str
    rank: int
    name: str
    label: str | None
    country: str
    genres: tuple[str, ...]
    signed_at: datetime
    rate: Decimal


@dataclass(frozen=True)
class _Signing:
    at: datetime
    artist: Artist
    change: str
    label: str | None
    rate: Decimal


@dataclass(frozen=True)
class _Session:
    """Plays of one listener in a row, as they happened; what reaches the platform when is another matter."""

    plays: tuple[dict[str, Any], ...]
    recorded: tuple[datetime, ...]
    repeats: tuple[tuple[int, datetime], ...]

    @property
    def over(self) -> datetime:
        last = self.plays[-1]
        over: datetime = last["started_at"] + timedelta(milliseconds=last["played_ms"])
        return over


@dataclass(frozen=True)
class World:
    """One world.

    Attributes:
        seed: from which all of it follows.
    """

    seed: int

    def _random(self, *what: object) -> Random:
        # A text seed is hashed by SHA-512 and so the same in every process; each part of the world has its own stream,
        # so that one that asks for less does not shift the others.
        return Random("/".join(map(str, (self.seed, *what))))  # noqa: S311 - a simulation has to be repeatable

    @cached_property
    def artists(self) -> tuple[Artist, ...]:
        """All artists, in the order of their signing."""
        random = self._random("artists")
        ranks = list(range(ARTISTS))
        random.shuffle(ranks)
        names = [" ".join(words).strip() for words in product(_FIRST, _SECOND, _THIRD)]
        random.shuffle(names)
        # The catalogue's first day is the one before listening begins: whoever was signed earlier is told of then.
        first_day, later = BEGIN - NOTICE, BEGIN
        artists = []
        for number, (rank, name) in enumerate(zip(ranks, names, strict=True), 1):
            if number > _SIGNED_BEFORE:
                later += timedelta(seconds=round(random.expovariate(1 / (_SIGNING_EVERY_H * 3600))))
            artists.append(
                Artist(
                    id=f"artist-{number:04}",
                    rank=rank,
                    name=name,
                    label=random.choice(_LABELS) if random.random() < 0.7 else None,
                    country=random.choice(_COUNTRIES),
                    genres=tuple(random.sample(_GENRES, random.choice((1, 1, 2, 3)))),
                    signed_at=first_day if number <= _SIGNED_BEFORE else later,
                    rate=_rate(random),
                )
            )
        return tuple(artists)

    def changes_of_terms(self) -> Iterator[_Signing]:
        """New terms of artists who have been on the platform for a while, in the order of their signing."""
        terms = {artist.id: (artist.label, artist.rate) for artist in self.artists}
        for day in count():
            random = self._random("terms", day)
            begin = BEGIN + timedelta(days=day)
            known = [artist for artist in self.artists if artist.signed_at + NOTICE <= begin]
            chosen = random.sample(known, _TERMS_PER_DAY)  # each at most once a day, so that terms never overtake
            for artist, second in zip(chosen, sorted(random.sample(range(86_400), _TERMS_PER_DAY)), strict=True):
                label, rate = terms[artist.id]
                if random.random() < 0.35:
                    label = random.choice([each for each in (*_LABELS, None) if each != label])
                    change = "LABEL_CHANGED"
                else:
                    rate, change = _rate(random), "RATE_CHANGED"
                terms[artist.id] = label, rate
                yield _Signing(begin + timedelta(seconds=second), artist, change, label, rate)

    def plays_sent(self, hour: int, sessions: list[_Session]) -> Iterator[SourceEvent]:  # noqa: ARG002 - as `signals_sent`
        """The plays of an hour's sessions and their repeats, in no order."""
        for session in sessions:
            for play, recorded in zip(session.plays, session.recorded, strict=True):
                yield SourceEvent(play, play["play_id"], recorded)
            for index, recorded in session.repeats:
                yield SourceEvent(session.plays[index], session.plays[index]["play_id"], recorded)

    def signals_sent(self, hour: int, sessions: list[_Session]) -> Iterator[SourceEvent]:
        """What went wrong in an hour's sessions, in no order."""
        random = self._random("quality", hour)
        for session in sessions:
            for play, recorded in zip(session.plays, session.recorded, strict=True):
                if play["offline"] or random.random() > _DISTURBED:
                    continue
                signal = _signal(random, play)
                yield SourceEvent(signal, signal["signal_id"], max(recorded, signal["occurred_at"]))

    def sessions(self) -> Iterator[tuple[int, list[_Session]]]:
        """The sessions that begin in each hour, hour after hour."""
        listening = _Listening(self)
        for hour in count():
            random = self._random("hour", hour)
            begin = BEGIN + timedelta(hours=hour)
            mean = _SESSIONS_PER_HOUR * _RHYTHM[begin.hour] * (_WEEKEND if begin.weekday() >= 5 else 1.0)
            number = max(0, round(random.gauss(mean, mean**0.5)))  # as Poisson's distribution, at such means
            yield hour, [session for _ in range(number) if (session := listening.session(random, begin))]


class _Listening:
    """Who is listening, and what they choose."""

    def __init__(self, world: World) -> None:
        self._artists = sorted(world.artists, key=lambda artist: artist.rank)
        self._busy: dict[int, datetime] = {}
        self._all = _Chart(self._artists)
        self._genres = {
            genre: _Chart([each for each in self._artists if each.genres[0] == genre])
            for genre in {each.genres[0] for each in self._artists}
        }

    def session(self, random: Random, hour: datetime) -> _Session | None:
        """One session that begins within the hour; None if the listener is at it already."""
        at = hour + timedelta(milliseconds=random.randrange(3_600_000))
        listener = int(random.random() ** 1.6 * LISTENERS)  # some listen more than others
        if self._busy.get(listener, BEGIN) > at:
            return None
        device = random.choice(_DEVICES)
        offline = device in _PORTABLE and random.random() < _OFFLINE / 0.65
        fixed = {
            "user_id": f"user-{listener:05}",
            "device": device,
            "country": _COUNTRIES[(listener * 7) % len(_COUNTRIES)],
            "offline": offline,
            "playlist_id": f"list-{random.randrange(500):03}" if random.random() < 0.6 else None,
        }
        plays = tuple(self._plays(random, at, fixed))
        session = _Session(plays, *_arrivals(random, plays, offline=offline))
        self._busy[listener] = session.over
        return session

    def _plays(self, random: Random, at: datetime, fixed: dict[str, Any]) -> Iterator[dict[str, Any]]:
        favourite = artist = self._all.choose(random, at)
        for _ in range(min(40, 1 + int(random.expovariate(1 / 7)))):
            mood = random.random()
            if mood > 0.88:
                artist = self._all.choose(random, at)
            elif mood > 0.68:
                artist = self._genres[favourite.genres[0]].choose(random, at)
            elif mood > 0.50:
                artist = favourite
            track = int(random.random() ** 2 * 30)
            length = 90_000 + (track * 7919 + artist.rank * 104_729) % 240_000
            end = random.random()
            if end < 0.22:
                heard, ended = min(length, int(random.expovariate(1 / 18_000)) + 800), "SKIPPED"
            elif end < 0.25:
                heard, ended = int(length * random.uniform(0.05, 0.95)), "STOPPED"
            else:
                heard, ended = length, "COMPLETED"
            yield {
                "play_id": f"{random.getrandbits(96):024x}",
                "artist_id": artist.id,
                "track_id": f"{artist.id}-{track:02}",
                "started_at": at,
                "track_ms": length,
                "played_ms": heard,
                "ended": ended,
                **fixed,
            }
            pause = random.expovariate(1 / 480_000) if random.random() < 0.06 else random.uniform(200, 2500)
            at += timedelta(milliseconds=heard + int(pause))


class _Chart:
    """Artists by popularity, from which one is chosen who can be heard already."""

    def __init__(self, artists: list[Artist]) -> None:
        self._artists = artists
        self._sums = list(accumulate(1 / (artist.rank + _FLAT) for artist in artists))
        self._known = min(artists, key=lambda artist: artist.signed_at)

    def choose(self, random: Random, at: datetime) -> Artist:
        """One artist, by Zipf's law."""
        for _ in range(20):
            artist = self._artists[bisect(self._sums, random.random() * self._sums[-1])]
            if artist.signed_at + NOTICE <= at:
                return artist
        return self._known


def _arrivals(
    random: Random, plays: tuple[dict[str, Any], ...], *, offline: bool
) -> tuple[tuple[datetime, ...], tuple[tuple[int, datetime], ...]]:
    """When each play of a session reaches the platform, and which come a second time: (index, when)."""
    ends = [play["started_at"] + timedelta(milliseconds=play["played_ms"]) for play in plays]
    recorded = []
    if offline:
        hours = (
            random.uniform(13, 36) if random.random() < _LOST_FOR_LONG else min(11.0, random.lognormvariate(0.9, 0.7))
        )
        back = ends[-1] + timedelta(seconds=round(hours * 3600))
        recorded = [back + timedelta(milliseconds=20 * index) for index in range(len(plays))]
    else:
        for end in ends:
            wait = random.lognormvariate(6.2, 0.8) if random.random() < _LATE else random.uniform(0.2, 4.0)
            recorded.append(end + timedelta(milliseconds=round(min(wait, 7200) * 1000)))
    repeats = []
    for index, at in enumerate(recorded):
        chance = random.random()
        if chance < _REPEATED:
            repeats.append((index, at + timedelta(milliseconds=random.randrange(500, 30_000))))
        elif chance < _REPEATED + _REPEATED_LONG_AFTER:
            repeats.append((index, at + timedelta(seconds=random.randrange(3600, 72_000))))
    return tuple(recorded), tuple(repeats)


def _signal(random: Random, play: dict[str, Any]) -> dict[str, Any]:
    kind = random.choices(("STALL", "BITRATE_DROP", "DECODE_ERROR", "START_FAILURE"), (60, 25, 5, 10))[0]
    failed = kind == "START_FAILURE"
    at = 0 if failed else random.randrange(play["played_ms"] + 1)
    first = random.randrange(3)
    return {
        "signal_id": f"{random.getrandbits(96):024x}",
        "user_id": play["user_id"],
        "play_id": None if failed else play["play_id"],  # another try of the same track is the play
        "artist_id": play["artist_id"],
        "occurred_at": play["started_at"] + timedelta(milliseconds=at - (1500 if failed else 0)),
        "kind": kind,
        "stall_ms": int(random.expovariate(1 / 1800)) + 250 if kind == "STALL" else None,
        "bitrates_kbps": list(_BITRATES[first : first + random.choice((2, 2, 3))]) if kind == "BITRATE_DROP" else [],
        "error_code": random.choice(("E_TIMEOUT", "E_LICENCE", "E_CODEC")) if kind.endswith(("ERROR", "URE")) else None,
    }


def _rate(random: Random) -> Decimal:
    """Euro per payable play, in millionths."""
    return Decimal(random.randrange(2800, 5200)).scaleb(-6)


def _by_time_recorded(
    world: World, sent: Callable[[World, int, list[_Session]], Iterator[SourceEvent]]
) -> Iterator[SourceEvent]:
    """What is sent of each hour's sessions, in the order in which it arrives."""
    waiting: list[tuple[datetime, int, SourceEvent]] = []
    number = count()  # two that arrive at the same time keep the order of their making
    for hour, sessions in world.sessions():
        begin = BEGIN + timedelta(hours=hour)
        # Nothing arrives before it happens, so whatever arrived before this hour began is complete.
        while waiting and waiting[0][0] < begin:
            yield heapq.heappop(waiting)[2]
        for occurrence in sent(world, hour, sessions):
            heapq.heappush(waiting, (occurrence.recorded, next(number), occurrence))
