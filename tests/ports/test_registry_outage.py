"""A registry that is away: readers wait for it where they need it, and say so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.event import Event
from meshport.ports import registry_outage
from meshport.ports.registry_outage import await_answer
from meshport.ports.subscriber import Subscriber
from meshport.registry import Registry
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import fill, numbers, take
from tests.registry.network import Switch
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is asked again soon."""
    monkeypatch.setattr(registry_outage, "_ASK_S", 0.01)


class Registered:
    """Raises one error after another, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def __call__(self) -> str:
        """Raise the next error, or answer."""
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def test_an_answer_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """No answer and one of status 503 are waited for; the log has who waits, why, again and again, and the end of it."""
    away = RegistryUnavailable("no route to host")
    ask = Registered(away, away, RegistryUnavailable("database is away", status=503))
    with caplog.at_level(logging.WARNING):
        assert await_answer(ask, threading.Event(), waiter="shop/totals", report_s=0) == "answer"
    assert [each.rpartition(": ")[2] for each in caplog.messages[:3]] == [away.message] * 2 + ["database is away"]
    assert all(each.startswith("shop/totals has waited") for each in caplog.messages[:3])
    assert caplog.messages[3].startswith("shop/totals goes on: the registry answers")
    assert len(caplog.messages) == 4


def test_the_log_has_one_line_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """However often the registry is asked, the wait is logged once an interval."""
    with caplog.at_level(logging.WARNING):
        await_answer(Registered(*[RegistryUnavailable("away")] * 9), threading.Event(), waiter="a", report_s=3600)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("error", [RegistryUnavailable("no such page", status=404), NotRegistered("no such product")])
def test_an_answer_that_is_an_error_is_raised(error: Exception) -> None:
    """What answers but is no registry, and a registry that says no, are no outage."""
    with pytest.raises(type(error)):
        await_answer(Registered(error), threading.Event(), waiter="a")


def test_a_wait_can_be_ended() -> None:
    """An event that is set ends the wait with the registry's error."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(RegistryUnavailable):
        await_answer(Registered(RegistryUnavailable("away")), stop, waiter="a")


@pytest.fixture
def network() -> Switch:
    """The connection of `client`."""
    return Switch()


@pytest.fixture
def client(ports: Mesh, network: Switch) -> Iterator[Registry]:
    """A client of the registry that has cached nothing, over a connection that can be cut."""
    with Registry(ports.url, transport=network) as opened:
        yield opened


def test_a_subscriber_waits_for_a_schema(
    ports: Mesh, client: Registry, network: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """Events of a schema that is new to a subscriber are read once the registry answers; none is bad, none is left out."""
    binding = ports.product()
    fill(ports, binding.address, range(40))
    found: list[Event] = []
    with (
        caplog.at_level(logging.WARNING),
        Subscriber(binding.address, client, on_bad=lambda bad: pytest.fail(str(bad)), kafka=CONNECTIONS) as subscriber,
    ):
        network.cut = True
        reading = threading.Thread(target=lambda: found.extend(take(subscriber, 40)))
        reading.start()
        wait_for(lambda: "is new to it" in caplog.text)
        assert found == []
        network.cut = False
        reading.join(PATIENCE_S)
        assert sorted(numbers(found)) == list(range(40))
        network.cut = True
        fill(ports, binding.address, range(40, 80))
        assert sorted(numbers(take(subscriber, 41))) == [numbers(found)[-1], *range(40, 80)]


@pytest.mark.parametrize("how", ["events", "batches", "arrow_batches"])
def test_a_subscriber_that_waits_can_be_stopped(
    ports: Mesh, client: Registry, network: Switch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """`stop` ends an iteration that waits for the registry, without an error and without a move of the group's offset."""
    binding = ports.product()
    fill(ports, binding.address, range(40))
    with caplog.at_level(logging.WARNING), Subscriber(binding.address, client, kafka=CONNECTIONS) as subscriber:
        network.cut = True
        read = iter(subscriber) if how == "events" else getattr(subscriber, how)()
        found: list[object] = []
        reading = threading.Thread(target=partial(found.extend, read))
        reading.start()
        wait_for(lambda: "is new to it" in caplog.text)
        subscriber.stop()
        reading.join(PATIENCE_S)
        assert not reading.is_alive()
        assert not any(found)
        network.cut = False
