"""State that outlives the code that stored it: its digest, what newer code reads of it, and what newer code refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshport.compat import Contract
from meshport.compat.contract import Change
from meshport.compat.rules.process import state_changed
from meshport.errors import ProcessError
from meshport.kafka.topic_partition import TopicPartition
from meshport.process import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Hopping,
    JoinStream,
    Occurrence,
    Operator,
    Pipeline,
    Rename,
    Session,
    Tumbling,
    make_plan,
)
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.load import operator_of
from meshport.process.logic.state_shape import describe, origins
from meshport.product import Step
from meshport.product.declared_state import step_path
from tests.compat.contracts import contract
from tests.process.behaviour_joins import LIKES, both_streams
from tests.process.plays import ARTISTS, OUT, PLAY, PLAYS, field, pipeline, play, ports, record

HOUR, COUNT = timedelta(hours=1), {"n": "count()"}
TOTAL = record("Total", field("user", "string"), field("ms", "long"))
INPUTS = Ports({**both_streams(2), "listening/out": ports(TOTAL, (), cleanup="delete")["listening/out"]})


def nothing(state: Any, _: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """A function that returns its state unchanged."""
    return state, []


# --- what names it


@pytest.mark.parametrize(
    ("logic", "digest"),
    [
        (pipeline(Filter("ms > 0")), "834e82fa366004b1"),
        (pipeline(Filter("ms > 0"), Deduplicate(HOUR)), "9b2c0db4d04aaf17"),
        (pipeline(Aggregate(("user",), {"n": "count()", "total": "sum(ms)"})), "73c491993138c648"),
        (
            pipeline(
                Rename({"ms": "m"}),
                Deduplicate(timedelta(minutes=5), ("user", "artist")),
                Aggregate(("artist",), COUNT, Tumbling(HOUR), "close"),
            ),
            "a284aa031956413d",
        ),
        (pipeline(Aggregate(("artist",), COUNT, Hopping(HOUR, timedelta(minutes=10)))), "fda86d02187ed2cc"),
        (pipeline(Aggregate(("user",), COUNT, Session(timedelta(minutes=30)))), "70d161bf3eb0589d"),
        (pipeline(Apply(nothing, by=("user",))), "edab5557a1d6774e"),
        (Pipeline(ARTISTS, (Aggregate(("label",), COUNT),)), "7c86f8aca14e30bb"),
        (
            Pipeline(PLAYS, (Derive({"m": "ms / 1000"}), JoinStream(LIKES, "artist", HOUR, {"stars": "stars"}))),
            "f32ce7d584402455",
        ),
    ],
)
def test_checkpoints_that_are_stored_keep_their_name(logic: Pipeline, digest: str) -> None:
    """The digest of a pipeline is the one that the first release stored, so that a processor continues after an upgrade."""
    assert make_plan(logic, OUT, INPUTS).shape == digest


def test_the_schema_of_a_state_is_no_part_of_its_name() -> None:
    """The schema of a function's state is no part of the digest, since it may evolve."""
    schema = json.dumps(record("State", field("n", "long")))
    names = {make_plan(pipeline(Apply(nothing, ("user",), state)), OUT, INPUTS).shape for state in (None, schema)}
    assert len(names) == 1


# --- the gate and the start agree

