"""`meshport.testing.processor`, as those use it who write products."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meshport.address import Address
from meshport.errors import EncodeError, EventError, MeshError, ProcessError, ProjectError, PublishError
from meshport.files.inference import MOMENT
from meshport.product import Archetype, JoinStep, Processing, Step
from meshport.project.project import Project
from meshport.project.scaffold import Draft, init_project, write_line, write_product
from meshport.schema import parse_schema
from meshport.testing.processor import Port, ProcessorTest

ROOT = Path(__file__).parents[2]
PLAYS = "player/plays"
TERMS = "artists/onboardings"


@pytest.fixture(scope="module")
def mesh() -> Project:
    """The reference mesh."""
    return Project(ROOT)


def play(artist: str = "a", user: str = "u", ms: int = 60_000, **more: Any) -> dict[str, Any]:
    """A play without its time, which `give` takes."""
    return {
        "play_id": "p", "user_id": user, "artist_id": artist, "track_id": "t", "track_ms": 90_000, "played_ms": ms,
        "ended": "COMPLETED", "device": "PHONE", "country": "SE", "offline": False,
    } | more  # fmt: skip


def terms(artist: str = "a", rate: str = "0.004", **more: Any) -> dict[str, Any]:
    """Terms of an artist."""
    return {
        "artist_id": artist, "name": "A", "country": "SE", "genres": ["JAZZ"], "rate_per_play": rate,
        "change": "ONBOARDED", "signed_at": "2026-02-01T00:00:00Z",
    } | more  # fmt: skip


def plays_by_artist(mesh: Project) -> ProcessorTest:
    """A processor with the terms of one artist, and three plays: one too short to pay, one sent twice."""
    test = ProcessorTest("listening/plays-by-artist", project=mesh)
    test.give(TERMS, terms(label="L"), at="2026-02-02")
    test.give(PLAYS, play(), at="2026-03-01T00:10:00Z", id="p1")
    test.give(PLAYS, play(user="v", ms=5_000), at="2026-03-01T00:20:00Z", id="p2")
    test.give(PLAYS, play(), at="2026-03-01T00:10:00Z", id="p1")
    return test


def test_plays_by_artist(mesh: Project) -> None:
    """A join, a de-duplication and an hourly window over real contracts: text stands for decimals and instants."""
    test = plays_by_artist(mesh)
    first, second = test.records()
    assert (first["plays"], second["plays"]) == (1, 2)
    assert test.latest() == {
        "a|2026-03-01T00:00:00Z": {
            "artist_id": "a",
            "window_start": datetime(2026, 3, 1, tzinfo=UTC),
            "window_end": datetime(2026, 3, 1, 1, tzinfo=UTC),
            "plays": 2, "listeners": 2, "played_ms": 65_000, "payable_plays": 1,
            "royalty": Decimal("0.004000"), "label": "L",
        }
    }  # fmt: skip


def test_sessions() -> None:
    """A session is given once a later play of its own partition has gone past gap and lateness, and not before."""
    test = ProcessorTest("mesh://listening/sessions", project=ROOT / "schemas" / "common")
    test.give(PLAYS, play("a", ended="SKIPPED"), at="2026-03-01T00:00:00Z", id="p1")
    test.give(PLAYS, play("b"), at=datetime(2026, 3, 1, 0, 20, tzinfo=UTC), id="p2")
    test.give(PLAYS, play("b", user="other"), at="2026-03-02", id="elsewhere", partition=0)
    assert test.records() == []
    test.give(PLAYS, play("c"), at="2026-03-01T13:00:00Z", id="p3")
    (session,) = test.records()
    assert (session["plays"], session["skips"], session["artists"]) == (2, 1, ["a", "b"])
    assert session["window_end"] == datetime(2026, 3, 1, 0, 20, tzinfo=UTC)
    assert not test.late()


def test_artist_royalties(mesh: Project) -> None:
    """A later row of a compacted input replaces the one before, and a tombstone takes it out of the day."""
    test = ProcessorTest("payments/artist-royalties", project=mesh)
    hour = {"artist_id": "a", "window_end": "2026-03-01T01:00:00Z", "listeners": 1, "played_ms": 1, "label": None}
    for start, royalty in (("00", "0.105"), ("01", "0.200"), ("01", "0.300")):
        row = hour | {"window_start": f"2026-03-01T{start}:00:00Z", "plays": 1, "payable_plays": 1, "royalty": royalty}
        test.give("listening/plays-by-artist", row)
    day = "a|2026-03-01"
    assert test.latest()[day]["amount"] == Decimal("0.40")
    assert test.latest()[day]["day"] == date(2026, 3, 1)
    gone = {"artist_id": "a", "window_start": datetime(2026, 3, 1, 1, tzinfo=UTC)}
    test.retract("listening/plays-by-artist", gone, at="2026-03-02")
    assert test.latest()[day]["royalty"] == Decimal("0.105000")


def test_related_artists(mesh: Project) -> None:
    """A product's own Python runs; what it gives for one event stands in the order in which it gave it."""
    test = ProcessorTest("recommendations/related-artists", project=mesh)
    session = {
        "user_id": "u", "window_start": "2026-03-01T00:00:00Z", "plays": 2, "skips": 0, "played_ms": 1,
        "artists": ["a", "b"],
    }  # fmt: skip
    test.give("listening/sessions", session, at="2026-03-01T01:00:00Z")
    test.give("listening/sessions", session, at="2026-03-01T05:00:00Z")
    edges = [(row["artist_id"], row["related_artist_id"], row["sessions"]) for row in test.records()]
    assert sorted(edges[:2]) == [("a", "b", 1), ("b", "a", 1)]
    assert sorted(edges[2:]) == [("a", "b", 2), ("b", "a", 2)]


