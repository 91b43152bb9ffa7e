"""Events of the cloudevents SDK, published and read back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count, islice
from typing import Any, NamedTuple

import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshport.binding import Binding
from meshport.errors import EncodeError, EventError
from meshport.event import Event
from meshport.event.event import Envelope
from meshport.ports.group_start import Start
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import BEGIN, reading, take

NOT_EXTENSIONS = {
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
    "data",
    "recordedtime",
}
# What CloudEvents' type String allows.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20).filter(
    lambda name: name not in NOT_EXTENSIONS
)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - Hypothesis wants naive bounds
    lambda naive: naive.replace(tzinfo=timezone(timedelta(hours=naive.hour - 12)))
)
UNIQUE = count()


class Port(NamedTuple):
    """A port with a publisher, and the events that are published from then on."""

    binding: Binding
    publisher: Publisher
    events: Iterator[Event]


@pytest.fixture(scope="module")
def port(in_memory_mesh: Mesh) -> Iterator[Port]:
    """A port of the in-memory mesh."""
    binding = in_memory_mesh.product()
    with (
        Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher,
        Subscriber(binding.address, in_memory_mesh.registry, start=Start.LATEST, kafka=CONNECTIONS) as subscriber,
    ):
        yield Port(binding, publisher, iter(subscriber))


def event(binding: Binding, data: Any = None, **attributes: Any) -> CloudEvent:
    """An event of the port with these attributes; None takes one away."""
    given = {
        "id": f"e-{next(UNIQUE)}",
        "source": str(binding.address),
        "type": binding.type,
        "time": BEGIN,
    } | attributes
    return CloudEvent({name: value for name, value in given.items() if value is not None}, data or reading(1))


def own_attributes(each: CloudEvent) -> dict[str, Any]:
    """The attributes that a publisher takes from the event."""
    added = ("dataschema", "datacontenttype", "recordedtime")
    return {name: value for name, value in each.get_attributes().items() if name not in added}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(
        st.tuples(TEXT, TIMES, st.none() | TEXT, st.dictionaries(NAMES, TEXT, max_size=5), st.integers(0, 10_000)),
        min_size=1,
        max_size=10,
    )
)
def test_what_is_published_is_what_is_read(port: Port, drawn: list[tuple[Any, ...]]) -> None:
    """Attributes, extensions and data of the SDK's event come back in the object that a read event is turned into."""
    sent = {}
    for id, time, subject, extensions, number in drawn:
        each = event(port.binding, reading(number), id=f"{next(UNIQUE)}{id}", time=time, subject=subject, **extensions)
        assert port.publisher.publish_cloudevent(each) == each.get_id()
        sent[each.get_id()] = each
    port.publisher.flush()
    found = {each.id: each.to_cloudevent() for each in islice(port.events, len(sent))}
    assert found.keys() == sent.keys()
    for id, theirs in found.items():
        assert own_attributes(theirs) == own_attributes(sent[id])
        assert theirs.get_data() == sent[id].get_data()
        assert theirs.get_attributes()["dataschema"].endswith(port.binding.fingerprint)
        assert theirs.get_attributes()["datacontenttype"] == "application/avro"