BEFORE: list[dict[str, Any]] = [
    {"filter": "ms > 0"},
    {"derive": {"artist": "upper(artist)"}},
    {"derive": {"minutes": "ms / 60000"}},
    {"rename": {"user": "u", "artist": "user"}},
    {"rename": {"artist": "user", "user": "artist"}},
    {"rename": {"user": "u"}},
    {"select": ["user", "artist", "ms"]},
    {"flatten": "tags"},
    {"flatten": "artist"},
    {"deduplicate": {"within": "1h"}},
    {"deduplicate": {"within": "2h", "by": ["user", "artist"]}},
]
BYS = (["user"], ["artist"], ["user", "artist"])
VALUES = ({"n": "count()"}, {"n": "sum(ms)"}, {"n": "count()", "m": "max(ms)"}, {"m": "max(ms)", "n": "count()"})
WINDOWS = (
    {"tumbling": "1h"},
    {"tumbling": "2h"},
    {"hopping": "2h", "every": "1h"},
    {"session": "1h"},
    {"session": "2h"},
)
EMITS = ("update", "close")
GROUPINGS: list[dict[str, Any]] = [
    {"aggregate": {"by": by, "values": values, "window": window, "emit": emit}}
    for by in BYS
    for values in VALUES
    for window, emit in [(None, "update"), *((window, emit) for window in WINDOWS for emit in EMITS)]
]
AFTER = [{"rename": {"n": "count"}}, {"filter": "n > 1"}]
WAITING = JoinStream(ARTISTS, "artist", HOUR, {"label": "label"})
JOINS: list[dict[str, Any]] = [
    {"join": {"with": "mesh://artists/onboardings", "on": on, "within": within, "take": take, "missing": missing}}
    for on, within, take, missing in [
        ("artist", "1h", {"label": "label"}, "drop"),
        ("user", "1h", {"label": "label"}, "drop"),
        ("artist", "2h", {"label": "label"}, "drop"),
        ("artist", "1h", {"since": "since"}, "drop"),
        ("artist", "1h", {"label": "label"}, "keep"),
    ]
]
GROUPINGS += JOINS
steps_ = st.builds(
    lambda before, grouping, after: [*before, *([grouping, *after] if grouping else [])],
    st.lists(st.sampled_from(BEFORE), max_size=3),
    st.sampled_from([None, *GROUPINGS]),
    st.lists(st.sampled_from(AFTER), max_size=1),
).filter(bool)