def test_late_and_quarantined(mesh: Project) -> None:
    """Late and quarantined events have their id and the reason: late, without a row, in the future, no event."""
    test = plays_by_artist(mesh)
    test.give(PLAYS, play(), at="2026-03-02T00:00:00Z", id="next")
    test.give(PLAYS, play(), at="2026-03-01T11:59:59Z", id="late")
    test.give(PLAYS, play("nobody"), at="2026-03-02T00:00:00Z", id="unknown")
    test.give(PLAYS, play(), at="2027-03-02", recorded="2026-03-02", id="ahead")
    test.give_bytes(PLAYS, b"\0poison", key=b"u")
    assert [each.id for each in test.late()] == ["late"]
    assert "12:00:01 behind the watermark" in test.late()[0].reason
    unknown, ahead, poison = test.quarantined()
    assert (unknown.id, ahead.id, poison.id) == ("unknown", "ahead", None)
    assert "nobody" in unknown.reason
    assert "more than a day ahead" in ahead.reason
    assert poison.value == b"\0poison"
    assert [row["plays"] for row in test.latest().values()] == [2, 1]


def test_the_same_input_gives_the_same_bytes(mesh: Project) -> None:
    """Nothing but what is given decides: messages, ids and headers of two runs are equal, and name the port."""
    one, two = plays_by_artist(mesh), plays_by_artist(mesh)
    assert one.messages() == two.messages() != []
    first, second = one.events()
    assert first.id != second.id
    assert first.source == "mesh://listening/plays-by-artist/events@1"
    assert first.type == "listening.plays-by-artist.events.v1"
    assert (first.key, first.recorded_time) == (b"a|2026-03-01T00:00:00Z", datetime(2026, 3, 1, 0, 10, tzinfo=UTC))
    assert [message.key for message in one.messages()] == [event.key for event in one.events()]


