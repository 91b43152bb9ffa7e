"""Planning and applying a project on a real cluster and registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.errors import NotRegistered, RegistrationRefused, TopicError
from meshport.ports.publisher import Publisher
from meshport.project.project import Project
from meshport.registry import Registry
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.project.declared import FIELDS, Declared
from tests.remade import remake, topic_id
from tests.waiting import wait_for


@pytest.fixture
def declared(tmp_path: Path, mesh: Mesh) -> Declared:
    """An empty project over the session's mesh."""
    return Declared(tmp_path, mesh)


def test_a_plan_does_nothing(declared: Declared) -> None:
    """A plan names the topic, its partitions and settings, and leaves cluster and registry as they are."""
    declared.write(port="    retention: 7d\n")
    said = declared.plan()
    assert (
        f"make topic {declared.topic()} (2 partitions, 1 replica, cleanup.policy=delete, retention.ms=604800000)"
        in said
    )
    assert declared.admin.topic(declared.topic()) is None
    with pytest.raises(NotRegistered):
        declared.registry.resolve(f"{declared.domain}/source")
    assert declared.plan() == said


def test_what_was_planned_is_done_once(declared: Declared) -> None:
    """Applying makes topics as declared and registers products; a second time changes nothing."""
    declared.write(port="    cleanup: compact\n")
    declared.write("derived", reads=f"{declared.domain}/source")
    assert declared.apply() == 2
    made = declared.admin.topic(declared.topic())
    assert made is not None
    assert (made.partitions, made.config["cleanup.policy"], made.config["retention.ms"]) == (2, "compact", "-1")
    assert declared.registry.resolve(f"{declared.domain}/derived").topic == declared.topic("derived")
    assert declared.plan() == []
    assert declared.apply() == 0


def test_a_topic_that_was_made_again_is_bound_after_the_plan_has_said_so(declared: Declared) -> None:
    """The plan names both ids, and that readers begin anew; a missing topic is made, and the new one is bound."""
    declared.write()
    declared.apply()
    topic, address = declared.topic(), f"{declared.domain}/source"
    before, after = remake(declared.admin.kafka, topic)
    assert declared.registry.resolve(address).topic_id == before
    anew = "bind the present one, in which all of its readers begin anew"
    assert declared.plan() == [f"topic {topic} ({before}) was deleted and made again (now {after}): {anew}"]
    assert declared.apply() == 1
    assert declared.registry.resolve(address).topic_id == after
    assert declared.plan() == []
    declared.admin.delete_topic(topic)
    wait_for(lambda: declared.admin.topic(topic) is None, f"{topic} to be deleted")
    assert f"topic {topic} ({after}) is not there: {anew}" in declared.plan()
    assert declared.apply() == 1
    assert declared.registry.resolve(address).topic_id == topic_id(declared.admin.kafka, topic)
    assert declared.plan() == []


def test_a_product_of_an_earlier_version_gets_its_topic_id(declared: Declared) -> None:
    """A binding that names no id yet is as it was; applying the product records the id, once."""
    declared.write()
    topic = declared.topic()
    declared.admin.ensure_topic(topic, 2, {"cleanup.policy": "delete", "retention.ms": "-1"})
    (product,) = Project(declared.root).products
    declared.registry.register(product.product, {"events@1": product.schemas["events", 1]})
    assert declared.registry.resolve(f"{declared.domain}/source").topic_id is None
    id = topic_id(declared.admin.kafka, topic)
    assert declared.plan()[0] == f"record the id of topic {topic} ({id})"
    declared.apply()
    assert declared.registry.resolve(f"{declared.domain}/source").topic_id == id
    assert declared.plan() == []


def test_settings_that_drifted_are_set_again(declared: Declared) -> None:
    """A setting that differs from its declaration is in the plan and is set; settings that are not declared stay."""
    declared.write(port="    retention: 7d\n")
    declared.apply()
    declared.admin.set_config(declared.topic(), {"retention.ms": "1000", "max.message.bytes": "2000000"})
    assert declared.plan() == [f"change topic {declared.topic()}: retention.ms 1000 -> 604800000"]
    declared.apply()
    found = declared.admin.topic(declared.topic())
    assert found is not None
    assert (found.config["retention.ms"], found.config["max.message.bytes"]) == ("604800000", "2000000")
    declared.write(port="    retention: 8d\n")
    assert f"change topic {declared.topic()}: retention.ms 604800000 -> 691200000" in declared.plan()