def nearby(steps: list[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """The same steps with one added, removed or changed; or other steps."""
    places = st.integers(0, len(steps) - 1)
    return st.one_of(
        st.builds(lambda at, step: [*steps[:at], step, *steps[at + 1 :]], places, st.sampled_from(BEFORE)),
        st.builds(lambda at, step: [*steps[:at], step, *steps[at:]], places, st.sampled_from(BEFORE)),
        places.map(lambda at: [*steps[:at], *steps[at + 1 :]] or steps),
        steps_,
    )


def found(*sides: Sequence[dict[str, Any]]) -> list[str]:
    """Return the paths at which the gate reports that the state of two lists of steps differs."""
    return differing(*(declared(each) for each in sides))


def declared(steps: Sequence[dict[str, Any]]) -> Contract:
    """Return a product with these steps."""
    product = {
        "archetype": "aggregate",
        "inputPorts": [{"address": "mesh://player/plays"}, {"address": "mesh://artists/onboardings"}],
        "process": {"steps": list(steps)},
    }
    return contract(product=product)


def differing(*sides: Contract) -> list[str]:
    """Return the paths at which the gate reports that the state of two products differs."""
    return [each.path for each in state_changed(Change(sides[0], sides[1], sides[1].product, date(2026, 3, 1)))]


def operators(steps: Sequence[dict[str, Any]]) -> tuple[Operator, ...]:
    """Return the operators of declared steps."""
    return tuple(operator_of(Step.model_validate(each)) for each in steps)


class Side(NamedTuple):
    """What the gate and the processor make of a list of steps."""

    contract: Contract
    shape: str
    key: list[str | None] | None

    @classmethod
    def of(cls, steps: Sequence[dict[str, Any]]) -> Side:
        """Return the side of declared steps.

        Raises:
            ProcessError: they cannot be run.
        """
        source = INPUTS.bindings[0]
        logic = Pipeline(source.address, operators(steps))
        held = origins(logic.before, ("user", "artist", "ms", "tags"))
        key = None if logic.grouping is None else [held.get(name) for name in logic.grouping.by]
        return cls(declared(steps), describe(logic, source, INPUTS.resolve(ARTISTS)).digest, key)

    def serves(self, after: Side) -> bool:
        """Whether a processor could continue: the digest is the same, and the key has the same fields of the input."""
        return self.shape == after.shape and self.key == after.key


def test_the_gate_refuses_what_would_not_start() -> None:
    """Of over a hundred processes, the gate reports a difference between two exactly if one cannot use the other's state."""
    listed = [
        *([each] for each in GROUPINGS),
        *([each, GROUPINGS[at]] for each in BEFORE for at in (0, -1 - len(JOINS), -1)),
    ]
    every = [Side.of(each) for each in [*listed, *([each] for each in BEFORE)]]
    wrong = [
        (before, after)
        for before in every
        for after in every
        if before.serves(after) is bool(differing(before.contract, after.contract))
    ]
    assert len(every) > 100
    assert wrong == []


@given(st.data())
def test_of_longer_processes_too(data: st.DataObject) -> None:
    """The gate and the processor agree about any change of one of many steps before the grouping."""
    before = data.draw(steps_)
    after = data.draw(nearby(before))
    try:
        sides = [Side.of(each) for each in (before, after)]
    except ProcessError:
        return  # de-duplicated after the grouping, or grouped twice
    assert sides[0].serves(sides[1]) is not bool(differing(*(each.contract for each in sides)))


@given(steps_)
@example([{"deduplicate": {"within": "1h"}}, {"filter": "ms > 0"}, {"deduplicate": {"within": "1h"}}])
def test_a_filter_more_is_no_other_state(steps: list[dict[str, Any]]) -> None:
    """A filter that is added changes no state, wherever it is put."""
    for at in range(len(steps) + 1):
        assert found(steps, [*steps[:at], {"filter": "ms < 5000"}, *steps[at:]]) == []


def test_each_step_is_named_where_it_stands() -> None:
    """The path of a finding is that of the step in product.yaml, or of its parent where the step was removed."""
    before: list[dict[str, Any]] = [
        {"deduplicate": {"within": "1h"}},
        {"filter": "ms < 5000"},
        {"deduplicate": {"within": "1h"}},
        GROUPINGS[0],
    ]
    changed: list[dict[str, Any]] = [before[0], before[1], {"deduplicate": {"within": "2h"}}, GROUPINGS[1]]
    assert found(before, changed) == ["process.deduplicate.2", "process.aggregate"]
    process = contract(
        product={"archetype": "aggregate", "inputPorts": [{"address": "a/b"}], "process": {"steps": changed}}
    ).product.process
    places = [step_path(process, step) for step in ("deduplicate.2", "aggregate.by", "apply", "input")]
    assert places == [
        ("process", "steps", 2, "deduplicate"),
        ("process", "steps", 3, "aggregate", "by"),
        ("process", "steps"),
        ("process",),
    ]


def test_the_join_of_streams_is_named_where_it_stands() -> None:
    """The path of a join of streams is not that of a join with a table before it."""
    table = {"join": {"with": "mesh://artists/onboardings", "on": "artist", "take": {"label": "label"}}}
    assert found([table, JOINS[0]], [table, JOINS[2]]) == ["process.join"]
    process = declared([table, JOINS[2]]).product.process
    assert step_path(process, "join") == ("process", "steps", 1, "join")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (Deduplicate(HOUR), Deduplicate(HOUR, ("user",)), "by the event's own id and would by user"),
        (Deduplicate(HOUR), Deduplicate(2 * HOUR), "it remembered for 1h and would for 2h"),
        (
            Aggregate(("user",), COUNT),
            Aggregate(("user", "artist"), COUNT),
            "the key was user and would be user, artist",
        ),
        (Aggregate(("user",), COUNT), Aggregate(("user",), {"n": "sum(ms)"}), "'n' was count() and would be sum(ms)"),
        (
            Aggregate(("user",), COUNT, Tumbling(HOUR)),
            Aggregate(("user",), COUNT, Hopping(HOUR, HOUR / 2), "close"),
            "windows were tumbling 1h and would be hopping 1h every 30m; emit was update and would be close",
        ),
        (Aggregate(("user",), COUNT), Apply(nothing, ("user",)), "those of `aggregate` and would be those of `apply`"),
        (Filter("ms > 0"), Deduplicate(HOUR), "it is new, and remembers nothing of what was read before"),
        (Aggregate(("user",), COUNT), Filter("ms > 0"), "it is gone, and its groups with it"),
        (WAITING, Filter("ms > 0"), "it is gone, and with it what waited for a partner"),
        (
            WAITING,
            replace(WAITING, on="user", within=2 * HOUR),
            "the key was artist and would be user; partners waited for 1h",
        ),
        (WAITING, replace(WAITING, take={"l": "since"}), "kept of the other stream was label and would be since"),
    ],
)
def test_a_difference_is_told_in_words(before: Operator, after: Operator, message: str) -> None:
    """The message of a difference has what the state was and what it would be."""
    was, now = (describe(pipeline(each), INPUTS.bindings[0], INPUTS.resolve(ARTISTS)) for each in (before, after))
    (difference,) = was.differences(now)
    assert message in difference.message


