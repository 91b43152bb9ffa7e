"""The answer to a request of an admin client."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Final, TypeVar

from meshport.errors import BrokerUnavailable

__all__ = ["ANSWER_S", "answer_of"]

_Answer = TypeVar("_Answer")

ANSWER_S: Final = 15.0
"""Seconds in which an admin client waits for an answer."""


def answer_of(asked: Future[_Answer], what: str) -> _Answer:
    """Return the answer of a request. librdkafka waits a minute for a broker that is gone, and raises nothing meanwhile.

    Args:
        asked: the request.
        what: the operation that fails, for the message.

    Raises:
        BrokerUnavailable: there is none in time.
        KafkaException: the client's error.
    """
    try:
        return asked.result(timeout=ANSWER_S)
    except TimeoutError as error:
        raise BrokerUnavailable(f"{what}: no broker answered within {ANSWER_S:g} s") from error