@pytest.mark.parametrize(
    "logic",
    [
        lambda test: [test.give(PLAYS, play(), at=f"2026-03-01T00:1{n}:00Z") for n in range(3)],
        lambda test: [test.give(PLAYS, play(user=f"u{n}"), at=f"2026-03-01T0{n}:00:00Z") for n in range(3)],
    ],
)
def test_a_crash_changes_nothing(mesh: Project, logic: Callable[[ProcessorTest], object]) -> None:
    """Wherever the processor dies, between runs or after any message, its successor comes to the same."""
    whole = plays_by_artist(mesh)
    logic(whole)
    expected, latest = whole.events(), whole.latest()
    doubled, after = 0, 0
    while True:
        test = plays_by_artist(mesh)
        stored = test.messages()
        assert not test.crash()
        assert test.messages() == stored, "it began anew instead of going on from its changelog"
        logic(test)
        died = test.crash(after=after)
        assert (test.events(), test.latest()) == (expected, latest), after
        doubled += len(test.messages()) > len(expected)
        if not died:
            break
        after += 1
    assert after > 10
    assert doubled, "no crash fell between an output and the state that knows of it"


@pytest.mark.parametrize(
    ("give", "error", "said"),
    [
        (lambda t: t.give(PLAYS, play(plaid_ms=1), at="2026-03-01"), EncodeError, "plaid_ms is no field"),
        (lambda t: t.give(PLAYS, play(played_ms="long"), at="2026-03-01"), EncodeError, "played_ms is 'long'"),
        (lambda t: t.give(PLAYS, {"user_id": "u"}, at="2026-03-01"), EncodeError, "play_id is missing"),
        (lambda t: t.give(PLAYS, play()), PublishError, "time field 'started_at'"),
        (lambda t: t.give(PLAYS, play(user=""), at="2026-03-01"), PublishError, "key field 'user_id' has no value"),
        (
            lambda t: t.give("player/pleys", play()),
            PublishError,
            r"does not read player/pleys\n.*did you mean player/plays",
        ),
        (lambda t: t.give("listening/sessions", {}), PublishError, "it reads player/plays, artists/onboardings"),
        (lambda t: t.give(PLAYS + "/events@2", play()), PublishError, "does not read player/plays/events@2"),
        (lambda t: t.give(PLAYS, play(), at="noon"), EventError, "at is 'noon'"),
        (lambda t: t.give(PLAYS, play(), at=datetime(2026, 3, 1)), EventError, "no zone"),  # noqa: DTZ001 - what is refused
        (lambda t: t.give(PLAYS, play(), at="2026-03-01", partition=4), PublishError, "no partition 4\n.*it has 4"),
        (lambda t: t.give(PLAYS, play(), at="2026-03-01", id=""), EventError, "id"),
        (lambda t: t.retract(TERMS, {}, at="2026-03-01"), PublishError, "'artist_id' has no value"),
    ],
)
def test_what_cannot_be_given(
    mesh: Project, give: Callable[[ProcessorTest], object], error: type[MeshError], said: str
) -> None:
    """A wrong record, port or time is refused where it is given, by name, and nothing of it is processed."""
    test = ProcessorTest("listening/plays-by-artist", project=mesh)
    with pytest.raises(error, match=said):
        give(test)
    assert not test.messages()
    assert not test.quarantined()


def test_ports_by_their_full_address(mesh: Project) -> None:
    """A port, an output and a major may be named in full; partitions are the test's to choose."""
    test = ProcessorTest("listening/sessions/events@1", project=mesh, partitions={PLAYS: 1})
    test.give("mesh://player/plays/events@1", play(), at="2026-03-01")
    test.give("player/plays/events", play(user="another"), at="2026-03-02")
    assert [row["user_id"] for row in test.records()] == ["u"]
    with pytest.raises(
        ProjectError, match=r"no line listening/sessions/events@2\n.*it has listening/sessions/events@1"
    ):
        ProcessorTest("listening/sessions/events@2", project=mesh)


