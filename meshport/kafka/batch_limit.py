"""Why a broker has refused a message as too large: the message itself, or the batch that it was sent in.

A broker compares a whole batch with `max.message.bytes` of the topic, and refuses all of its messages with one error. Java's
producer then splits the batch (KIP-126); librdkafka does not. The messages are not sent again: newer ones of the same
key may be stored by then.
"""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from meshport.errors import MeshError, PublishError
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig

_SETTING: Final = "max.message.bytes"
_WAIT_S: Final = 3.0
# The setting may be changed while a producer runs; it is asked for again after so many seconds.
_KEPT_S: Final = 30.0
# Bytes of headers and framing, about. A failed delivery report has no headers.
_BESIDES: Final = 1024


class BatchLimits:
    """The largest batches that the topics of a cluster take, asked for once a broker has refused one.

    Args:
        kafka: the connection to the cluster.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._known: dict[str, tuple[float, int | None]] = {}

    def refusal(self, topic: str, size: int, refused: str) -> PublishError:
        """Return the error for a message that a broker has refused as too large.

        Args:
            topic: of the message.
            size: the bytes of its key and value.
            refused: what the client says.
        """
        limit = self._limit(topic)
        text = f"{refused}; the event has {size} bytes of key and value"
        if limit is None:
            return PublishError(
                f"{text}, and the batch that it was sent in is larger than the topic's {_SETTING}",
                hint=f"a larger {_SETTING}; or a smaller `batch.size` of the client, if the event alone fits",
            )
        text = f"{text}, and the topic takes {limit} ({_SETTING})"
        if size > limit:
            return PublishError(text, hint=f"a smaller event, or a larger {_SETTING} of {topic}")
        if size + _BESIDES > limit:
            return PublishError(
                f"{text} with headers, and with the other events of a batch",
                hint=f"a smaller event, or a larger {_SETTING} of {topic}",
            )
        return PublishError(
            f"{text}: it was refused only with the batch that it was sent in",
            hint=f"publish it again; batches fit with `batch.size` {limit} of the client, or a larger {_SETTING} of {topic}",
        )

    def _limit(self, topic: str) -> int | None:
        asked_at, limit = self._known.get(topic, (0.0, None))
        if topic not in self._known or time.monotonic() - asked_at > _KEPT_S:
            limit = self._asked(topic)
            self._known[topic] = time.monotonic(), limit
        return limit

    def _asked(self, topic: str) -> int | None:
        """Return the topic's setting, or the broker's; None without an answer, or the right to ask."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            client = new_client(AdminClient, self._kafka, {"log_level": 0})
            asked = client.describe_configs([resource], request_timeout=_WAIT_S)[resource]
            return int(str(asked.result(timeout=_WAIT_S)[_SETTING].value))
        except (KafkaException, MeshError, FutureTimeout, KeyError, ValueError):
            return None
