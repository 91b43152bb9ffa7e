"""Generations: one holder builds one at a time, and that holder alone can bind the address to it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from meshport.errors import NotRegistered, RegistrationRefused
from meshport.generations import GenerationState, Phase, Switch
from meshport.registry import Registry
from meshport.registry.generations import PortGenerations
from tests.registry.schemas import plays, waiver_of_track

ADDRESS = "player/plays/events@1"
ENDS = dict.fromkeys(range(4), 10)
BEGINS = dict.fromkeys(range(4), 7)


@pytest.fixture
def line(registry: Registry) -> PortGenerations:
    """Return the client of a registered port's generations."""
    registry.register(*plays())
    return registry.generations("player/plays")


def switch(line: PortGenerations, number: int, holder: str = "me") -> Switch:
    """Hold a generation for the handover, and return the body of the switch."""
    line.hold(number, holder=holder, seconds=30, phase=Phase.HANDOVER)
    return Switch(holder=holder, ends=ENDS, begins=BEGINS)


def states(line: PortGenerations) -> dict[int, str]:
    """Return the state of each generation."""
    return {each.number: each.state for each in line.list().generations}


def test_a_generation_may_have_another_number_of_partitions(registry: Registry, line: PortGenerations) -> None:
    """A switch binds as many partitions as the new generation has; the product then has to declare that number."""
    line.open(holder="me", seconds=30, made_by="logic 1")
    begins = dict.fromkeys(range(6), 7)
    ends = dict.fromkeys(range(5), 10)  # a partition was added to the old topic by hand
    after = line.switch(2, switch(line, 2).model_copy(update={"begins": begins, "ends": ends}))
    assert after.partitions == registry.resolve(ADDRESS).partitions == 6
    assert (after.continues[0].begins, after.continues[0].ends) == (begins, ends)
    with pytest.raises(RegistrationRefused, match="PARTITIONS"):
        registry.register(*plays())
    product, schemas = plays()
    grown = [each.model_copy(update={"partitions": 6}) for each in product.output_ports]
    registry.register(product.model_copy(update={"output_ports": tuple(grown)}), schemas)
    assert registry.resolve(ADDRESS) == after


def test_a_switch_binds_the_id_of_the_new_topic(registry: Registry, line: PortGenerations) -> None:
    """A binding never keeps the id of the topic of another generation."""
    registry.register(*plays(), topic_ids={"player.plays.events.v1": "A" * 22})
    line.open(holder="me", seconds=30, made_by="logic")
    assert line.switch(2, switch(line, 2).model_copy(update={"topic_id": "B" * 22})).topic_id == "B" * 22
    registry.register(*plays(), topic_ids={"player.plays.events.v1": "C" * 22})
    assert registry.resolve(ADDRESS).topic_id == "B" * 22
    line.open(holder="me", seconds=30, made_by="logic")
    assert line.switch(3, switch(line, 3)).topic_id is None


def test_partitions_are_added_by_a_rebuild_only(registry: Registry, line: PortGenerations) -> None:
    """A product that declares more partitions than the bound generation has is refused, and the refusal says what to do."""
    product, schemas = plays()
    grown = [each.model_copy(update={"partitions": 6}) for each in product.output_ports]
    edited = product.model_copy(update={"output_ports": tuple(grown)})
    with pytest.raises(RegistrationRefused, match="PARTITIONS_ADDED"):
        registry.register(edited, schemas)
    registry.waivers.record(
        waiver_of_track(rule="PARTITIONS_ADDED", path="partitions")
    )  # for the gate's comparison with git
    with pytest.raises(RegistrationRefused, match="rebuild player/plays --partitions 6"):
        registry.register(edited, schemas)
    assert registry.resolve(line.line).partitions == 4


def test_an_address_is_bound_to_the_generation_that_was_built(registry: Registry, line: PortGenerations) -> None:
    """A switch changes topic and generation but not the contract, and the binding has the offsets of every earlier generation."""
    before = registry.resolve(ADDRESS)
    assert (before.generation, before.continues) == (1, ())
    made = line.open(holder="me", seconds=30, made_by="logic 1")
    assert made.building is not None
    assert (made.building.number, made.building.topic, made.live.topic) == (2, f"{before.topic}.g2", before.topic)
    assert registry.resolve(ADDRESS) == before
    after = line.switch(2, switch(line, 2))
    assert after == registry.resolve(ADDRESS) == registry.resolve("player/plays")
    changed = {"topic": f"{before.topic}.g2", "generation": 2, "continues": after.continues}
    assert after == before.model_copy(update=changed)
    (first,) = after.continues
    assert (first.generation, first.topic, first.ends, first.begins) == (1, before.topic, ENDS, BEGINS)
    line.open(holder="me", seconds=30, made_by="logic 1")
    assert [each.generation for each in line.switch(3, switch(line, 3)).continues] == [1, 2]
    assert states(line) == {1: "replaced", 2: "replaced", 3: "live"}
    registry.register(*plays(description="said anew"))
    assert registry.resolve(ADDRESS).topic == f"{before.topic}.g3"


