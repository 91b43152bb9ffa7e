# ruff: noqa: D102 - `fill` and `check` are described by `Scenario`
"""Scenarios of processors whose inputs are written with other versions of the schema than the contract's present one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from meshport.address import Address
from meshport.codec import codec_for
from meshport.event import EventWriter
from meshport.event.record import record_key
from meshport.kafka.producer import Message
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Derive,
    Filter,
    Join,
    JoinStream,
    Occurrence,
    Select,
    Tumbling,
)
from meshport.schema import Schema, parse_schema
from tests.process.behaviour import Outcome, scenario
from tests.process.behaviour_joins import LIKE, LIKED, LIKES
from tests.process.plays import ARTIST, INSTANT, PLAY, WINDOW, at, pipeline, play, ports, record
from tests.process.plays import field as avro

HOUR = timedelta(hours=1)
MANY = 40
"""Enough events of one schema in a row to be processed as columns."""


def publish_as(
    harness: Harness, address: str, version: Mapping[str, Any], data: Mapping[str, Any], *, id: str, time: datetime
) -> None:
    """Publish an event with another version of a port's schema, one of `Port.versions`."""
    binding = harness.ports.resolve(Address.parse(address))
    schema = parse_schema(json.dumps(version))
    writer = EventWriter(
        source=str(binding.address), type=binding.type, codec=codec_for(schema), schema_id=number_of(harness, schema)
    )
    value, headers = writer.message(data, id=id, time=time, recorded_time=time)
    # The record key is the text of the key's value, whatever the version calls its field.
    key = record_key(("key",))({"key": data[next(iter(data))]})
    harness.store(Message(binding.topic, key, value, headers))


def number_of(harness: Harness, schema: Schema) -> int:
    """Return the id of a schema that a harness' ports know."""
    return next(each for each in range(1, 100) if harness.ports.by_id(each).fingerprint == schema.fingerprint)