def test_an_event_that_was_read_can_be_published_again(in_memory_mesh: Mesh) -> None:
    """A read event has the port's dataschema and datacontenttype, which are accepted, and is recorded anew."""
    binding = in_memory_mesh.product()
    with Publisher(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(reading(1), id="once", extensions={"traceparent": "00-4bf9-00f0-01"})
        publisher.flush()
        with Subscriber(binding.address, in_memory_mesh.registry, kafka=CONNECTIONS) as subscriber:
            (first,) = take(subscriber, 1)
            publisher.publish_cloudevent(first.to_cloudevent())
            publisher.flush()
            first, second = take(subscriber, 2)
    assert (second.id, second.time, second.data) == (first.id, first.time, first.data)
    assert second.extensions == first.extensions == {"traceparent": "00-4bf9-00f0-01"}
    assert first.recorded_time is not None
    assert second.recorded_time is not None
    assert second.recorded_time >= first.recorded_time


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "mesh://other/product/port@1"),
        ("type", "com.other"),
        ("dataschema", "urn:other"),
        ("datacontenttype", "application/json"),
    ],
)
def test_what_contradicts_the_port_is_refused(port: Port, name: str, value: str) -> None:
    """The error names the event's value and the port's, and nothing is published."""
    shared = {
        "source": str(port.binding.address),
        "type": port.binding.type,
        "dataschema": f"urn:meshport:schema:{port.binding.fingerprint}",
        "datacontenttype": "application/avro",
    }
    with pytest.raises(EventError) as caught:
        port.publisher.publish_cloudevent(event(port.binding, **{name: value}))
    assert caught.value.message == f"the event's {name} is {value!r}, the port's is {shared[name]!r}"
    assert port.publisher.flush() == 0


@pytest.mark.parametrize(("data", "what"), [(b"\0\0\0\0\1", "of type bytes"), ("text", "of type str")])
def test_data_that_is_no_record_is_refused(port: Port, data: Any, what: str) -> None:
    """Only a mapping is a record; bytes that somebody encoded are not."""
    with pytest.raises(EventError, match=what):
        port.publisher.publish_cloudevent(event(port.binding, data))


def test_an_event_without_data_is_no_tombstone(port: Port) -> None:
    """An event of the SDK has no key, so that it could not delete a row."""
    attributes = {"id": "gone", "source": str(port.binding.address), "type": port.binding.type}
    with pytest.raises(EventError, match="data is missing"):
        port.publisher.publish_cloudevent(CloudEvent(attributes))


def test_data_that_does_not_fit_the_schema_is_refused(port: Port) -> None:
    """The record is validated as that of `publish` is."""
    with pytest.raises(EncodeError, match="celsius"):
        port.publisher.publish_cloudevent(event(port.binding, reading(1) | {"celsius": "warm"}))


def test_extensions_are_written_in_their_canonical_text(port: Port) -> None:
    """Whole numbers, truth values, bytes and times are what CloudEvents' type system makes of them."""
    each = event(port.binding, whole=-7, truth=True, binary=b"\0\1", moment=datetime(2026, 3, 1, 12, tzinfo=UTC))
    port.publisher.publish_cloudevent(each)
    port.publisher.flush()
    found = next(port.events)
    assert found.extensions == {"whole": "-7", "truth": "true", "binary": "AAE=", "moment": "2026-03-01T12:00:00Z"}


def test_publish_takes_extensions(port: Port) -> None:
    """A publisher without the SDK sets extension attributes too."""
    port.publisher.publish(reading(1), extensions={"tenant": "north"})
    port.publisher.flush()
    found = next(port.events)
    assert found.extensions == {"tenant": "north"}
    assert found.to_cloudevent().get_extension("tenant") == "north"


@pytest.mark.parametrize("name", ["recordedtime", "Upper", "with-hyphen", "a" * 21, "data", ""])
def test_names_that_no_extension_has_are_refused(port: Port, name: str) -> None:
    """CloudEvents allows 1 to 20 lower-case letters and digits, and none of the names of other attributes."""
    with pytest.raises(EventError, match="no name of an extension"):
        port.publisher.publish(reading(1), extensions={name: "x"})


def test_a_tombstone_is_an_event_of_the_sdk_without_data() -> None:
    """A read tombstone has its attributes, and None as its data."""
    gone = Event(envelope=Envelope("mesh://a/b/c@1", "a.b.c"), id="1", time=BEGIN, data=None)
    assert gone.to_cloudevent().get_data() is None
    assert gone.to_cloudevent().get_attributes() == gone.attributes()


def test_the_time_of_an_event_that_has_none_is_the_records_timestamp() -> None:
    """The SDK would take the present instead."""
    found: Event = Event(envelope=Envelope("elsewhere", "x"), id="1", time=BEGIN, data={}, has_time=False)
    assert found.to_cloudevent().get_time() == BEGIN
