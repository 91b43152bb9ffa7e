"""A failed test reports the brokers that it may have met."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from meshport.errors import BrokerUnavailable
from meshport.local.embedded import EmbeddedKafka
from tests.broker_notes import pytest_runtest_makereport
from tests.waiting import wait_for


class Lazy:
    """An object that cannot be asked for its class, as Django's settings where none are configured."""

    @property
    def __class__(self) -> type:
        """Raise."""
        raise LookupError("nothing is configured")

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise LookupError("nothing is configured")


@pytest.mark.kafka
def test_an_unreachable_broker_is_reported_with_its_end(kafka_cache: Path) -> None:
    """A test's error says that its broker has ended, and with which code, whatever other objects there are."""
    lazy = Lazy()

    def fail() -> None:
        raise BrokerUnavailable("no broker answers")

    with EmbeddedKafka(cache_dir=kafka_cache) as broker:
        os.kill(broker.pids[1], signal.SIGKILL)
        wait_for(lambda: not broker.pids, "the broker to be gone")
        call = pytest.CallInfo.from_call(fail, "call")
        pytest_runtest_makereport(call)
        assert call.excinfo is not None
        notes = [each for each in call.excinfo.value.__notes__ if broker.bootstrap_servers in each]
    assert len(notes) == 1
    assert type(lazy) is Lazy
    assert "ended with 137; a new client gets no answer" in notes[0]


@pytest.mark.kafka
def test_a_broker_that_answers_a_new_client_is_told_from_one_that_is_stopped(kafka_cache: Path) -> None:
    """The note of one that runs says what a new client sees, and of a stopped one that it is stopped and does not answer."""

    def fail() -> None:
        raise BrokerUnavailable("no broker answers")

    def note(broker: EmbeddedKafka) -> str:
        call = pytest.CallInfo.from_call(fail, "call")
        pytest_runtest_makereport(call)
        assert call.excinfo is not None
        (found,) = [each for each in call.excinfo.value.__notes__ if broker.bootstrap_servers in each]
        return found

    with EmbeddedKafka(cache_dir=kafka_cache) as broker:
        assert "a new client sees" in note(broker)
        os.kill(broker.pids[1], signal.SIGSTOP)
        try:
            wait_for(lambda: "is in state T; a new client gets no answer" in note(broker), "the broker to be stopped")
        finally:
            os.kill(broker.pids[1], signal.SIGCONT)
