"""The end of a product's life by commands: deprecate, retire, drop; and what it reads and is, by lineage and schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.address import topic_name
from meshport.binding import Binding
from meshport.kafka.admin import Admin
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka
EVENT = {"sensor": "a", "at": 0, "celsius": 1.0}


def key(binding: Binding) -> str:
    """Return the address of a port's product as it is typed."""
    return binding.address.of_product.key


def publish(mesh: Mesh, binding: Binding) -> None:
    """Publish one event."""
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(EVENT)


def test_an_unused_product_is_dropped_with_its_topics(on_mesh: Run, mesh: Mesh) -> None:
    """After a question, the registry forgets the product and its topics are gone; then it may come again, also otherwise."""
    port = mesh.product()
    refused = on_mesh("drop", key(port), stdin=b"n\n")
    assert refused.code == 1
    assert f"{port.topic} is empty" in refused.err
    assert "nothing was done" in refused.err
    assert on_mesh("resolve", key(port)).code == 0
    ended = on_mesh("drop", key(port), "--yes", "--json")
    assert (ended.code, ended.lines) == (
        0,
        [{"address": f"mesh://{key(port)}", "dropped": True, "topics": [port.topic], "acls": []}],
    )
    gone = on_mesh("resolve", key(port))
    assert gone.code == 1
    assert "is not registered" in gone.err
    assert Admin(mesh.kafka).topic(port.topic) is None
    again = mesh.apply_again(port.address)
    assert (again.topic, again.generation) == (port.topic, 1)
    assert again.topic_id != port.topic_id


def test_a_product_that_is_used_is_not_dropped(on_mesh: Run, mesh: Mesh) -> None:
    """Events, or a group that reads, hinder; once the product is retired, its topics may be deleted with all events."""
    port = mesh.product()
    publish(mesh, port)
    ended = on_mesh("drop", key(port), "--yes")
    assert ended.code == 1
    assert f"{port.topic} holds 1 record" in ended.err
    assert f"meshport retire {key(port)}" in ended.err
    assert on_mesh("retire", key(port), "--yes").code == 0
    dropped = on_mesh("drop", key(port), stdin=b"y\n")
    assert dropped.code == 0, dropped.err
    assert "delete 1 topic with all their records" in dropped.err
    assert Admin(mesh.kafka).topic(port.topic) is None


def test_a_group_that_has_committed_nothing_yet_uses_a_product(on_mesh: Run, mesh: Mesh) -> None:
    """A member that is assigned to the topic counts before its first commit."""
    port = mesh.product()
    group = f"waits-{uuid4().hex[:8]}"
    with Subscriber(port.address, mesh.registry, group=group, kafka=CONNECTIONS) as subscriber:
        publish(mesh, port)
        next(iter(subscriber))
        ended = on_mesh("drop", key(port), "--yes")
    assert ended.code == 1
    assert "is read by waits-" in ended.err


def test_a_product_that_is_read_is_neither_retired_nor_dropped(on_mesh: Run, mesh: Mesh) -> None:
    """Both commands name the readers; lineage shows them, and `retire --force` leaves one behind."""
    source = mesh.product()
    assert on_mesh("init").code == 0
    name = f"tests/derived-{uuid4().hex[:8]}"
    made = on_mesh("new", name, "--from", key(source), "--where", "celsius > 0")
    assert made.code == 0, made.err
    applied = on_mesh("apply", MESHPORT_KAFKA=mesh.bootstrap_servers)
    assert applied.code == 0, applied.err
    for command in ("retire", "drop"):
        ended = on_mesh(command, key(source), "--yes")
        assert ended.code == 1
        assert name in ended.err
    rows = on_mesh("lineage", key(source)).out.splitlines()
    assert re.split(r" {2,}", rows[0]) == ["step", "address", "archetype", "status", "owner", "reads"]
    assert re.match(rf"\+1 +{name} ", rows[2])
    assert f"{key(source)} (" in rows[2]
    (facts,) = on_mesh("lineage", key(source), "--json").lines
    assert [each["distance"] for each in facts["nodes"]] == [0, 1]
    forced = on_mesh("retire", key(source), "--yes", "--force", name, "--json")
    assert (forced.code, forced.lines[0]["status"]) == (0, "retired")
    assert on_mesh("drop", name, "--yes").code == 0
    assert not [each for each in Admin(mesh.kafka).partitions() if name.replace("/", ".") in each]