def with_fields(form: Mapping[str, Any], *fields: Mapping[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a record's schema with more fields, and without some."""
    kept = [each for each in form["fields"] if each["name"] not in without]
    return {**form, "fields": [*kept, *fields]}


MOOD = {"type": "enum", "name": "Mood", "symbols": ["CALM", "LOUD"], "default": "CALM"}
LATER_MOOD = {**MOOD, "symbols": ["CALM", "LOUD", "WILD"]}
# The contract: `stars` came with a default, `ms` became a double, `user` was `listener`, `tags` is gone.
NOW = record(
    "Play",
    avro("user", "string") | {"aliases": ["listener"]},
    avro("artist", "string"),
    avro("ms", "double"),
    avro("at", INSTANT),
    avro("stars", "int") | {"default": 5},
    avro("mood", MOOD) | {"default": "CALM"},
)
OLD = record(
    "Play",
    avro("listener", "string"),
    avro("artist", "string"),
    avro("ms", "int"),
    avro("tags", {"type": "array", "items": "string"}),
    avro("at", INSTANT),
)
LATER = with_fields(NOW, avro("mood", LATER_MOOD), avro("more", "string"), without=("mood",))


def versions(output: Mapping[str, Any], key: tuple[str, ...], **more: Any) -> dict[str, Port]:
    """Return the ports of a processor whose plays have been written with three versions."""
    found = ports(output, key, **more)
    plays = found["player/plays"]
    return {**found, "player/plays": replace(plays, schema=NOW, versions=(OLD, LATER))}


def fill_versions(harness: Harness) -> None:
    """Publish plays of each version in turn, many of each in a row and a few between them."""
    for number in range(3 * MANY + 6):
        of = ("old", "now", "later")[number // MANY if number < 3 * MANY else number % 3]
        user, artist, time, id = f"u{number % 2}", f"a{number % 3}", at(number / 10), f"p{number}"
        if of == "old":
            data = {"listener": user, "artist": artist, "ms": 2, "tags": ["x"], "at": time}
            publish_as(harness, "player/plays", OLD, data, id=id, time=time)
        else:
            data = {"user": user, "artist": artist, "ms": 2.0, "at": time, "stars": 1, "mood": "LOUD"}
            if of == "now":
                harness.publish("player/plays", data, id=id)
            else:
                later = data | {"mood": "WILD" if number % 2 else "LOUD", "more": "m"}
                publish_as(harness, "player/plays", LATER, later, id=id, time=time)


SUMS = record(
    "Sums", avro("user", "string"), *WINDOW, avro("n", "long"), avro("stars", "long"), avro("ms", "double"),
    avro("calm", "long"),
)  # fmt: skip
CALM = Derive({"is_calm": "1 if mood == 'CALM' else 0"})
TOTALS = {"n": "count()", "stars": "sum(stars)", "ms": "sum(ms)", "calm": "sum(is_calm)"}


def check_sums(outcome: Outcome, key: str) -> None:
    """Each version has 42 plays: the older have 5 stars, 2 ms and are calm, of the later every other one is."""
    assert outcome.quarantine == []
    totals = [sum(row[name] for row in outcome.table.values()) for name in ("n", "stars", "ms", "calm")]
    assert totals == [126, 42 * 5 + 84, 252.0, 42 + 21]
    assert len({row[key] for row in outcome.table.values()}) == (2 if key == "user" else 3)


@scenario(
    pipeline(CALM, Aggregate(("user",), TOTALS, Tumbling(HOUR)), lateness=HOUR),
    versions(SUMS, ("user", "window_start")),
)
class ContractDefaults:
    """Events of older and newer versions are read into the contract: defaults, promotions, aliases, an enum's default."""

    fill = staticmethod(fill_versions)

    @staticmethod
    def check(outcome: Outcome) -> None:
        check_sums(outcome, "user")


@scenario(
    pipeline(CALM, Aggregate(("artist",), TOTALS, Tumbling(HOUR)), lateness=HOUR),
    versions(with_fields(SUMS, avro("artist", "string"), without=("user",)), ("artist", "window_start"), plays=2),
    same_bytes=False,
)
class ContractDefaultsRekeyed:
    """The same where records are written to the repartition topic on the way."""

    fill = staticmethod(fill_versions)

    @staticmethod
    def check(outcome: Outcome) -> None:
        check_sums(outcome, "artist")


# `rate` came with a default that has no exact single, and `ms` became a float, which holds 24 bits.
RATED = with_fields(NOW, avro("ms", "float"), avro("rate", "float") | {"default": 0.1}, without=("ms", "stars", "mood"))
RATES = record("Rates", avro("rate", "float"), avro("ms", "float"), avro("n", "long"), avro("sum", "double"))


def rated() -> dict[str, Port]:
    """Return the ports of a processor whose plays have been written before and after they had a rate."""
    found = ports(RATES, ("rate", "ms"), plays=2)
    return {**found, "player/plays": replace(found["player/plays"], schema=RATED, versions=(OLD,))}


@scenario(
    pipeline(Aggregate(("rate", "ms"), {"n": "count()", "sum": "sum(rate)"})),
    rated(),
    same_bytes=False,
)
class SinglePrecision:
    """A float of a default or a promotion is that of an event in which it was written: one group, and equal sums."""

    @staticmethod
    def fill(harness: Harness) -> None:
        """Publish plays of both versions, many of each in a row."""
        for number in range(2 * MANY):
            user, time, id = f"u{number % 2}", at(number / 10), f"p{number}"
            data = {"artist": "a", "ms": 16777217, "at": time}
            if number < MANY:
                old = data | {"listener": user, "tags": []}
                publish_as(harness, "player/plays", OLD, old, id=id, time=time)
            else:
                harness.publish("player/plays", data | {"user": user, "rate": 0.1}, id=id)

    @staticmethod
    def check(outcome: Outcome) -> None:
        single = 0.10000000149011612
        assert outcome.quarantine == []
        ((key, row),) = outcome.table.items()
        assert key == f"{single}|16777216.0"
        assert row == {"rate": single, "ms": 16777216.0, "n": 2 * MANY, "sum": 2 * MANY * single}


def adds_stars(state: Any, play_: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """Add the stars of a user's plays."""
    total = (state or 0) + play_.data["stars"]
    return total, [{"user": play_.key[0], "stars": total}]


@scenario(
    pipeline(Apply(adds_stars, by=("user",))),
    versions(record("Stars", avro("user", "string"), avro("stars", "long")), ("user",)),
)
class ContractDefaultsInPython:
    """A Python function receives records of the contract, whichever version an event was written with."""

    fill = staticmethod(fill_versions)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert sum(row["stars"] for row in outcome.table.values()) == 42 * 5 + 84
        assert outcome.quarantine == []


@scenario(
    pipeline(Filter("ms > 1")),
    versions(with_fields(NOW, without=("stars", "mood")) | {"name": "Kept"}, ("user",), cleanup="delete"),
)
class FieldsBeyondTheOutput:
    """What the contract or a newer writer has beyond the output's fields is not passed on, and stops no event."""

    fill = staticmethod(fill_versions)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert outcome.quarantine == []
        assert len(outcome.records) == 126
        assert {tuple(row) for row in outcome.records} == {("user", "artist", "ms", "at")}


@scenario(
    pipeline(Filter(lambda each: each["ms"] > 1)),
    versions(with_fields(NOW, without=("stars", "mood")) | {"name": "Kept"}, ("user",), cleanup="delete"),
)
class FieldsBeyondTheOutputInPython(FieldsBeyondTheOutput):
    """The same with a Python function among the operators."""


# `device` came without a default, as FORWARD allows, and `quality` changed its type, as NONE does.
STRICT = with_fields(PLAY, avro("device", "string"), avro("quality", "string"), without=("quality",))


@scenario(
    pipeline(Filter("device != 'radio' if ms > 50 else True"), Select(("user", "ms"))),
    {
        **ports(record("Kept", avro("user", "string"), avro("ms", "long")), ("user",), cleanup="delete", plays=1),
        "player/plays": Port(STRICT, ("user",), "at", versions=(PLAY,)),
    },
)
class FieldsWithoutADefault:
    """An event without a field that has no default is quarantined only if the process reads the field of it."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number in range(MANY + 20):
            data = play("u1", minutes=number / 10, ms=number)
            publish_as(harness, "player/plays", PLAY, data, id=f"old {number}", time=data["at"])
        for number in range(MANY):
            device = "radio" if number % 2 else "phone"
            data = play("u2", minutes=number / 10, ms=number * 2, device=device, quality="good")
            harness.publish("player/plays", data, id=f"new {number}")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert sorted(row["ms"] for row in outcome.records if row["user"] == "u1") == list(range(51))
        kept = [ms for ms in range(0, MANY * 2, 2) if ms <= 50 or ms % 4 == 0]
        assert sorted(row["ms"] for row in outcome.records if row["user"] == "u2") == kept
        assert sorted(dict(each.headers)["ce_id"] or b"" for each in outcome.quarantine) == sorted(
            f"old {number}".encode() for number in range(51, 60)
        )


COUNTRY = avro("country", "string") | {"default": "ZZ"}


@scenario(
    pipeline(
        Join(Address.parse("artists/onboardings"), "artist", {"country": "country", "label": "label"}),
        Select(("user", "country", "label")),
    ),
    {
        **ports(
            record("Placed", avro("user", "string"), avro("country", "string"), avro("label", ["null", "string"])),
            ("user",),
            cleanup="delete",
            plays=1,
        ),
        "artists/onboardings": Port(
            with_fields(ARTIST, COUNTRY, avro("fee", "long")), ("artist",), "since", 2, "compact", versions=(ARTIST,)
        ),
    },
)
class OlderRows:
    """A row of a joined product that was written before a field came has the field's default."""

    @staticmethod
    def fill(harness: Harness) -> None:
        row = {"artist": "a0", "label": "x", "since": at(0)}
        publish_as(harness, "artists/onboardings", ARTIST, row, id="r0", time=at(0))
        harness.publish("artists/onboardings", row | {"artist": "a1", "country": "FR", "fee": 1}, id="r1")
        for number in range(MANY):
            harness.publish("player/plays", play("u1", f"a{number % 2}", minutes=number / 10 + 1), id=f"p{number}")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert [row["country"] for row in outcome.records] == ["FR"] * (MANY // 2) + ["ZZ"] * (MANY // 2)
        assert outcome.quarantine == []


OLD_LIKE = with_fields(LIKE, without=("stars",))


@scenario(
    pipeline(
        JoinStream(LIKES, "artist", timedelta(minutes=5), {"stars": "stars"}),
        Select(("user", "ms", "stars")),
    ),
    {
        **ports(LIKED, ("user",), cleanup="delete", plays=1),
        "player/plays": Port(
            with_fields(PLAY, avro("ms", "long") | {"default": 7}, without=("ms",)), ("user",), "at",
            versions=(with_fields(PLAY, without=("ms",)),),
        ),
        LIKES.key: Port(
            with_fields(LIKE, avro("stars", "long") | {"default": 3}, without=("stars",)), ("artist",), "at",
            versions=(OLD_LIKE,),
        ),
    },
)  # fmt: skip
class OlderStreams:
    """Both sides of a join of streams are read into their contracts."""

    @staticmethod
    def fill(harness: Harness) -> None:
        older = {name: each for name, each in play("u1", "a1").items() if name != "ms"}
        version = with_fields(PLAY, without=("ms",))
        publish_as(harness, "player/plays", version, older, id="p0", time=at(0))
        harness.publish("player/plays", play("u2", "a2", ms=9), id="p1")
        publish_as(harness, LIKES.key, OLD_LIKE, {"artist": "a1", "at": at(1)}, id="l0", time=at(1))
        harness.publish(LIKES.key, {"artist": "a2", "stars": 1, "at": at(1)}, id="l1")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert [(row["user"], row["ms"], row["stars"]) for row in outcome.records] == [("u1", 7, 3), ("u2", 9, 1)]
        assert outcome.quarantine == []


OLDER_ROWS = ports(record("Total", avro("artist", "string"), avro("stars", "long")), ("artist",))
OLDER_ROWS["player/plays"] = Port(
    with_fields(PLAY, avro("stars", "long") | {"default": 5}), ("user",), "at", 2, "compact", versions=(PLAY,)
)


@scenario(pipeline(Aggregate(("artist",), {"stars": "sum(stars)"})), OLDER_ROWS, same_bytes=False)
class OlderRowsOfATable:
    """A row with a default is counted in an aggregate over a compacted port, and replaced like any other."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for user in ("u1", "u2"):
            publish_as(harness, "player/plays", PLAY, play(user), id=f"old {user}", time=at(0))
        harness.publish("player/plays", play("u1", minutes=1) | {"stars": 1}, id="new")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {key: row["stars"] for key, row in outcome.table.items()} == {"a1": 6}
        assert outcome.quarantine == []
