"""Says on stderr that a broker does not acknowledge what is published, while the publisher goes on trying."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from meshport.cli.output import say
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.publisher import Publisher

AFTER_S: Final = 5.0
"""A broker is called silent when it has acknowledged nothing for so many seconds, though events wait."""


@contextmanager
def silence_reported(
    publisher: Publisher, queued: Callable[[], int], *, after_s: float = AFTER_S, kafka: KafkaAccess = PLAINTEXT
) -> Iterator[None]:
    """Report once that the broker is silent, and once that it answers again, while the block runs.

    Args:
        publisher: what events are published with.
        queued: returns how many events were given to it.
        after_s: the silence that is reported.
        kafka: the connections to Kafka that the publisher was given.
    """
    ended = threading.Event()

    def watch() -> None:
        acknowledged, since, told = -1, time.monotonic(), False
        while not ended.wait(min(1.0, after_s)):
            given = queued()
            waiting = min(publisher.waiting, given)  # the client counts errors of its connections besides
            before, acknowledged = acknowledged, given - waiting
            if waiting == 0 or acknowledged > before:
                since = time.monotonic()
                if told:
                    say("the broker answers again")
                told = False
            elif not told and time.monotonic() - since >= after_s:
                told = True
                servers = kafka.to(publisher.binding).bootstrap_servers
                say(
                    f"the Kafka of {publisher.binding.address} ({servers}) has not answered for {after_s:g} s: {waiting} "
                    f"of {given} events wait, each for five minutes at most; Ctrl-C gives them up"
                )

    watcher = threading.Thread(target=watch, name="meshport-silence", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
