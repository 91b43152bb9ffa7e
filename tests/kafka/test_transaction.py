"""Transactions that fail, with their reason."""

from __future__ import annotations

from uuid import uuid4

import pytest

from meshport.errors import TransactionAborted
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message
from meshport.kafka.transaction import Transactions
from meshport.local.cluster import Cluster
from tests.waiting import wait_for


@pytest.mark.kafka
def test_a_message_after_the_failure_is_refused_with_its_reason(kafka: Cluster) -> None:
    """The broker refuses a message as too large; the next one, which the client does not take any more, says so too."""
    topic, admin = f"t{uuid4().hex[:8]}", Admin(kafka.config)
    admin.ensure_topic(topic, 1)
    admin.set_config(topic, {"max.message.bytes": "100"})
    transactions = Transactions(kafka.config, topic)
    transactions.start()
    transactions.begin()
    small = Message(topic, b"k", b"v")
    transactions.deliver([Message(topic, b"k", b"x" * 1000)])

    found: list[TransactionAborted] = []

    def refused() -> bool:
        transactions._client.poll(0.05)
        try:
            transactions.deliver([small])
        except TransactionAborted as error:
            found.append(error)
        return bool(found)

    wait_for(refused, "a refusal")
    assert found[0].code == "MSG_SIZE_TOO_LARGE"
    assert "max.message.bytes" in (found[0].hint or "")
    transactions.abort()
    transactions.close()
