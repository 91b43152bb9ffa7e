"""Prices of things: facts that come late, repeated and corrected, and what a recount by hand finds of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.event import EventWriter
from meshport.kafka.producer import Message, Producer
from meshport.schema import Schema
from tests.mesh_session import Mesh

BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
PRICE: Final = {
    "type": "record",
    "name": "tests.Price",
    "fields": [
        {"name": "thing", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "cents", "type": "long"},
    ],
}


@dataclass(frozen=True)
class Fact:
    """A price of a thing from a time on; without cents it is taken back."""

    id: str
    thing: str
    at: datetime
    recorded: datetime
    cents: int | None


def facts(count: int, seed: int) -> list[Fact]:
    """Return facts in the order in which they were recorded: a third is late, a tenth each is repeated, corrected, taken back."""
    chance = random.Random(seed)
    found: list[Fact] = []
    for number in range(count):
        recorded = BEGIN + timedelta(minutes=number)
        kind = chance.random()
        if found and kind < 0.1:
            found.append(replace(chance.choice(found), recorded=recorded))
            continue
        at = recorded - (timedelta(minutes=chance.randrange(600)) if chance.random() < 1 / 3 else timedelta(seconds=1))
        one = Fact(f"f{number}", f"t{chance.randrange(12)}", at, recorded, chance.randrange(10_000))
        if found and kind < 0.2:
            wrong = chance.choice(found)
            one = replace(one, thing=wrong.thing, at=wrong.at)
        elif kind < 0.3:
            one = replace(one, cents=None)
        found.append(one)
    return found


def store(mesh: Mesh, binding: Binding, given: Iterable[Fact]) -> None:
    """Store facts in partition 0, as a publisher does, with the times that they have."""
    codec = codec_for(Schema(binding.schema_text))
    writer = EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=binding.schema_id)
    messages = []
    for each in given:
        times: Any = {"id": each.id, "time": each.at, "recorded_time": each.recorded}
        data = {"thing": each.thing, "at": each.at, "cents": each.cents}
        value, headers = writer.tombstone(**times) if each.cents is None else writer.message(data, **times)
        messages.append(Message(binding.topic, each.thing.encode(), value, headers, None, 0))
    with Producer(mesh.kafka) as producer:
        producer.deliver(messages)


def recount(given: Sequence[Fact], as_of: datetime, known_at: datetime) -> tuple[dict[str, int], int, int]:
    """The price of each thing, and count and sum of the events, by going through all facts."""
    prices: dict[str, tuple[datetime, datetime, int, int | None]] = {}
    first: dict[str, Fact] = {}
    for position, each in enumerate(given):
        if each.at > as_of or each.recorded > known_at:
            continue
        if each.cents is not None:
            first.setdefault(each.id, each)
        order = (each.at, each.recorded, position)
        if each.thing not in prices or prices[each.thing][:3] < order:
            prices[each.thing] = (*order, each.cents)
    now = {thing: found[3] for thing, found in prices.items() if found[3] is not None}
    return now, len(first), sum(each.cents or 0 for each in first.values())


def answer(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The price of each thing, of an answer."""
    return {each["thing"]: each["cents"] for each in rows}