OBSERVED = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "sensor", "type": "string"},
        {"name": "celsius", "type": "double"},
        {"name": "unit", "type": "string", "default": "C"},
    ],
}
LOGIC = """
from meshport.process import Apply

def highest(state, reading):
    if reading.data["celsius"] < -273.15:
        raise ValueError("colder than cold")
    before = state["celsius"] if state else None
    if before is not None and reading.data["celsius"] <= before:
        return state, []
    now = {"sensor": reading.data["sensor"], "celsius": reading.data["celsius"], "at": reading.time}
    return {"celsius": now["celsius"]}, [now]

def pipeline():
    return [Apply(highest, by=("sensor",))]
"""


@pytest.fixture
def greenhouse(tmp_path: Path) -> Path:
    """A project of one's own, whose one product is built in Python from an input that another project holds."""
    init_project(tmp_path)
    form = {
        "type": "record",
        "name": "Highest",
        "namespace": "greenhouse",
        "fields": [*OBSERVED["fields"][:2], {"name": "at", "type": MOMENT}],
    }
    descriptor, _ = write_product(
        Project.find(tmp_path),
        Draft(
            address=Address("greenhouse", "highest"),
            archetype=Archetype.AGGREGATE,
            owner="growers",
            description="New highs.",
            schema=parse_schema(json.dumps(form)),
            key=("sensor",),
            time="at",
            inputs={Address("field", "readings"): ("sensor", "celsius")},
            processing=Processing(python="logic.py:pipeline"),
        ),
    )
    (descriptor.parent / "logic.py").write_text(LOGIC, encoding="utf-8")
    return tmp_path


