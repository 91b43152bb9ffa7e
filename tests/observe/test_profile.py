"""The profile of a port from a sample of its events, and what is masked in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from meshport.address import Address
from meshport.binding import Binding
from meshport.event import Envelope, Event
from meshport.observe.levels.sampled_port import EVERY_MS, SampledPort
from meshport.observe.masking import Masking
from meshport.observe.profile import PortProfiler
from meshport.port_profile import LONGEST_VALUE, MASK, FieldProfile, PortProfile
from meshport.schema import Schema, parse_schema
from tests.compat import schemas

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PORT = Address.parse("operations/departures/events@1")
BINDING = {
    "address": str(PORT), "bootstrap_servers": "kafka:9092", "topic": "t", "partitions": 1, "key": (), "time": None,
    "type": "t", "subject": "t-value", "schema_id": 1, "cleanup": "delete", "generation": 1, "status": "active",
    "owner": "o", "envelope": "cloudevents",
}  # fmt: skip
INSTANT = {"type": "long", "logicalType": "timestamp-millis"}


def schema(*fields: Mapping[str, Any]) -> Schema:
    """Return the schema of a record."""
    return parse_schema(json.dumps({"type": "record", "name": "ops.Departure", "fields": list(fields)}))


def field(name: str, kind: Any, **attributes: Any) -> dict[str, Any]:
    """Return a field of a record."""
    return {"name": name, "type": kind, **attributes}


def profile(contract: Schema, *data: Mapping[str, Any] | None, classification: str = "internal") -> PortProfile:
    """Return the profile of events with this data, a second apart."""
    profiler = PortProfiler(PORT, contract, classification)
    for index, each in enumerate(data):
        at = NOON + timedelta(seconds=index)
        profiler.add(Event(envelope=Envelope("s", "t"), id=str(index), time=at, data=each, partition=0, offset=index))
    return profiler.profile(NOON)


def by_path(found: PortProfile) -> dict[str, FieldProfile]:
    """Return the fields of a profile by their path."""
    return {each.path: each for each in found.fields}


def test_fields_are_profiled_from_their_values() -> None:
    """Nulls, distinct values, range, frequent values and a histogram are found, also within records, lists and maps."""
    contract = schema(
        field("carrier", "string"),
        field("delay", ["null", "int"]),
        field("at", INSTANT),
        field("fare", {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}),
        field(
            "legs", {"type": "array", "items": {"type": "record", "name": "ops.Leg", "fields": [field("to", "string")]}}
        ),
        field("bags", {"type": "map", "values": "int"}),
    )
    data = [
        {
            "carrier": "AA" if index % 4 else "UA",
            "delay": None if index % 10 == 0 else index,
            "at": NOON + timedelta(minutes=index),
            "fare": Decimal("99.50"),
            "legs": [{"to": "ATL"}, {"to": "ORD"}],
            "bags": {"small": 1, "large": index % 3},
        }
        for index in range(400)
    ]
    found = profile(contract, *data, None)
    fields = by_path(found)
    assert (found.events, found.first, found.last) == (401, NOON, NOON + timedelta(seconds=400))
    assert [(each.value, each.count) for each in fields["carrier"].top] == [("AA", 300), ("UA", 100)]
    delay = fields["delay"]
    assert (delay.values, delay.nulls, delay.minimum, delay.maximum) == (360, 40, "1", "399")
    assert abs(delay.distinct - 360) < 30
    assert sum(delay.histogram.counts) in range(354, 367)
    assert (fields["at"].minimum, fields["at"].maximum) == ("2026-03-01T12:00:00Z", "2026-03-01T18:39:00Z")
    assert (fields["fare"].minimum, len(fields["fare"].histogram.counts)) == ("99.5", 1)
    assert {each.value for each in fields["legs.to"].top} == {"ATL", "ORD"}
    assert (fields["bags"].values, fields["bags"].maximum) == (800, "2")


def test_samples_are_the_newest_events_cut_short() -> None:
    """The newest events are kept, newest first, long texts and lists are cut, and values are JSON data."""
    contract = schema(field("note", "string"), field("codes", {"type": "array", "items": "int"}), field("raw", "bytes"))
    found = profile(contract, *({"note": "x" * 5000, "codes": list(range(50)), "raw": b"\0"} for _ in range(30)), None)
    assert [each.offset for each in found.samples] == [30, 29, 28, 27, 26]
    assert found.samples[0].data is None
    assert found.samples[1].data == {"note": "x" * LONGEST_VALUE + "…", "codes": list(range(12)), "raw": "AA=="}


def test_a_large_event_is_shown_in_part() -> None:
    """Of an event with thousands of values the first ones are in a sample, so that a profile fits into one request."""
    contract = schema(*(field(f"f{number}", "int") for number in range(2000)))
    found = profile(contract, {f"f{number}": number for number in range(2000)})
    shown = [each for each in found.samples[0].data.values() if each != MASK]
    assert (len(found.fields), len(shown), len(found.samples[0].data)) == (100, 199, 199)


def test_sensitive_values_are_nowhere_in_a_profile() -> None:
    """A confidential or restricted field is counted, and none of its values is in the profile, however it is nested."""
    person = {
        "type": "record",
        "name": "ops.Person",
        "fields": [field("name", "string"), field("seat", "string", classification="public")],
    }
    contract = schema(
        field("flight", "string"),
        field("pilot", person, classification="restricted"),
        field("guests", {"type": "array", "items": ["null", "ops.Person"]}, classification="confidential"),
        field("notes", {"type": "map", "values": ["null", {"type": "string", "classification": "confidential"}]}),
        field("crew", ["string", "ops.Person"], classification="restricted"),
        field("other", ["null", "ops.Person"]),
    )
    secret = {"name": "SECRET", "seat": "SECRET"}
    event = {
        "flight": "BA1", "pilot": secret, "guests": [secret, None], "notes": {"SECRET": "SECRET"}, "crew": secret,
        "other": {"name": "ann", "seat": "1A"}, "newer": "SECRET",
    }  # fmt: skip
    found = profile(contract, *[event] * 5)
    assert "SECRET" not in found.model_dump_json()
    fields = by_path(found)
    assert (fields["pilot.seat"].masked, fields["pilot.seat"].classification) == (True, "restricted")
    assert (fields["guests.name"].values, fields["guests.name"].distinct, fields["guests.name"].top) == (5, 1, ())
    assert fields["flight"].top[0].value == "BA1"
    assert fields["other.name"].top[0].value == "ann"  # the record declares nothing of itself
    assert found.samples[0].data == {
        "flight": "BA1",
        "pilot": {"name": MASK, "seat": MASK},
        "guests": [{"name": MASK, "seat": MASK}, None],
        "notes": MASK,
        "crew": {"name": MASK, "seat": MASK},
        "other": {"name": "ann", "seat": "1A"},
        "newer": MASK,
    }


def test_a_product_decides_where_its_fields_say_nothing() -> None:
    """In a restricted product every value is masked, except of a field that is declared harmless; an unknown word masks."""
    contract = schema(
        field("a", "string"), field("b", "string", classification="public"), field("c", "int", classification="?")
    )
    found = profile(contract, {"a": "SECRET", "b": "open", "c": 7}, classification="restricted")
    assert found.samples[0].data == {"a": MASK, "b": "open", "c": MASK}
    assert [each.masked for each in found.fields] == [True, False, True]


def test_odd_values_are_profiled() -> None:
    """Infinite numbers, numbers beyond a double, equal values and empty samples give a profile."""
    contract = schema(field("x", "double"), field("n", {"type": "bytes", "logicalType": "decimal", "precision": 400}))
    data = [{"x": each, "n": Decimal(10) ** 390} for each in (float("nan"), float("inf"), 1e308, -1e308)]
    fields = by_path(profile(contract, *data))
    assert (fields["x"].values, fields["x"].minimum, len(fields["x"].histogram.counts)) == (4, "-1e+308", 1)
    assert (fields["n"].values, fields["n"].minimum, fields["n"].histogram.counts) == (4, None, ())
    assert profile(contract).fields[0].values == 0


def test_a_contract_that_refers_to_itself_has_an_end() -> None:
    """A recursive contract, and one with paths without number, are profiled in bounded time and memory."""
    tree = {"type": "record", "name": "ops.Tree", "fields": [field("v", "string"), field("next", ["null", "ops.Tree"])]}
    found = profile(schema(field("tree", tree)), {"tree": {"v": "a", "next": {"v": "b", "next": None}}})
    assert [each.path for each in found.fields] == ["tree.v"]
    assert found.samples[0].data["tree"]["next"]["v"] == "b"
    for leaf, most in (("long", 100), ({"type": "record", "name": "shop.Empty", "fields": []}, 0)):
        assert len(Masking(schemas.schema(schemas.doubling(40, leaf)), "public").leaves(100)) == most


def test_the_sample_of_a_port_is_bounded() -> None:
    """Few events of a look are taken, a profile comes at most each five minutes, and none where nothing new came."""
    contract = schema(field("number", "int"))
    binding = Binding.model_validate(BINDING | {"schema_text": contract.text, "fingerprint": contract.fingerprint})
    sampled = SampledPort(binding, "internal")
    assert sampled.profile(0) is None

    def look(first: int) -> None:
        sampled.note([
            Event(envelope=Envelope("s", "t"), id=str(each), time=NOON, data={"number": each}, partition=0, offset=each)
            for each in range(first, first + 1000)
        ])  # fmt: skip

    look(0)
    found = sampled.profile(0)
    assert found is not None
    assert (found.events, found.fields[0].minimum, found.samples[0].offset) == (100, "900", 999)
    assert sampled.profile(EVERY_MS) is None
    for first in (1000, 2000, 3000):
        look(first)
    assert sampled.profile(EVERY_MS - 1) is None
    found = sampled.profile(EVERY_MS)
    assert found is not None
    assert (found.events, found.fields[0].maximum) == (300, "2999")
