"""The attributes of an event as it is read: out of Kafka headers, or out of structured JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Never

from meshport.codec import SCHEMA_HEADER
from meshport.errors import EventError
from meshport.event.attributes import CONTENT_TYPE, CORE, PREFIX, SPEC_VERSION, STRUCTURED, is_name
from meshport.event.event import NO_EXTENSIONS
from meshport.rfc3339 import instant

RawHeaders = Sequence[tuple[str, bytes | None]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)


def attributes_of(headers: RawHeaders) -> tuple[dict[str, str], bytes | None]:
    """Return CloudEvents attributes by name, and Confluent's schema header; other headers are ignored.

    `datacontenttype` is the header `content-type` (Kafka binding 1.0.2, section 3.2.1). Spring and others write
    `ce_datacontenttype`, alone or besides: it is read as the same attribute.
    """
    attributes: dict[str, str] = {}
    schema_header = misnamed = None
    for name, value in headers:
        if name == SCHEMA_HEADER:
            schema_header = value
            continue
        lowered = name.lower()
        if lowered == CONTENT_TYPE:
            attribute = "datacontenttype"
        elif lowered.startswith(PREFIX):
            attribute = lowered.removeprefix(PREFIX)
            if not is_name(attribute):
                misnamed = misnamed or name
                continue
        else:
            continue
        if value is None:
            raise EventError(
                f"the header {name} is null", attribute=name, hint="an attribute that is not there has no header"
            )
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise EventError(f"the header {name} is no UTF-8: {error.reason}", attribute=name) from error
        if attribute in attributes:
            if attribute != "datacontenttype":
                raise EventError(f"the header {name} is there twice", attribute=name)
            text = _one_content_type(attributes[attribute], text, name)
        attributes[attribute] = text
    if misnamed is not None:
        refuse_name(misnamed, attributes)
    return attributes, schema_header


def _one_content_type(first: str, second: str, name: str) -> str:
    """Return the content type of an event that names it twice. Of a structured event, one may be that of the data."""
    if first.lower() == second.lower():
        return first
    structured = [each for each in (first, second) if each.lower().startswith(STRUCTURED)]
    if len(structured) == 1:
        return structured[0]
    raise EventError(
        f"the content type is {first!r} in one header and {second!r} in another, {name}",
        attribute=name,
        hint="one of them, in the header content-type",
    )


def refuse_name(name: str, attributes: Mapping[str, str]) -> Never:
    """Raise for an attribute whose name CloudEvents does not allow, after what else is wrong with the others."""
    if not attributes.get("datacontenttype", "").lower().startswith(STRUCTURED):
        check_attributes(attributes)
    if name.lower() == f"{PREFIX}data":
        raise EventError(
            f"the header {name!r} is no CloudEvents attribute", attribute=name, hint="the value is the data"
        )
    raise EventError(
        f"only an extension is at fault: CloudEvents does not allow its name, {name!r}",
        attribute=name,
        hint="a-z and 0-9: traceid, on Kafka the header ce_traceid",
    )


def optional_attributes(headers: RawHeaders) -> tuple[str | None, Mapping[str, str]]:
    """Return subject and extensions from the headers after those that each event of our writer has."""
    attributes, schema_header = attributes_of(headers)
    subject = attributes.pop("subject", None)
    if schema_header is not None or subject == "" or not CORE.isdisjoint(attributes):
        raise EventError("the headers are none that our writer makes")
    return subject, MappingProxyType(attributes) if attributes else NO_EXTENSIONS


def check_prefix(headers: RawHeaders, attributes: Mapping[str, str]) -> None:
    """Refuse headers with the prefix of another binding, such as `ce-`, HTTP's."""
    if "specversion" in attributes:
        return
    other = next((name for name, _ in headers if name.lower().endswith("specversion")), None)
    if other is not None:
        raise EventError(
            f"the attribute specversion is missing; the header {other!r} is not its header on Kafka",
            attribute="specversion",
            hint=f"headers that begin with {PREFIX}, as {PREFIX}specversion: {SPEC_VERSION}",
        )


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
            f"the attribute specversion is {attributes['specversion']!r}",
            attribute="specversion",
            hint=f"{SPEC_VERSION}, in the header {PREFIX}specversion",
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
    except ValueError as error:
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


def deleted_at(timestamp_ms: int) -> datetime:
    """Return the time of a tombstone without one: as `stored_at`, and the epoch for a Kafka timestamp after the year 9999.

    Kafka deletes the row whatever the time. From the epoch on it holds for all readers, as after compaction.
    """
    try:
        return stored_at(timestamp_ms)
    except EventError:
        return _EPOCH


def canonical_text(name: str, value: Any) -> str:
    """Return an attribute of a structured event in CloudEvents' canonical text form."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if name not in CORE and -(2**31) <= value < 2**31:  # the Integer of CloudEvents' type system
            return str(value)
        case str():
            return value
    wanted = "text" if name in CORE else "text, a boolean or a whole number of 32 bits"
    raise EventError(f"the attribute {name} is {json.dumps(value, ensure_ascii=False)}", attribute=name, hint=wanted)