def test_a_project_of_ones_own(greenhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project is found from the working directory; an input from elsewhere is given by its contract."""
    monkeypatch.chdir(greenhouse / "processors")
    readings = Port(OBSERVED, key=("sensor",), partitions=3)
    test = ProcessorTest("greenhouse/highest", ports={"field/readings": readings})
    for minute, (sensor, celsius) in enumerate([("s", 1.5), ("t", 9.0), ("s", 1.0), ("s", -300.0)]):
        test.give("field/readings", {"sensor": sensor, "celsius": celsius}, at=f"2026-03-01T00:0{minute}:00Z")
    test.run()
    test.crash()
    test.give("field/readings", {"sensor": "s", "celsius": 2.0}, at=date(2026, 3, 2))
    assert [(row["sensor"], row["celsius"]) for row in test.records()] == [("s", 1.5), ("t", 9.0), ("s", 2.0)]
    assert test.events()[2].time == datetime(2026, 3, 2, tzinfo=UTC)
    assert [(each.id, each.error) for each in test.quarantined()] == [("given-4", "ValueError")]
    with pytest.raises(PublishError, match="no time field"):
        test.give("field/readings", {"sensor": "s", "celsius": 2.0})


def test_a_declared_product_and_its_lines(greenhouse: Path) -> None:
    """Steps of product.yaml run alike; a port without a key has no latest rows; the day decides which line is built."""
    project = Project.find(greenhouse)
    address, cold = Address("greenhouse", "cold"), Processing(steps=(Step(filter="celsius < 0"),))
    reads = {Address("greenhouse", "highest"): ("celsius",)}
    schema = project.product(Address("greenhouse", "highest")).schemas["events", 1]
    write_product(
        project, Draft(address, Archetype.AGGREGATE, "growers", "Frost.", schema, inputs=reads, processing=cold)
    )
    write_line(Project(greenhouse), address, today=date(2026, 1, 1), live_from=date(2026, 6, 1))
    for today, major in ((date(2026, 5, 31), 1), (date(2026, 6, 1), 2)):
        test = ProcessorTest(address, project=greenhouse, today=today)
        for celsius in (3.0, -3.0):
            test.give("greenhouse/highest", {"sensor": "s", "celsius": celsius}, at="2026-03-01")
        assert [(event.source, event.data["celsius"]) for event in test.events()] == [
            (f"mesh://greenhouse/cold/events@{major}", -3.0)
        ]
        with pytest.raises(ProcessError, match="has no key"):
            test.latest()


def test_what_cannot_be_tested(mesh: Project, greenhouse: Path, tmp_path: Path) -> None:
    """A product that does not exist, has no process, or reads an unknown port is refused with a hint."""
    with pytest.raises(ProjectError, match="did you mean listening/sessions"):
        ProcessorTest("listening/session", project=mesh)
    with pytest.raises(ProcessError, match="no `process`"):
        ProcessorTest(PLAYS, project=mesh)
    with pytest.raises(ProjectError, match=r"mesh://field/readings is not known(.|\n)*Port\(schema"):
        ProcessorTest("greenhouse/highest", project=greenhouse)
    with pytest.raises(ProjectError, match="meshport init"):
        ProcessorTest("greenhouse/highest", project=tmp_path.parent)


def test_it_needs_no_extra() -> None:
    """Importing it loads neither faust, nor the service, nor the command line, nor pytest."""
    code = "import sys, meshport.testing.processor\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"faust", "fastapi", "sqlalchemy", "typer", "meshport_registry", "pytest"})


def test_either_side_of_a_join_of_streams_is_given(tmp_path: Path) -> None:
    """Orders and payments in any order; what was not paid in time is given once every input has gone past it."""
    init_project(tmp_path)
    text, cents = {"name": "order_id", "type": "string"}, {"name": "cents", "type": "long"}
    more: dict[str, list[Any]] = {"Order": [], "Payment": []}
    more["Settled"] = [{"name": "paid_cents", "type": ["null", "long"], "default": None}]
    orders, payments, settled = (
        {"type": "record", "name": name, "namespace": "shop", "fields": [text, cents, *fields]}
        for name, fields in more.items()
    )
    join = {"with": "mesh://shop/payments", "on": "order_id", "within": "1h", "take": {"paid_cents": "cents"}}
    draft = Draft(
        address=Address("shop", "settled"),
        archetype=Archetype.AGGREGATE,
        owner="shop",
        description="Orders and what was paid for them.",
        schema=parse_schema(json.dumps(settled)),
        inputs={Address("shop", "orders"): (), Address("shop", "payments"): ()},
        processing=Processing(
            steps=(Step(join=JoinStep.model_validate({**join, "missing": "keep"})),), lateness=timedelta(minutes=30)
        ),
    )
    write_product(Project.find(tmp_path), draft)
    ports = {
        f"shop/{name}": Port(schema, key=("order_id",)) for name, schema in (("orders", orders), ("payments", payments))
    }
    test = ProcessorTest("shop/settled", project=tmp_path, ports=ports)
    test.give("shop/payments", {"order_id": "a", "cents": 5}, at="2026-03-01T00:40:00Z")
    test.give("shop/orders", {"order_id": "a", "cents": 7}, at="2026-03-01T00:00:00Z")
    test.give("shop/orders", {"order_id": "b", "cents": 9}, at="2026-03-01T00:10:00Z")
    assert test.records() == [{"order_id": "a", "cents": 7, "paid_cents": 5}]
    test.crash()
    test.give("shop/orders", {"order_id": "c", "cents": 1}, at="2026-03-01T12:00:00Z")
    test.give("shop/payments", {"order_id": "b", "cents": 9}, at="2026-03-01T01:20:00Z")
    assert len(test.records()) == 1
    test.give("shop/payments", {"order_id": "d", "cents": 9}, at="2026-03-01T12:00:00Z")
    assert test.records()[1:] == [{"order_id": "b", "cents": 9, "paid_cents": None}]
    assert test.events()[1].time == datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
    test.give_bytes("shop/payments", b"poison", key=b"d")
    (event,) = test.quarantined()
    assert event.topic == "shop.payments.events.v1"
