"""The attributes of an event as it is read: out of Kafka headers, or out of structured JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from meshport.codec import SCHEMA_HEADER
from meshport.errors import EventError
from meshport.event.attributes import CONTENT_TYPE, CORE, PREFIX, SPEC_VERSION, instant, is_name
from meshport.event.event import NO_EXTENSIONS

RawHeaders = Sequence[tuple[str, bytes | None]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)


def attributes_of(headers: RawHeaders) -> tuple[dict[str, str], bytes | None]:
    """Return CloudEvents attributes by name, and Confluent's schema header; other headers are ignored."""
    attributes: dict[str, str] = {}
    schema_header = None
    for name, value in headers:
        if name == SCHEMA_HEADER:
            schema_header = value
            continue
        lowered = name.lower()
        if lowered == CONTENT_TYPE:
            attribute = "datacontenttype"
        elif lowered.startswith(PREFIX):
            attribute = lowered.removeprefix(PREFIX)
            if attribute == "datacontenttype" or not is_name(attribute):
                raise EventError(
                    f"the header {name!r} is no CloudEvents attribute",
                    attribute=name,
                    hint="ce_ and a-z, 0-9; content-type",
                )
        else:
            continue
        if value is None:
            raise EventError(
                f"the header {name} is null", attribute=name, hint="an attribute that is not there has no header"
            )
        if attribute in attributes:
            raise EventError(f"the header {name} is there twice", attribute=name)
        try:
            attributes[attribute] = value.decode()
        except UnicodeDecodeError as error:
            raise EventError(f"the header {name} is no UTF-8: {error.reason}", attribute=name) from error
    return attributes, schema_header


def optional_attributes(headers: RawHeaders) -> tuple[str | None, Mapping[str, str]]:
    """Return subject and extensions from the headers after those that each event of our writer has."""
    attributes, schema_header = attributes_of(headers)
    subject = attributes.pop("subject", None)
    if schema_header is not None or subject == "" or not CORE.isdisjoint(attributes):
        raise EventError("the headers are none that our writer makes")
    return subject, MappingProxyType(attributes) if attributes else NO_EXTENSIONS


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse attributes that are not a valid CloudEvent."""
    for name in ("specversion", "id", "source", "type"):
        if not attributes.get(name):
            found = "is empty" if name in attributes else "is missing"
            raise EventError(
                f"the attribute {name} {found}",
                attribute=name,
                hint=f"every CloudEvent has it, in the header ce_{name}",
            )
    if attributes["specversion"] != SPEC_VERSION:
        raise EventError(
            f"the attribute specversion is {attributes['specversion']!r}", attribute="specversion", hint=SPEC_VERSION
        )
    for name in ("subject", "dataschema", "datacontenttype"):
        if attributes.get(name) == "":
            raise EventError(f"the attribute {name} is empty", attribute=name, hint="leave it out, or give it a value")


def instant_of(name: str, text: str) -> datetime:
    """Return the instant of an attribute, in UTC.

    Raises:
        EventError: the text is not RFC 3339.
    """
    try:
        return instant(text)
    except (ValueError, OverflowError) as error:
        raise EventError(
            f"the attribute {name} is {text!r}: {error}", attribute=name, hint="RFC 3339, 2026-11-21T08:15:00Z"
        ) from error


def stored_at(timestamp_ms: int) -> datetime:
    """Return the time of an event without one: the Kafka timestamp of its record, or the epoch where there is none."""
    try:
        return _EPOCH + _MILLI * max(timestamp_ms, 0)
    except OverflowError as error:
        raise EventError(
            f"the event has no time, and its Kafka timestamp is {timestamp_ms} ms, after the year 9999",
            attribute="time",
        ) from error


def canonical_text(name: str, value: Any) -> str:
    """Return an attribute of a structured event in CloudEvents' canonical text form."""
    if not is_name(name):
        raise EventError(f"{name!r} is no CloudEvents attribute", attribute=name, hint="a-z and 0-9")
    match value:
        case bool():
            return "true" if value else "false"
        case int() if name not in CORE and -(2**31) <= value < 2**31:  # the Integer of CloudEvents' type system
            return str(value)
        case str():
            return value
    wanted = "text" if name in CORE else "text, a boolean or a whole number of 32 bits"
    raise EventError(f"the attribute {name} is {value!r}", attribute=name, hint=wanted)
