"""A port's past asked by SQL: on both times, over archive and topic, by view."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshport.binding import Binding
from meshport.errors import HistoryMissing, QueryError
from meshport.kafka.producer import Message, Producer
from meshport.ports.history import Missing
from meshport.ports.publisher import Publisher
from meshport.query import Moment, Table
from tests.archive.archives import archived
from tests.connections import CONNECTIONS
from tests.mesh_session import READING, Mesh
from tests.ports.readings import cut, fill, reading
from tests.query.facts import BEGIN, PRICE, answer, facts, recount, store

pytestmark = pytest.mark.kafka

FACTS = facts(1200, seed=17)


@pytest.fixture(params=["topic", "archive and topic", "archive"])
def prices(request: pytest.FixtureRequest, mesh: Mesh, tmp_path: Path) -> Binding:
    """A port with all facts: in its topic, half of them in its archive only, or almost all."""
    where: dict[str, Any] = {} if request.param == "topic" else {"archive": {"store": tmp_path.as_uri()}}
    binding = mesh.product(PRICE, key="thing", time="at", partitions=1, **where)
    early = {"topic": 0, "archive and topic": 600, "archive": 1200}[request.param]
    if early:
        store(mesh, binding, FACTS[:early])
        archived(mesh, binding, tmp_path)
        store(mesh, binding, FACTS[early:])
        cut(binding, early - 1)
    else:
        store(mesh, binding, FACTS)
    return binding


def table(mesh: Mesh, binding: Binding, **given: Any) -> Table:
    """The table of a port."""
    return Table(binding.address, mesh.registry, kafka=CONNECTIONS, **given)


def test_what_had_happened_as_it_was_known(mesh: Mesh, prices: Binding) -> None:
    """As of 350 pairs of times, the latest price of each thing, and count and sum of events, equal a recount by hand."""
    chance = random.Random(3)
    with table(mesh, prices) as asked:
        for _ in range(350):
            as_of, known_at = (BEGIN + timedelta(minutes=chance.randrange(-30, 1300)) for _ in range(2))
            moment = Moment(as_of, known_at)
            now, count, total = recount(FACTS, as_of, known_at)
            assert answer(asked.sql("SELECT thing, cents FROM latest", moment).to_pylist()) == now
            (row,) = asked.sql(
                "SELECT count(*) AS n, coalesce(sum(cents), 0)::BIGINT AS s FROM events", moment
            ).to_pylist()
            assert (row["n"], row["s"]) == (count, total)


def test_a_correction_changes_what_is_known_now_and_not_what_was_known(mesh: Mesh, prices: Binding) -> None:
    """A price corrected afterwards, about the same time: both answers can be had."""
    wrong = next(each for each in FACTS if each.cents is not None)
    binding, at = prices, FACTS[-1].recorded
    right = [type(wrong)("corrected", wrong.thing, wrong.at, at + timedelta(days=1), 123_456)]
    store(mesh, binding, right)
    with table(mesh, binding) as asked:
        known = [
            answer(asked.sql("SELECT thing, cents FROM latest", Moment(wrong.at, known)).to_pylist())[wrong.thing]
            for known in (at, None)
        ]
    assert known == [recount(FACTS, wrong.at, at)[0][wrong.thing], 123_456]


def test_the_views(mesh: Mesh, prices: Binding) -> None:
    """Log, events, latest and series are views of one port; without SQL, the rows of the one that is asked for."""
    with table(mesh, prices) as asked:
        (counted,) = asked.sql(
            "SELECT (SELECT count(*) FROM log) AS log, (SELECT count(*) FROM events) AS events, "
            "(SELECT count(*) FROM log WHERE _retracted) AS deleted"
        ).to_pylist()
        rows = asked.sql().to_pylist()
        of_hours = asked.sql(moment=Moment(every=timedelta(hours=1))).to_pylist()
        by_cents = asked.sql("SELECT count(*) AS n FROM latest", Moment(latest_by=("cents",))).to_pylist()
    assert counted["log"] == 1200
    assert counted["events"] == len({each.id for each in FACTS if each.cents is not None}) == len(rows)
    assert counted["deleted"] == sum(each.cents is None for each in FACTS)
    assert [*rows[0]] == ["thing", "at", "cents", "_time"]
    assert rows == sorted(rows, key=lambda each: each["_time"])
    assert {(each["_interval"], each["thing"], each["cents"]) for each in of_hours} == by_hours()
    assert by_cents[0]["n"] == len({each.cents for each in FACTS} - {None})


def by_hours() -> set[tuple[datetime, str, int]]:
    """The latest price of each thing in each hour, by hand."""
    found: dict[tuple[datetime, str], tuple[Any, ...]] = {}
    for position, each in enumerate(FACTS):
        key = each.at.replace(minute=0, second=0, microsecond=0), each.thing
        found[key] = max(found.get(key, (BEGIN - timedelta(days=99),)), (each.at, each.recorded, position, each.cents))
    return {(*key, row[3]) for key, row in found.items() if row[3] is not None}


def test_messages_that_cannot_be_read_are_counted(mesh: Mesh, tmp_path: Path) -> None:
    """They are in no view but `problems`, which has the reason; the answer says how many."""
    binding = mesh.product(PRICE, key="thing", time="at", partitions=1, archive={"store": tmp_path.as_uri()})
    with Producer(mesh.kafka) as producer:
        producer.deliver([Message(binding.topic, b"k", b"no event", (), None, 0)])
    archived(mesh, binding, tmp_path)
    store(mesh, binding, FACTS[:1])
    with table(mesh, binding) as asked:
        found = asked.sql("SELECT * FROM log")
        assert found.left_out == 1
        assert len(found.to_pylist()) == 1
        (problem,) = asked.sql("SELECT * FROM problems").to_pylist()
    assert problem["_kafka_offset"] == 0
    assert problem["_problem"]


def test_rows_that_are_nowhere_are_named(mesh: Mesh) -> None:
    """What retention removed of a port without an archive is an error, or allowed to be missing."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(20))
    cut(binding, 5)
    with pytest.raises(HistoryMissing, match="the offsets 0 to 4"):
        table(mesh, binding)
    with table(mesh, binding, missing=Missing.ALLOW) as asked:
        assert len(asked.sql().to_pylist()) == 15


