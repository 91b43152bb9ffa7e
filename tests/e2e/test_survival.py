"""What a newcomer's mesh bears: kills in the middle of the work, poison in the middle of a topic, hostile payloads."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from meshport.address import quarantine_name
from meshport.codec.varint import long_varint
from meshport.errors import TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.kafka.received import headers_of
from tests.e2e import flights
from tests.e2e.newcomer import DELAYS, DEPARTURES, Newcomer, headers
from tests.running import lines, meshport
from tests.waiting import wait_for

pytestmark = pytest.mark.kafka

SOURCE = "operations.departures.events.v1"
OUTPUT = "network.delays-by-airport.events.v1"
LAB = "lab.hostile.events.v1"
COPIES = "lab.copies.events.v1"
QUARANTINE = quarantine_name(OUTPUT)


def test_totals_survive_kill_9(newcomer: Newcomer, quarter: Path) -> None:
    """The processor killed -9 with some of the aggregate out and some not, then with it broker and registry: same totals."""
    all_of_it = flights.read(quarter)
    for years, names in (((5, 6), (DELAYS,)), ((7, 8), (DELAYS, "kafka-1", "registry"))):
        newcomer.settle(DELAYS)
        done = newcomer.offsets(OUTPUT)
        os.kill(newcomer.up.pids[DELAYS], signal.SIGSTOP)  # so that all of it waits at once
        newcomer.publish_some([each for year in years for each in flights.later(all_of_it, year)])
        newcomer.up.kill(DELAYS)  # its successor begins with a small batch, and has done all of it a second later
        with Consumer(KafkaConfig(newcomer.up.facts["bootstrap_servers"])) as looking:

            def written(looking: Consumer = looking) -> int:
                return sum(looking.end_offsets(OUTPUT).values())

            wait_for(lambda done=done, written=written: written() > done, lambda: newcomer.up.said)  # type: ignore[misc]  # bound now
            assert written() < done + 2 * flights.COUNT  # it is in the middle
        newcomer.up.kill(*names)
        newcomer.await_stored(DEPARTURES, len(newcomer.published))  # the broker answers, and has lost nothing
    assert newcomer.delays() == newcomer.truth()
    assert newcomer.up.said.count(f"{DELAYS} was killed by SIGKILL; it starts again in") >= 4
    newcomer.up.wait_for_words("broker 1 of 1 runs again")


def test_poison_in_the_middle_is_set_aside(newcomer: Newcomer, quarter: Path) -> None:
    """Poison of every kind between good flights is in the quarantine with its bytes and the reason; all others count."""
    newcomer.settle(DELAYS)
    worker = newcomer.up.pids[DELAYS]
    some = flights.later(flights.read(quarter)[:2000], 9)
    newcomer.publish_some(some[:1000])
    good = newcomer.stored(SOURCE)[-1]
    value, said = good.value() or b"", [(name, text or b"") for name, text in headers_of(good) or ()]
    frame = value[:5]
    poison: dict[str, tuple[bytes | None, list[tuple[str, bytes]]]] = {
        "end within 'destination'": (frame + b"garbage", _but(said, ce_id=b"p1")),
        "followed by 1 more bytes": (value + b"\0", _but(said, ce_id=b"p2")),
        "the attribute specversion is missing": (b"no event at all", []),
        "schema 99999 not found": (b"\0" + (99999).to_bytes(4, "big") + value[5:], _without(said, "ce_dataschema")),
        "event time 2099-01-01T00:00:00+00:00 is more than a day ahead": (
            value,
            _but(said, ce_id=b"p4", ce_time=b"2099-01-01T00:00:00Z"),
        ),
        "the event is a tombstone": (None, _but(said, ce_id=b"p5")),
        "is no JSON": (b"{", [("content-type", b"application/cloudevents+json")]),
    }
    with Producer(KafkaConfig(newcomer.up.facts["bootstrap_servers"])) as producer:
        producer.deliver(Message(SOURCE, good.key(), *each) for each in poison.values())
    newcomer.publish_some(some[1000:])
    assert newcomer.delays() == newcomer.truth()
    aside = newcomer.stored(QUARANTINE)
    assert [each.value() for each in aside] == [value for value, _ in poison.values()]
    reasons = [headers(each)["mesh_reason"] for each in aside]
    assert [name for name, reason in zip(poison, reasons, strict=True) if name not in reason] == [], reasons
    assert {each.key() for each in aside} == {good.key()}
    assert newcomer.up.pids[DELAYS] == worker
    shown = lines(meshport(newcomer.folder, "quarantine", DELAYS, "--json").stdout)
    assert [each["value"] and bytes.fromhex(each["value"]) for each in shown] == [value for value, _ in poison.values()]
    assert [each["reason"] for each in shown] == reasons
    assert {(each["topic"], bytes.fromhex(each["key"])) for each in shown} == {(SOURCE, good.key())}


def _without(said: list[tuple[str, bytes]], name: str) -> list[tuple[str, bytes]]:
    return [each for each in said if each[0] != name]


def _but(said: list[tuple[str, bytes]], **other: bytes) -> list[tuple[str, bytes]]:
    return [(name, other.get(name, text)) for name, text in said]


DESCRIPTOR = """\
address: mesh://lab/hostile
id: 8c7a7f0c-5f0e-4f5f-9a57-6a1a4a1f1d11
archetype: source-aligned
description: A contract with all that bytes can abuse.
owner: lab
outputPorts:
- name: events
"""
CONTRACT = """\
{"type": "record", "name": "lab.Hostile", "fields": [
  {"name": "bomb", "type": {"type": "array", "items": "boolean"}},
  {"name": "chain", "type": {"type": "record", "name": "Node", "fields": [
    {"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]}},
  {"name": "mood", "type": {"type": "enum", "name": "Mood", "symbols": ["CALM", "CROSS"]}}]}
"""
GOOD = {"bomb": [], "chain": {"v": 1, "next": None}, "mood": "CROSS"}
GOOD_BYTES = b"\0" + b"\2\0" + b"\2"
PAYLOADS = {
    "6-byte array bomb": long_varint(10**9) + b"\0",
    "6 kB linked list": b"\0" + b"\2\2" * 3000 + b"\2\0" + b"\2",
    "negative union index": b"\0" + b"\2\1" + b"\2",
    "negative enum index": b"\0" + b"\2\0" + b"\1",
    "trailing bytes": GOOD_BYTES + b"\0",
}
ROUNDS = 20


def test_hostile_payloads_cost_little(newcomer: Newcomer, tmp_path: Path) -> None:
    """Payloads made to take memory, stack or sense are quarantined within 64 MB, and the worker lives on."""
    newcomer.write("producers/lab/hostile/product.yaml", DESCRIPTOR)
    newcomer.write("schemas/lab/hostile.events.avsc", CONTRACT)
    newcomer.type("new", "lab/copies", "--from", "lab/hostile")
    newcomer.type("apply")
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps(GOOD) + "\n")
    newcomer.type("publish", "lab/hostile", "--from", str(good))
    wait_for(lambda: _has(newcomer, COPIES, 1), lambda: newcomer.up.said)
    worker = newcomer.up.pids["lab/copies"]
    (message,) = newcomer.stored(LAB)
    value, said = message.value() or b"", [(name, text or b"") for name, text in headers_of(message) or ()]
    assert value[5:] == GOOD_BYTES
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # its peak begins anew
    before = _peak_mb(worker)
    with Producer(KafkaConfig(newcomer.up.facts["bootstrap_servers"])) as producer:
        for number, payload in enumerate(PAYLOADS.values(), 1):
            hostile = (value[:5] + payload, _but(said, ce_id=b"x"))
            producer.deliver([Message(LAB, None, *hostile)] * ROUNDS)
            wait_for(partial(_has, newcomer, quarantine_name(COPIES), number * ROUNDS), lambda: newcomer.up.said)
        producer.deliver([Message(LAB, None, value, _but(said, ce_id=b"y"))])
    wait_for(lambda: _has(newcomer, COPIES, 2), lambda: newcomer.up.said)
    assert newcomer.up.pids["lab/copies"] == worker
    assert _peak_mb(worker) - before < 64
    aside = newcomer.stored(quarantine_name(COPIES))
    for name, payload in PAYLOADS.items():
        refused = [each for each in aside if each.value() == value[:5] + payload]
        assert len(refused) == ROUNDS, name


def _has(newcomer: Newcomer, topic: str, count: int) -> bool:
    try:
        return newcomer.count(topic) == count
    except TopicError:
        return False  # its processor has not begun


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
