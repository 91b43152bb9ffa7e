"""CloudEvents attributes in Kafka headers: names, types and times.

Sources: CloudEvents 1.0.2, "Type System" and "Naming Conventions"; its Kafka protocol binding, section 3.2.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from meshport.errors import EventError

SPEC_VERSION: Final = "1.0"
PREFIX: Final = "ce_"
CONTENT_TYPE: Final = "content-type"
AVRO: Final = "application/avro"
STRUCTURED: Final = "application/cloudevents"
ID: Final = "ce_id"
TIME: Final = "ce_time"
RECORDED_TIME: Final = "ce_recordedtime"
DATA_HEADERS: Final = ("ce_dataschema", CONTENT_TYPE)
"""The headers that describe the value; a tombstone has none."""
COMMON_HEADERS: Final = ("ce_specversion", "ce_source", "ce_type", *DATA_HEADERS)
"""The first headers of an event, in the order of our writer: equal for all events of one port and schema."""
OWN_HEADERS: Final = (ID, TIME, RECORDED_TIME)
"""The headers after `COMMON_HEADERS`, in order: those that differ from event to event."""
# The fingerprint is the schema's identity and does not depend on the address of a registry.
DATA_SCHEMA: Final = "urn:meshport:schema:"

# Attributes that are fields of an event; no extension may have one of these names.
CORE: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype", "data", "recordedtime"}
)
Extension = str | bool | int | bytes | datetime
Headers = list[tuple[str, bytes]]

_NAME: Final = re.compile(r"[a-z0-9]{1,20}")
_FINGERPRINT: Final = re.compile(r"(?:.*[^0-9a-fA-F])?([0-9a-fA-F]{64})", re.DOTALL)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Sixty seconds in milliseconds, the usual precision of events; about 6 MB at most for each table.
_REMEMBERED: Final = 60_000
_ORDINAL: Final = date(1970, 1, 1).toordinal()


class _Minutes(dict[int, bytes]):
    """A cache of the RFC 3339 text of minutes since 1970, up to the colon before the seconds."""

    def __missing__(self, minute: int) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        day, minute_of_day = divmod(minute, 1440)
        text = f"{date.fromordinal(day + _ORDINAL).isoformat()}T".encode() + b"%02d:%02d:" % divmod(minute_of_day, 60)
        self[minute] = text
        return text


class _Seconds(dict[int, bytes]):
    """A cache of the text of microseconds within a minute, with no fraction, three digits or six."""

    def __missing__(self, micros: int) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        seconds, micros_of_second = divmod(micros, 1_000_000)
        millis, rest = divmod(micros_of_second, 1000)
        fraction = b".%06d" % micros_of_second if rest else b".%03d" % millis if millis else b""
        text = b"%02d%bZ" % (seconds, fraction)
        self[micros] = text
        return text


_minutes: Final = _Minutes()
_seconds: Final = _Seconds()


def rfc3339(moment: datetime) -> bytes:
    """Return an instant as RFC 3339 text in UTC, with no fraction, three digits or six.

    Both parts come from caches, which takes a third of the time of `isoformat` on an aware datetime.

    Raises:
        EventError: the datetime has no time zone.
    """
    try:
        since: timedelta = moment - _EPOCH
    except TypeError:
        raise EventError(
            f"{moment!r} is no instant", hint="a datetime with a time zone, such as datetime.now(UTC)"
        ) from None
    seconds = since.seconds
    return _minutes[since.days * 1440 + seconds // 60] + _seconds[seconds % 60 * 1_000_000 + since.microseconds]


def rfc3339_of_micros(micros: int) -> bytes:
    """Return the text of an instant in microseconds since 1970, as `rfc3339`; it must be within the range of datetime."""
    minutes, rest = divmod(micros, 60_000_000)
    return _minutes[minutes] + _seconds[rest]


def text_bytes(name: str, text: str) -> bytes:
    """Return a text attribute as UTF-8.

    Raises:
        EventError: the text is empty, or has characters that CloudEvents does not allow (control characters, lone
            surrogates, noncharacters).
    """
    if not isinstance(text, str) or not text:
        raise EventError(f"the attribute {name} is {text!r}", attribute=name, hint="text of at least one character")
    if not text.isprintable() and (bad := next((each for each in text if _forbidden(each)), None)) is not None:
        raise EventError(
            f"the attribute {name} holds the character U+{ord(bad):04X}", attribute=name, hint="no control characters"
        )
    return text.encode()


def _forbidden(character: str) -> bool:
    number = ord(character)
    return unicodedata.category(character) in {"Cc", "Cs"} or number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF


def extension_headers(extensions: Mapping[str, Extension]) -> Headers:
    """Return the headers of extension attributes, with values in CloudEvents' canonical text form.

    Raises:
        EventError: CloudEvents does not allow a name or a value.
    """
    headers = []
    for name, value in extensions.items():
        if not _NAME.fullmatch(name) or name in CORE:
            raise EventError(
                f"{name!r} is no name of an extension",
                attribute=name,
                hint="1 to 20 of a-z and 0-9, and none of " + ", ".join(sorted(CORE)),
            )
        headers.append((PREFIX + name, _extension(name, value)))
    return headers


def _extension(name: str, value: Extension) -> bytes:
    match value:
        case bool():
            return b"true" if value else b"false"
        case int() if -(2**31) <= value < 2**31:
            return b"%d" % value
        case bytes():
            return b64encode(value)
        case datetime():
            return rfc3339(value)
        case str():
            return text_bytes(name, value)
    raise EventError(
        f"the extension {name} is {value!r}",
        attribute=name,
        hint="text, bool, a whole number of 32 bits, bytes or an aware datetime",
    )


def is_name(name: str) -> bool:
    """Return whether CloudEvents allows an attribute's name on reading, where the length is only a recommendation."""
    return name.isascii() and name.isalnum() and name.islower() | name.isdigit() and name != "data"


def fingerprint_of(data_schema: str | None) -> str | None:
    """Return the fingerprint at the end of a `dataschema`, or None if it has none."""
    match = _FINGERPRINT.fullmatch(data_schema) if data_schema else None
    return match[1].lower() if match else None