def test_one_generation_is_built_at_a_time(line: PortGenerations) -> None:
    """Of builders that begin at once one succeeds; the others learn its name and when its hold ends, and can continue then."""
    gate = threading.Barrier(8)

    def begin(number: int) -> str:
        gate.wait()
        try:
            line.open(holder=f"h{number}", seconds=1, made_by="logic")
        except RegistrationRefused as error:
            return error.message
        return "begun"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(begin, range(8)))
    assert outcomes.count("begun") == 1
    assert sum("generation 2 of mesh://player/plays/events@1 is being built by h" in each for each in outcomes) == 7
    assert states(line) == {1: "live", 2: "building"}
    while line.list().hold is not None:
        time.sleep(0.05)
    line.open(holder="later", seconds=30, made_by="logic")
    assert states(line) == {1: "live", 2: "building"}
    line.release(2, holder="another")
    assert line.list().hold is not None
    line.release(2, holder="later")
    assert line.list().hold is None


def test_other_logic_begins_a_new_generation(line: PortGenerations) -> None:
    """A generation that other logic began is abandoned, and its number is not reused."""
    line.open(holder="me", seconds=30, made_by="logic 1")
    line.open(holder="me", seconds=30, made_by="logic 2")
    assert states(line) == {1: "live", 2: "abandoned", 3: "building"}
    line.abandon(3, holder="me")
    with pytest.raises(RegistrationRefused, match="is abandoned, it is not being built"):
        line.abandon(3, holder="me")
    line.open(holder="me", seconds=30, made_by="logic 2")
    assert states(line)[4] == GenerationState.BUILDING


def test_only_the_holder_of_a_handover_binds(registry: Registry, line: PortGenerations) -> None:
    """A switch without a hold, with an expired one, before the handover or without a partition is refused."""
    line.open(holder="me", seconds=30, made_by="logic")
    wanted = Switch(holder="me", ends=ENDS, begins=BEGINS)
    with pytest.raises(RegistrationRefused, match="its processors still run"):
        line.switch(2, wanted)
    assert not line.list().is_handed_over
    line.hold(2, holder="me", seconds=0.3, phase=Phase.HANDOVER)
    assert line.list().is_handed_over
    with pytest.raises(RegistrationRefused, match="is not held by another"):
        line.switch(2, wanted.model_copy(update={"holder": "another"}))
    with pytest.raises(RegistrationRefused, match="each of the 4 partitions"):
        line.switch(2, wanted.model_copy(update={"begins": {1: 0}}))
    while line.list().is_handed_over:
        time.sleep(0.05)
    with pytest.raises(RegistrationRefused, match="is not held by me any more"):
        line.switch(2, wanted)
    with pytest.raises(RegistrationRefused, match="is not held by me any more"):
        line.hold(2, holder="me", seconds=30, phase=Phase.HANDOVER)
    assert registry.resolve(ADDRESS).generation == 1
    line.open(holder="me", seconds=30, made_by="logic")
    bound = line.switch(2, switch(line, 2))
    assert line.switch(2, wanted) == bound, "asked again after the answer was lost"


def test_an_old_generation_can_be_retired(registry: Registry, line: PortGenerations) -> None:
    """No binding names a retired generation, nor those before it; the bound one and one being built cannot be retired."""
    for number in (2, 3):
        line.open(holder="me", seconds=30, made_by="logic")
        line.switch(number, switch(line, number))
    line.open(holder="me", seconds=30, made_by="logic")
    for number, finding in ((3, "is bound to"), (4, "is being built")):
        with pytest.raises(RegistrationRefused, match=finding):
            line.retire(number)
    with pytest.raises(NotRegistered, match="no rebuilt generation 7"):
        line.retire(7)
    line.retire(2)
    assert registry.resolve(ADDRESS).continues == ()
    assert line.retire(2).generations[1].state is GenerationState.RETIRED


def test_an_unregistered_port_has_no_generations(registry: Registry, http: httpx2.Client) -> None:
    """A port that is not registered has no generations."""
    with pytest.raises(NotRegistered):
        registry.generations("player/nothing")
    assert http.get("/api/v1/generations/player/nothing/events").status_code == 404