def test_a_new_field_is_there_in_all_rows(mesh: Mesh, tmp_path: Path) -> None:
    """Rows of before it have its default, in files of the archive that have no such column as well."""
    binding = mesh.product(READING, key="sensor", time="at", archive={"store": tmp_path.as_uri()})
    fill(mesh, binding.address, range(3))
    archived(mesh, binding, tmp_path)
    wider = {
        **READING,
        "fields": [
            *READING["fields"],
            {"name": "place", "type": ["null", "string"], "default": None},
            {"name": "unit", "type": "string", "default": "it's C"},
            {"name": "digits", "type": ["int", "null"], "default": 2},
        ],
    }
    grown = mesh.evolve(binding, wider)
    with Publisher(grown.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in (3, 4):
            publisher.publish(reading(number) | {"place": None, "unit": "it's C", "digits": 2})
    query = "SELECT place, unit, digits, count(*) AS n FROM events GROUP BY ALL"
    with table(mesh, grown) as asked:
        assert {tuple(each.values()) for each in asked.sql(query).to_pylist()} == {(None, "it's C", 2, 5)}
    archived(mesh, grown, tmp_path)
    with table(mesh, grown) as asked:
        assert {tuple(each.values()) for each in asked.sql(query).to_pylist()} == {(None, "it's C", 2, 5)}


@pytest.mark.parametrize(
    ("sql", "moment", "word"),
    [
        ("SELECT price FROM events", Moment(), "price"),
        ("SELEC", Moment(), "SELEC"),
        (None, Moment(latest_by=("price",)), "has no field 'price' to take the latest by"),
        ("SELECT * FROM series", Moment(), "series"),
    ],
)
def test_a_wrong_question_is_named(mesh: Mesh, sql: str | None, moment: Moment, word: str) -> None:
    """With the views and the fields that there are."""
    binding = mesh.product(PRICE, key="thing", time="at")
    with table(mesh, binding) as asked, pytest.raises(QueryError, match=word):
        asked.sql(sql, moment)


def test_a_row_that_cannot_be_computed_is_named(mesh: Mesh) -> None:
    """The error comes with the row."""
    binding = mesh.product(PRICE, key="thing", time="at", partitions=1)
    store(mesh, binding, FACTS[:50])
    with table(mesh, binding) as asked, pytest.raises(QueryError, match=r"t\d+"):
        asked.sql("SELECT CAST(thing AS INTEGER) FROM events").to_arrow()


def test_a_moment_is_checked() -> None:
    """A time without a zone and an interval without a length are refused."""
    with pytest.raises(QueryError, match="without a zone"):
        Moment(as_of=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(QueryError, match="has no length"):
        Moment(every=timedelta())
