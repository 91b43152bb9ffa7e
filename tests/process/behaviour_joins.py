# ruff: noqa: D102 - `fill` and `check` are described by `Scenario`
"""The behaviour of joins, with a compacted product and of two streams, as scenarios for every engine."""

from __future__ import annotations

from datetime import timedelta

from meshport.address import Address
from meshport.kafka.producer import Message
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port
from meshport.process.logic.operators import Deduplicate, Derive, Join, JoinStream, Select
from tests.process.behaviour import FOREIGN, HOUR, Outcome, delete, scenario
from tests.process.plays import ARTISTS, INSTANT, at, pipeline, play, ports, record
from tests.process.plays import field as avro

LABELLED = record("Labelled", avro("user", "string"), avro("label", ["null", "string"]))


@scenario(
    pipeline(
        Join(ARTISTS, "artist", {"label": "label"}, missing="quarantine"),
        Select(("user", "label")),
    ),
    ports(LABELLED, ("user",), cleanup="delete"),
)
class Joined:
    """A play is joined with its artist's row at that time; without one it is quarantined; a poison row does no harm.

    A null value deletes a row whatever its headers.
    """

    @staticmethod
    def fill(harness: Harness) -> None:
        for minute, label in ((0, "old"), (60, "new"), (500, "yet to come")):
            harness.publish("artists/onboardings", {"artist": "a1", "label": label, "since": at(minute)})
        harness.publish("artists/onboardings", {"artist": "a2", "label": "x", "since": at(0)})
        harness.publish("artists/onboardings", None, time=at(30), key={"artist": "a2"})
        harness.store(Message(harness.ports.resolve(ARTISTS).topic, b"a1", b"poison", []))
        for number, headers in enumerate(FOREIGN):
            row = {"artist": f"f{number}", "label": "before", "since": at(0)}
            harness.publish("artists/onboardings", row)
            delete(harness, "artists/onboardings", f"f{number}", 30, headers)
        deleted = [(f"f{number}", minute) for number in range(len(FOREIGN)) for minute in (29, 31)]
        for number, (artist, minute) in enumerate(
            (("a1", 5), ("a1", 61), ("a2", 5), ("a2", 31), ("a3", 5), ("a1", -1), *deleted)
        ):
            harness.publish("player/plays", play(f"u{number}", artist, minutes=minute), id=f"p{number}")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {row["user"]: row["label"] for row in outcome.records} == {
            "u0": "old", "u1": "new", "u2": "x", "u6": "before", "u8": "before", "u10": "before",
        }  # fmt: skip
        assert {each.key for each in outcome.quarantine} == {b"u3", b"u4", b"u5", b"u7", b"u9", b"u11"}
        assert len(outcome.quarantine) == 6
        assert all(dict(each.headers)["mesh_error"] == b"NoRow" for each in outcome.quarantine)


LIKES = Address.parse("player/likes")
LIKE = record("Like", avro("artist", "string"), avro("stars", "long"), avro("at", INSTANT))
LIKED = record("Liked", avro("user", "string"), avro("ms", "long"), avro("stars", ["null", "long"]))


def both_streams(partitions: int) -> dict[str, Port]:
    """Return the ports of plays by user and likes by artist, with so many partitions each."""
    likes = Port(LIKE, key=("artist",), time="at", partitions=partitions)
    return {**ports(LIKED, ("user",), cleanup="delete", plays=partitions), LIKES.key: likes}


def like(harness: Harness, artist: str, minutes: float, stars: int) -> None:
    """Publish a like; its stars make its id."""
    harness.publish(LIKES.key, {"artist": artist, "stars": stars, "at": at(minutes)}, id=f"l{stars}")


@scenario(
    pipeline(
        Deduplicate(HOUR),
        JoinStream(LIKES, "artist", timedelta(minutes=5), {"stars": "stars"}),
        Derive({"stars": lambda each: each["stars"] // (13 - each["ms"])}),
        Select(("user", "ms", "stars")),
    ),
    both_streams(2),
)
class StreamsJoined:
    """Records of one key that are near enough are paired, whichever came first; late and poison events of both sides are not."""

    @staticmethod
    def fill(harness: Harness) -> None:
        plays, likes = (harness.ports.resolve(each).topic for each in (harness.plan.source.address, LIKES))
        for ms, minutes in ((1, 0), (2, 4), (3, 6), (4, 20), (13, 20)):
            harness.publish("player/plays", play("u1", minutes=minutes, ms=ms), id=f"p{ms}")
        harness.publish("player/plays", play("u1", minutes=20, ms=4), id="p4")  # again
        harness.publish("player/plays", play("u1", minutes=9, ms=5), id="late")
        harness.publish("player/plays", play("u1", "", minutes=20, ms=6), id="no key")
        for artist, minutes, stars in (("a1", 5, 1000), ("a1", 25, 2000), ("a2", 25, 3000), ("a1", 14, 4000)):
            like(harness, artist, minutes, stars)
        for topic in (plays, likes):
            harness.store(Message(topic, b"a1", b"poison", []))

    @staticmethod
    def check(outcome: Outcome) -> None:
        found = {(event.data["ms"], event.data["stars"]): event.time for event in outcome.events}
        assert found == {
            (1, 1000 // 12): at(5), (2, 1000 // 11): at(5), (3, 1000 // 10): at(6), (4, 2000 // 9): at(25),
        }  # fmt: skip
        assert len({event.id for event in outcome.events}) == len(outcome.events) == 4
        assert sorted(dict(each.headers)["ce_id"] or b"" for each in outcome.late) == [b"l4000", b"late"]
        reasons = sorted(dict(each.headers)["mesh_error"] or b"" for each in outcome.quarantine)
        assert reasons == [b"EventError", b"EventError", b"ZeroDivisionError"]
        topics = {(dict(each.headers)["mesh_topic"] or b"").rpartition(b"player")[2] for each in outcome.quarantine}
        assert topics == {b".plays.events.v1", b".likes.events.v1"}


@scenario(
    pipeline(
        JoinStream(LIKES, "artist", timedelta(minutes=5), {"stars": "stars"}, missing="keep"),
        Select(("user", "ms", "stars")),
    ),
    both_streams(1),
)
class StreamsKept:
    """A record without a partner is emitted with nulls once none can come, and at once where it has no key."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number, (artist, minutes) in enumerate((("a1", 0), ("a2", 0), ("", 3), ("a3", 6), ("a3", 16), ("a3", 60))):
            harness.publish("player/plays", play("u1", artist, minutes=minutes, ms=number), id=f"p{number}")
        for artist, minutes, stars in (("a2", 5, 10), ("a1", 6, 20), ("a3", 26, 30)):
            like(harness, artist, minutes, stars)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert sorted((row["ms"], row["stars"]) for row in outcome.records) == [
            (0, None),
            (1, 10),
            (2, None),
            (3, None),
        ]
        assert {event.data["ms"]: event.time for event in outcome.events} == {0: at(0), 1: at(5), 2: at(3), 3: at(6)}