def test_a_repartition_topic_of_an_earlier_version_keeps_its_records_from_now_on(declared: Declared) -> None:
    """A plan names the retention that an earlier version gave it; once it is applied, time and size remove nothing."""
    declared.write()
    declared.write("derived", reads=f"{declared.domain}/source", port="process:\n  steps: [{filter: \"id != ''\"}]\n")
    declared.apply()
    name = f"{declared.topic('derived')}.rekey"
    assert declared.plan() == []  # a processor that has not run, or that re-keys nothing, has no such topic
    earlier = {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": "16777216"}
    declared.admin.ensure_topic(name, 2, earlier)
    (change,) = declared.plan()
    assert change.startswith(f"change topic {name}: retention.bytes -1 (the cluster's default) -> -1, ")
    assert "retention.ms 604800000 -> -1" in change
    assert declared.apply() == 1
    found = declared.admin.topic(name)
    assert found is not None
    assert (found.config["retention.ms"], found.config["retention.bytes"]) == ("-1", "-1")
    assert declared.plan() == []


def test_another_number_of_partitions_is_refused(declared: Declared) -> None:
    """Partitions never change under one generation: the refusal names both numbers, and nothing is done."""
    declared.write()
    declared.apply()
    declared.admin.ensure_topic(f"{declared.domain}.derived.events.v1", 3)
    declared.write("derived", reads=f"{declared.domain}/source")
    with pytest.raises(TopicError, match=r"has 3 partitions, .*derived/product\.yaml:10 declares 2") as refused:
        declared.apply()
    assert "keys would move" in str(refused.value.hint)
    with pytest.raises(NotRegistered):
        declared.registry.resolve(f"{declared.domain}/derived")


def test_an_incompatible_contract_is_refused_with_its_reasons(declared: Declared) -> None:
    """A change that would break readers is refused with its findings in the plan already; nothing is made."""
    declared.write()
    declared.apply()
    before = declared.registry.resolve(f"{declared.domain}/source")
    with Publisher(
        before.address, declared.registry, kafka=CONNECTIONS
    ) as publisher:  # what was never published may change at will
        publisher.publish(dict.fromkeys([each["name"] for each in FIELDS], "a"))
    declared.write(fields=[{"name": "id", "type": "long"}])
    declared.write("derived", reads=f"{declared.domain}/source")
    with pytest.raises(RegistrationRefused) as refused:
        declared.apply()
    assert "TYPE_MISMATCH at id" in {each.partition(":")[0] for each in refused.value.findings}
    assert any("[backward, forward]" in each for each in refused.value.findings)
    assert all(each in str(refused.value) for each in refused.value.findings)
    with Registry(declared.registry.url) as fresh:
        assert fresh.resolve(f"{declared.domain}/source") == before
    assert declared.admin.topic(declared.topic("derived")) is None


def test_a_compatible_contract_is_a_new_version(declared: Declared) -> None:
    """A field with a default is taken; the topic stays and the binding has the new schema."""
    declared.write()
    declared.apply()
    before = declared.registry.resolve(f"{declared.domain}/source")
    declared.write(fields=[*FIELDS, {"name": "note", "type": "string", "default": ""}])
    assert declared.apply() == 1
    after = declared.registry.resolve(f"{declared.domain}/source")
    assert (after.topic, after.subject) == (before.topic, before.subject)
    assert after.schema_id != before.schema_id


def test_an_input_that_nobody_has_is_refused_before_anything_is_made(declared: Declared) -> None:
    """A product whose input neither the registry nor the project has is refused in the plan; its topic is not made."""
    declared.write("derived", reads=f"{declared.domain}/nowhere")
    with pytest.raises(RegistrationRefused, match=f"{declared.domain}/nowhere"):
        declared.apply()
    assert declared.admin.topic(declared.topic("derived")) is None


def test_nothing_is_deleted(declared: Declared) -> None:
    """A product that is gone from the project keeps its topic and its registration."""
    declared.write()
    declared.apply()
    (declared.root / "producers" / declared.domain / "source" / "product.yaml").unlink()
    assert declared.apply() == 0
    assert declared.admin.topic(declared.topic()) is not None
    assert declared.registry.resolve(f"{declared.domain}/source").topic == declared.topic()