def test_a_deprecation_names_the_day_the_successor_and_the_readers(on_mesh: Run, mesh: Mesh) -> None:
    """The registry keeps both; a port or a wrong day is wrong usage."""
    old, new = mesh.product(), mesh.product()
    ended = on_mesh("deprecate", key(old), "--on", "2999-06-30", "--successor", key(new))
    assert ended.code == 0
    assert ended.err.splitlines() == [
        f"{key(old)} is deprecated: its readers should have left by 2999-06-30",
        f"they move to {key(new)}",
    ]
    (facts,) = on_mesh("deprecate", key(old), "--on", "2999-07-31", "--json").lines
    assert facts == {
        "address": f"mesh://{key(old)}",
        "status": "deprecated",
        "deprecatedOn": "2999-07-31",
        "successor": f"mesh://{key(new)}",
    }
    for arguments, told in (
        ([f"{key(old)}/events", "--on", "2999-06-30"], "name the product"),
        ([key(old), "--on", "soon"], "does not match"),
        ([key(old)], "give the day"),
        ([key(old), "--undo", "--on", "2999-06-30"], "takes no day and no successor"),
    ):
        wrong = on_mesh("deprecate", *arguments)
        assert wrong.code == 2
        assert told in wrong.err.replace("\n", " ")


def test_a_deprecation_is_undone(on_mesh: Run, mesh: Mesh) -> None:
    """`--undo` makes the product active again, without a day and a successor; what is not deprecated is refused."""
    old, new = mesh.product(), mesh.product()
    assert on_mesh("deprecate", key(old), "--on", "2999-06-30", "--successor", key(new)).code == 0
    undone = on_mesh("deprecate", key(old), "--undo")
    assert undone.code == 0
    assert undone.err.startswith(f"{key(old)} is active again, without a day and a successor\n")
    again = on_mesh("deprecate", key(old), "--undo")
    assert again.code == 1
    assert "is not deprecated" in again.err
    assert on_mesh("deprecate", key(old), "--on", "2999-06-30").code == 0
    (facts,) = on_mesh("deprecate", key(old), "--undo", "--json").lines
    assert facts == {"address": f"mesh://{key(old)}", "status": "active", "deprecatedOn": None, "successor": None}
    assert on_mesh("retire", key(old), "--yes").code == 0
    retired = on_mesh("deprecate", key(old), "--undo")
    assert (retired.code, "a retired address stays so" in retired.err) == (1, True)


def test_one_line_is_retired_and_its_entry_may_go(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> None:
    """What PORT_REMOVED advises: retire the line, then remove it, and the gate passes."""
    name = f"tests/lines-{uuid4().hex[:8]}"
    apply = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    assert on_mesh("init").code == 0
    assert on_mesh("new", name).code == 0
    assert on_mesh("apply", **apply).code == 0
    assert on_mesh("new", name, "--major").code == 0
    applied = on_mesh("apply", **apply)
    assert applied.code == 0, applied.err
    file = tmp_path / "producers" / name / "product.yaml"
    text = file.read_text()
    second = text.index("- name: events\n", text.index("- name: events\n") + 1)
    first = text.index("- name: events\n")
    file.write_text(text[:first] + text[second:])
    refused = on_mesh("gate", "check")
    assert refused.code == 1
    advised = re.sub(r"\s+", " ", refused.out)
    assert f"`meshport retire {name}/events@1`" in advised
    assert on_mesh("retire", f"{name}/events@1", "--yes").code == 0
    assert on_mesh("gate", "check").code == 0


def test_the_contract_is_printed_as_a_file(on_mesh: Run, mesh: Mesh) -> None:
    """`schema` prints the Avro form, which other tools read; --json has its id and fingerprint beside it."""
    port = mesh.product()
    form = json.loads(on_mesh("schema", key(port)).out)
    (facts,) = on_mesh("schema", str(port.address), "--json").lines
    assert form == facts["schema"] == json.loads(port.schema_text)
    assert (facts["schemaId"], facts["fingerprint"]) == (port.schema_id, port.fingerprint)


def test_a_contract_without_events_and_readers_changes_at_will(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> None:
    """The key, the time and a type change before the first event: the gate says why it passes, and `apply` does it.

    After the first event the same kind of change is refused.
    """
    name = f"tests/early-{uuid4().hex[:8]}"
    apply = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    assert on_mesh("init").code == 0
    assert on_mesh("new", name, "--key", "id").code == 0
    assert on_mesh("apply", **apply).code == 0
    file = tmp_path / "producers" / name / "product.yaml"
    schema = next((tmp_path / "schemas").rglob("*.avsc"))
    form = json.loads(schema.read_text())
    form["fields"][0] = {"name": "number", "type": "long"}
    schema.write_text(json.dumps(form))
    file.write_text(file.read_text().replace("key: id", "key: number"))
    checked = on_mesh("gate", "check")
    assert checked.code == 0, checked.out
    assert "the port has no event and no reader" in checked.out
    applied = on_mesh("apply", **apply)
    assert applied.code == 0, applied.err
    assert "the port has no event and no reader" in applied.err
    binding = mesh.registry.refresh(f"mesh://{name}")
    assert (binding.key, binding.topic) == (("number",), topic_name(binding.address))
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish({"number": 1, "happened_at": 0})
    form["fields"][0]["type"] = "string"
    schema.write_text(json.dumps(form))
    assert on_mesh("gate", "check").code == 1
    refused = on_mesh("apply", **apply)
    assert refused.code == 1
    assert "would not be what was promised" in refused.err