# --- de-duplication


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((Deduplicate(HOUR),), (Filter("ms > 0"), Deduplicate(HOUR))),
        ((Filter("ms > 0"), Deduplicate(HOUR)), (Deduplicate(HOUR),)),
        (
            (Deduplicate(HOUR), Deduplicate(HOUR, ("user", "ms"))),
            (Filter("ms > 0"), Deduplicate(HOUR), Filter("ms < 5000"), Deduplicate(HOUR, ("user", "ms"))),
        ),
    ],
)
def test_a_filter_more_forgets_nothing(before: tuple[Operator, ...], after: tuple[Operator, ...]) -> None:
    """De-duplication remembers its records when another step is added or removed."""
    harness = Harness(pipeline(*before), output="listening/out", ports=ports(PLAY, (), cleanup="delete"))
    harness.publish("player/plays", play(), id="one")
    harness.run()
    resume(harness, *after)
    harness.publish("player/plays", play(), id="one")
    harness.publish("player/plays", play(ms=2), id="two")
    harness.run()
    assert [each["ms"] for each in harness.records()] == [1000, 2]


def resume(harness: Harness, *operators: Operator) -> None:
    """Start a new process with other operators over the stored state.

    Raises:
        ProcessError: it refuses to.
    """
    harness.plan = make_plan(pipeline(*operators), OUT, harness.ports)
    harness.restart()


def test_rows_of_one_numbering_are_taken_by_the_only_step() -> None:
    """The only de-duplication uses stored rows of any number: other steps were counted too once."""
    harness = Harness(
        pipeline(Filter("ms > 0"), Deduplicate(HOUR)), output="listening/out", ports=ports(PLAY, (), cleanup="delete")
    )
    stage = harness.worker._stages[TopicPartition(harness.plan.stages[0].topic, 0)]
    (step,) = stage._steps.deduplications  # type: ignore[attr-defined]  # as code of before had it
    step._prefix = "d1:"
    harness.publish("player/plays", play(), id="one", partition=0)
    harness.run()
    resume(harness, Filter("ms > 0"), Deduplicate(HOUR))
    harness.publish("player/plays", play(), id="one", partition=0)
    harness.run()
    assert len(harness.records()) == 1


# --- a function's state


def schema(*fields: dict[str, Any]) -> str:
    """Return the Avro schema of a state."""
    return json.dumps(record("State", *fields))


MS = field("ms", "long")
PLAYS_ = {"name": "plays", "type": "long", "default": 0}


