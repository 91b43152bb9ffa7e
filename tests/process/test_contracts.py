"""Which version of an input's contract a processor reads into: that of its start, across changes, restarts and redrive."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from meshport.codec import codec_for
from meshport.errors import MeshError
from meshport.event import EventReader, EventWriter
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.operators import Aggregate, Apply, Filter, Join, Occurrence, Operator, Select
from meshport.process.wire.contracts import contract_readers
from meshport.process.wire.plan import make_plan
from meshport.schema import parse_schema
from tests.process.behaviour_versions import number_of, publish_as, with_fields
from tests.process.plays import ARTISTS, INSTANT, OUT, PLAY, PLAYS, at, pipeline, play, ports, record
from tests.process.plays import field as avro
from tests.process.test_columns import FIELDS, ByColumns, drawn_pipeline, fill, left, ports_for, state

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

STARS = avro("stars", "long") | {"default": 5}
V2 = with_fields(PLAY, STARS)
V3 = with_fields(PLAY, avro("stars", "long") | {"default": 9}, avro("device", "string") | {"default": "phone"})
TOTAL = record("Total", avro("user", "string"), avro("stars", "long"))


def harness_of(contract: dict[str, Any], *operators: Operator, output: dict[str, Any] = TOTAL) -> Harness:
    """Return a processor whose input has this contract; its events may be of any of the three versions."""
    made = ports(output, ("user",), plays=1)
    versions = tuple(each for each in (PLAY, V2, V3) if each is not contract)
    made["player/plays"] = replace(made["player/plays"], schema=contract, versions=versions)
    return Harness(pipeline(*operators), output=str(OUT), ports=made)


def successor(harness: Harness, contract: dict[str, Any]) -> Harness:
    """Return the processor as it starts again after the contract has changed: over the same topics."""
    made = ports(TOTAL, ("user",), plays=1)
    versions = tuple(each for each in (PLAY, V2, V3) if each is not contract)
    made["player/plays"] = replace(made["player/plays"], schema=contract, versions=versions)
    registry = Ports(made)
    # The ids of schemas stay, as a registry's do.
    registry._schemas = dict(harness.ports._schemas)  # type: ignore[attr-defined]
    log = harness.log.shared()
    return Harness(harness.plan.pipeline, output=str(OUT), ports=registry, log=log)


SUM = Aggregate(("user",), {"stars": "sum(stars)"})


def test_a_newer_version_changes_nothing_while_a_processor_runs() -> None:
    """A processor reads each event into the contract that it started with, whatever newer version the event is of."""
    harness = harness_of(V2, SUM)
    publish_as(harness, "player/plays", PLAY, play("u1"), id="old", time=at(0))
    publish_as(harness, "player/plays", V3, play("u1", stars=1, device="tv"), id="later", time=at(1))
    harness.run()
    assert harness.table() == {"u1": {"user": "u1", "stars": 6}}
    harness.restart()
    publish_as(harness, "player/plays", PLAY, play("u1"), id="older", time=at(2))
    harness.run()
    assert harness.table() == {"u1": {"user": "u1", "stars": 11}}
    assert harness.quarantine() == []


def test_a_started_processor_takes_the_present_version() -> None:
    """After a start it is the contract of that time: a default that has changed holds for the events that follow."""
    harness = harness_of(V2, SUM)
    publish_as(harness, "player/plays", PLAY, play("u1"), id="old", time=at(0))
    harness.run()
    after = successor(harness, V3)
    publish_as(harness, "player/plays", PLAY, play("u1"), id="older", time=at(1))
    after.run()
    assert after.table() == {"u1": {"user": "u1", "stars": 14}}


def test_a_redriven_event_is_read_into_the_contract() -> None:
    """An event that was quarantined for a field that it lacks is processed when it is redriven under a contract with it."""
    strict = with_fields(PLAY, avro("stars", "long"))
    made = ports(TOTAL, ("user",), plays=1)
    made["player/plays"] = Port(strict, ("user",), "at", versions=(PLAY, V2))
    harness = Harness(pipeline(SUM), output=str(OUT), ports=made)
    publish_as(harness, "player/plays", PLAY, play("u1"), id="old", time=at(0))
    harness.run()
    (left_out,) = harness.quarantine()
    headers = {name: text or b"" for name, text in left_out.headers}
    assert headers["mesh_error"] == b"EventError"
    assert re.search(r"\[0\]@0: the event has no field 'stars' of mesh://player/plays", headers["mesh_reason"].decode())
    registry = Ports(made | {"player/plays": Port(V2, ("user",), "at", versions=(strict, PLAY))})
    registry._schemas = dict(harness.ports._schemas)  # type: ignore[attr-defined]
    after = Harness(pipeline(SUM), output=str(OUT), ports=registry, log=harness.log.shared())
    after.redrive()
    after.run()
    assert after.table() == {"u1": {"user": "u1", "stars": 5}}


def test_a_joined_row_that_lacks_a_field_is_named() -> None:
    """An event is quarantined with the key of the row and the field that the row's own schema cannot give."""
    short = record("Artist", avro("artist", "string"))
    made = ports(record("Since", avro("user", "string"), avro("began", INSTANT)), ("user",), plays=1, cleanup="delete")
    made["artists/onboardings"] = replace(made["artists/onboardings"], versions=(short,))
    logic = pipeline(Join(ARTISTS, "artist", {"began": "since"}), Select(("user", "began")))
    harness = Harness(logic, output=str(OUT), ports=made)
    publish_as(harness, "artists/onboardings", short, {"artist": "a1"}, id="row", time=at(0))
    harness.publish("player/plays", play("u1", "a1", minutes=1))
    harness.run()
    (left_out,) = harness.quarantine()
    headers = {name: text or b"" for name, text in left_out.headers}
    assert headers["mesh_error"] == b"NoRow"
    assert "for artist = 'a1' has no field 'since'" in headers["mesh_reason"].decode()


