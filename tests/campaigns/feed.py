"""What a campaign publishes: plays out of order, late ones, doubles, events that no function takes, and plain garbage.

Some plays are put where librdkafka's default partitioner puts their key, as by a foreign producer.
"""

from __future__ import annotations

import random
from collections import deque
from zlib import crc32

from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.event import EventWriter
from meshport.kafka.producer import Message
from meshport.process.engines.memory_ports import PortRegistry
from tests.campaigns.logic import COLUMNS, PARTITIONS, UNLUCKY
from tests.process.plays import play

USERS = 40
ARTISTS = 7
_REMEMBERED = 300


class Feed:
    """An endless world of plays, twenty to a minute; the same for a seed.

    Args:
        source: the input port.
        ports: its schema.
        seed: of the dice.
        plan: a name of `KEYS`; one that remembers no ids and calls no function is given no doubles and nothing unlucky.
    """

    def __init__(self, source: Binding, ports: PortRegistry, seed: int, plan: str = "windows") -> None:
        self._plain = plan == COLUMNS
        self._writer = EventWriter(
            source=str(source.address),
            type=source.type,
            codec=codec_for(ports.by_id(source.schema_id)),
            schema_id=source.schema_id,
        )
        self._topic = source.topic
        self._dice = random.Random(seed)
        self._recent: deque[Message] = deque(maxlen=_REMEMBERED)
        self._number = 0

    def burst(self, count: int) -> list[Message]:
        """The next messages, about `count` of them."""
        made: list[Message] = []
        for _ in range(count):
            made += self._next()
        return made

    def _next(self) -> list[Message]:
        dice = self._dice
        chance = dice.random()
        if chance < 0.02:
            self._number += 1
            garbage = b"poison %d" % self._number
            return [Message(self._topic, b"u%d" % dice.randrange(USERS), garbage, [("a", b"1")])]
        if self._plain:
            return [self._play()]
        if chance < 0.05 and self._recent:
            return [dice.choice(self._recent)]
        message = self._play()
        self._recent.append(message)
        return [message] * (2 if chance < 0.1 else 1)

    def _play(self) -> Message:
        dice = self._dice
        self._number += 1
        behind = dice.expovariate(0.05) if dice.random() < 0.3 else 0.0
        data = play(
            f"u{dice.randrange(USERS)}",
            f"a{dice.randrange(ARTISTS)}",
            self._number / 20 - behind,
            self._number,
            tags=[UNLUCKY] if dice.random() < 0.02 and not self._plain else [],
        )
        value, headers = self._writer.message(data, id=f"p{self._number}", time=data["at"])
        key = data["user"].encode()
        foreign = crc32(key) % PARTITIONS if dice.random() < 0.02 else None
        return Message(self._topic, key, value, headers, None, foreign)