def total(state: dict[str, Any] | None, event: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """Sum up milliseconds, and count plays once the state has that field."""
    state = state or {"ms": 0}
    state["ms"] += event.data["ms"]
    if event.data["tags"]:
        state |= json.loads(event.data["tags"][0])
    if "plays" in state:
        state["plays"] += 1
    return state, [{"user": event.key[0], "ms": state["ms"], "kept": json.dumps(state, sort_keys=True)}]


OUTPUT = record("Output", field("user", "string"), field("ms", "long"), field("kept", "string"))


def totals(state: str | None) -> Harness:
    """Return totals by user with this schema of the state."""
    return Harness(
        pipeline(Apply(total, ("user",), state)),
        output="listening/out",
        ports=ports(OUTPUT, ("user",), plays=1, outputs=1),
    )


def kept(harness: Harness, user: str = "u1", *tags: str, ms: int = 1) -> Any:
    """Return the state of a user after one more play, as the function was given it."""
    harness.publish("player/plays", play(user, ms=ms, tags=list(tags)))
    harness.run()
    return json.loads(harness.table()[user]["kept"])


def test_a_state_of_an_older_schema_is_read_with_the_new_one() -> None:
    """A new field has its default, a removed one is dropped, and rows that no event touched keep their first schema."""
    harness = totals(schema(MS, field("old", ["null", "string"])))
    assert kept(harness) == {"ms": 1}  # what the function has before it is kept
    kept(harness, "u2", ms=5)
    resume(harness, Apply(total, ("user",), schema(MS, PLAYS_)))
    assert kept(harness) == {"ms": 2, "plays": 1}
    resume(harness, Apply(total, ("user",), schema(MS, PLAYS_ | {"type": "double"}, field("note", ["null", "string"]))))
    assert kept(harness) == {"ms": 3, "plays": 2.0, "note": None}
    assert kept(harness, "u2") == {"ms": 6, "plays": 1.0, "note": None}
    assert not harness.quarantine()


def test_a_name_that_comes_back_is_another_field() -> None:
    """Stored rows are resolved from each schema to the next, so that the third does not read what the second dropped."""
    harness = totals(schema(MS, {"name": "x", "type": "long", "default": 7}))
    kept(harness)
    resume(harness, Apply(total, ("user",), schema(MS)))
    kept(harness, "u2")
    resume(harness, Apply(total, ("user",), schema(MS, {"name": "x", "type": "string", "default": "new"})))
    assert kept(harness) == {"ms": 2, "x": "new"}


def test_a_schema_that_cannot_read_what_is_stored_does_not_start() -> None:
    """An unreadable state is an error that names the field; the stored state is untouched, and the old code continues."""
    harness = totals(schema(MS))
    kept(harness)
    for wrong in (schema(MS, field("plays", "long")), schema(field("ms", "string"))):
        with pytest.raises(ProcessError, match=r"the stored state at (plays|ms) cannot be read"):
            resume(harness, Apply(total, ("user",), wrong))
    resume(harness, Apply(total, ("user",), schema(MS)))
    assert kept(harness) == {"ms": 2}


def test_a_state_that_does_not_fit_is_refused_with_its_event() -> None:
    """A returned state that does not fit the schema is not stored, and its event is quarantined."""
    harness = totals(schema(MS))
    kept(harness)
    for misfit in ('{"ms": "many"}', '{"unknown": 1}'):
        harness.publish("player/plays", play(tags=[misfit]))
    harness.run()
    assert [(dict(each.headers)["mesh_error"] or b"").decode()[:11] for each in harness.quarantine()] == [
        "EncodeError"
    ] * 2
    assert kept(harness) == {"ms": 2}


def test_a_schema_is_declared_later_and_given_up() -> None:
    """A state that was stored without a schema is checked against a new one; without a schema it is opaque again."""
    harness = totals(None)
    kept(harness, "u1", '{"more": 1}')
    kept(harness, "u2")
    resume(harness, Apply(total, ("user",), schema(MS, PLAYS_)))
    assert kept(harness, "u2") == {"ms": 2, "plays": 1}
    harness.publish("player/plays", play("u1"))
    harness.run()
    assert len(harness.quarantine()) == 1
    resume(harness, Apply(total, ("user",)))
    assert kept(harness, "u1") == {"ms": 2, "more": 1}
    assert kept(harness, "u2", '{"more": 2}') == {"ms": 3, "more": 2, "plays": 2}
    resume(harness, Apply(total, ("user",)))
    assert kept(harness, "u2") == {"ms": 4, "more": 2, "plays": 3}


@pytest.mark.parametrize("stored", range(6))
def test_a_kill_in_the_middle_of_a_new_schema_costs_nothing(stored: int) -> None:
    """After a kill at any point of the first batch with a new schema, each play counts once."""
    harness = totals(schema(MS))
    for user in ("u1", "u2"):
        kept(harness, user)
    resume(harness, Apply(total, ("user",), schema(MS, PLAYS_)))
    for user in ("u1", "u2"):
        harness.publish("player/plays", play(user, ms=1))
    with pytest.raises(Crash):
        harness.run(crash_after=stored)
    harness.restart()
    harness.run()
    assert kept(harness, "u1") == {"ms": 3, "plays": 2}
    assert kept(harness, "u2") == {"ms": 3, "plays": 2}


def test_text_that_is_no_schema_is_refused() -> None:
    """A text that is no Avro schema is refused when the operator is made."""
    with pytest.raises(ProcessError, match="the schema of the state"):
        Apply(total, ("user",), '{"type": "unheard-of"}')