def test_events_of_the_contract_are_read_as_they_are() -> None:
    """Where writer and contract are one schema nothing is resolved; another version is cut down to what is read."""
    plan = make_plan(pipeline(SUM), OUT, harness_of(V2, SUM).ports)
    reader = contract_readers(plan)[plan.source.topic]
    contract, older = parse_schema(json.dumps(V2)), parse_schema(json.dumps(PLAY))
    assert reader.for_writer(contract).text == contract.text
    assert reader.for_writer(older).field_names == ("user", "at", "stars")


def sees(state: Any, play_: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """Emit the names of the fields that a function sees."""
    return state, [{"user": " ".join(play_.data), "stars": 0}]


def test_python_sees_every_field_of_the_contract() -> None:
    """A Python function receives all fields of the contract, those of an older event with their defaults."""
    harness = harness_of(V2, Apply(sees, by=("user",)))
    publish_as(harness, "player/plays", PLAY, play("u1"), id="old", time=at(0))
    publish_as(harness, "player/plays", V3, play("u1", stars=1, device="tv"), id="later", time=at(1))
    harness.run()
    assert {each["user"] for each in harness.records()} == {"user artist ms quality tags at stars"}


def test_a_compacted_view_does_without_later_fields() -> None:
    """A filtered table passes no field on that its output does not have, and its tombstones stay."""
    made = ports({**PLAY, "name": "View"}, ("user",), plays=1)
    made["player/plays"] = Port(V2, ("user",), "at", 1, "compact", versions=(PLAY,))
    harness = Harness(pipeline(Filter("ms > 5")), output=str(OUT), ports=made)
    publish_as(harness, "player/plays", PLAY, play("u1"), id="old", time=at(0))
    harness.publish("player/plays", play("u2", stars=1), id="new")
    harness.publish("player/plays", play("u2", ms=1, stars=1, minutes=1), id="gone")
    harness.run()
    assert set(harness.table()) == {"u1"}
    assert harness.quarantine() == []


@pytest.mark.parametrize("seed", range(24))
def test_versions_give_what_the_contract_gives(seed: int) -> None:
    """Random pipelines: events of other versions give the outputs and the state that they give in the contract's own."""
    draw = random.Random(seed)
    logic = drawn_pipeline(draw)
    given = ports_for(logic)
    newer = with_fields(FIELDS, avro("later", ["null", "string"]))
    older = with_fields(FIELDS, without=("rank",))  # the last field of the contract, which has the default null
    given[str(PLAYS)] = replace(given[str(PLAYS)], versions=(newer, older))
    registry = Ports(given)
    plain, rows, columns = (kind(logic, output=str(OUT), ports=registry) for kind in (Harness, Harness, ByColumns))
    for harness in (plain, rows, columns):
        fill(harness, random.Random(seed), 300)
        if harness is not plain:
            rewrite(harness, newer, older)
        harness.run([] if harness.plan.rekeyed else [70, 40, 200])
    assert state(rows) == state(plain)
    assert state(columns) == state(rows)
    topic = plain.plan.output.topic
    assert left(columns)[topic] == left(rows)[topic] == left(plain)[topic]
    for other in (plain.plan.late_topic, plain.plan.quarantine_topic):
        assert [each.key for each in left(columns)[other]] == [each.key for each in left(plain)[other]]


def rewrite(harness: Harness, newer: dict[str, Any], older: dict[str, Any]) -> None:
    """Replace the plays of a harness by the same ones of other versions: forty of each in turn; poison stays."""
    read = EventReader(harness.ports).read
    binding = harness.ports.resolve(PLAYS)
    for messages in harness.log.topic(harness.plan.source.topic):
        for at_, message in enumerate(messages):
            form = (None, newer, older)[at_ // 40 % 3]
            try:
                event = read(*message.parts)
            except MeshError:
                continue
            if form is None or event.data is None or (form is older and event.data["rank"] is not None):
                continue
            schema = parse_schema(json.dumps(form))
            writer = EventWriter(
                source=str(binding.address), type=binding.type, codec=codec_for(schema),
                schema_id=number_of(harness, schema),
            )  # fmt: skip
            data = {name: event.data.get(name) for name in schema.field_names}
            value, headers = writer.message(data, id=event.id, time=event.time, recorded_time=event.recorded_time)
            messages[at_] = message._replace(value=value, headers=headers)
