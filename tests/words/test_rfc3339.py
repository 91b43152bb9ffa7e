"""Which texts are times: RFC 3339, the forms read besides, and nothing that only this Python's parser reads."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import meshport
from meshport.product.day import Day
from meshport.rfc3339 import day, instant, local, loose_instant, loose_local, time_of_day, usual_instant

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
READ = {
    "2026-01-01T00:00:00.5811478Z": NEW_YEAR.replace(microsecond=581_147),
    "2026-01-01T00:00:00.123456789Z": NEW_YEAR.replace(microsecond=123_456),
    "2026-01-01T00:00:00.5Z": NEW_YEAR.replace(microsecond=500_000),
    "2026-01-01T00:00:00." + "9" * 1000 + "Z": NEW_YEAR.replace(microsecond=999_999),
    "2026-01-01t00:00:00z": NEW_YEAR,
    "2026-01-01T00:00:00+00:00": NEW_YEAR,
    "2026-01-01T00:00:00-00:00": NEW_YEAR,
    "2026-01-01T05:45:00+05:45": NEW_YEAR,
    "2025-12-31T00:01:00-23:59": NEW_YEAR,
    "2026-01-01 00:00:00Z": NEW_YEAR,
    "2026-01-01T00:00Z": NEW_YEAR,
    "2026-01-01T02:00+02:00": NEW_YEAR,
    "2016-12-31T23:59:60Z": datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "2016-12-31T23:59:60.25Z": datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "1990-12-31T15:59:60-08:00": datetime(1990, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "2015-07-01T05:29:60+05:30": datetime(2015, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC),
    "9999-12-31T23:59:59.9999999Z": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "9999-12-31T23:59:60Z": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "0001-01-01T00:00:00Z": datetime(1, 1, 1, tzinfo=UTC),
}
LOOSE = {
    "2026-01-01T00:00:00+00": NEW_YEAR,
    "2026-01-01 01:00:00+0100": NEW_YEAR,
    "2026-01-01T00:00:00": NEW_YEAR,
    "2026-01-01 00:00": NEW_YEAR,
    " 2026/01/01 00:00:00 ": NEW_YEAR,
    "2026-01-01 00:00:00 Z": NEW_YEAR,
    "2026-01-01T00:00:00,5Z": NEW_YEAR.replace(microsecond=500_000),
    "2026-01-01": NEW_YEAR,
}
REFUSED = [
    "",
    "20260101T000000Z",
    "20260101",
    "2026-W01-1T00:00:00Z",
    "2026-W01-1",
    "2026-001T00:00:00Z",
    "2026-01-01T000000.0Z",
    "2026-01-01T00Z",
    "2026-01-01T00:00:00+01:00:30",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+01:60",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T23:60:00Z",
    "2026-01-01T23:59:61Z",
    "2026-01-01T23:59:60Z",
    "2026-12-31T12:00:60Z",
    "2026-12-31T23:59:60+01:00",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-1-1T00:00:00Z",
    "1767225600000",
    "Thu, 01 Jan 2026 00:00:00 GMT",
    "2026-01-01T00:00:00Z[Europe/Berlin]",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
    "-2026-01-01T00:00:00Z",
    "2026-01-01\n00:00:00Z",
    "\u0662\u0660\u0662\u0666-01-01T00:00:00Z",
    "2026-01-01T00:00:00\u2212" + "01:00",
    "now",
]


@pytest.mark.parametrize(("text", "moment"), READ.items())
def test_rfc_3339_is_read(text: str, moment: datetime) -> None:
    """Every valid form gives its instant in UTC, cut to microseconds; so does each in a file and on a command line."""
    assert instant(text) == loose_instant(text) == moment
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize(("text", "moment"), LOOSE.items())
def test_what_people_and_databases_write_is_read_from_them_alone(text: str, moment: datetime) -> None:
    """The further forms are those of files and command lines; an event's time has none of them."""
    assert loose_instant(text) == moment
    with pytest.raises(ValueError, match=r"it (does not have the form of RFC 3339|has no time zone)"):
        instant(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_time_is_refused_everywhere(text: str) -> None:
    """Forms that only ISO 8601 or a version of Python has are refused, as are days and leap seconds that there are not."""
    for read in (instant, loose_instant):
        with pytest.raises(ValueError, match=r"."):
            read(text)
    with pytest.raises(ValueError, match=r"."):
        usual_instant(text.encode())


@given(
    st.one_of(
        st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:?[0-6][0-9]:?[0-6][0-9]([.,][0-9]{1,8})?Z\Z"),
        st.datetimes(timezones=st.just(UTC)).map(lambda each: each.isoformat().replace("+00:00", "Z")),
    )
)
def test_the_fast_parser_reads_what_the_other_reads(text: str) -> None:
    """A text that `usual_instant` reads has the same instant in `instant`."""
    try:
        usual = usual_instant(text.encode())
    except ValueError:
        return
    assert usual == instant(text)
    assert usual.tzinfo is UTC


def test_days_and_times_of_day() -> None:
    """A full-date and a partial-time are read, and no other form of ISO 8601."""
    assert day("2026-02-03") == date(2026, 2, 3)
    assert time_of_day("13:05:00.1234567") == time(13, 5, 0, 123_456)
    assert time_of_day("13:05") == time(13, 5)
    assert loose_local(" 2026/02/03 04:05:06,7") == datetime(2026, 2, 3, 4, 5, 6, 700_000)  # noqa: DTZ001 - as below
    assert loose_local("2026-02-03") == datetime(2026, 2, 3)  # noqa: DTZ001 - as below
    assert local("2026-02-03T04:05:06") == datetime(2026, 2, 3, 4, 5, 6)  # noqa: DTZ001 - a local one
    for read, texts in {
        day: ("20260203", "2026-W06-2", "2026-2-3", "2026-02-30", "2026-02-03T00:00:00Z", ""),
        time_of_day: ("13", "1305", "24:00:00", "13:05:00Z", "T13:05", ""),
        local: ("2026-02-03T04:05:06Z", "20260203T040506", "2026-02-03"),
        loose_local: ("2026-02-03T04:05:06Z", "2026/02/03 04:05:06 +02", "2026-02-03T04:05:06-0030", "today"),
    }.items():
        for text in texts:
            with pytest.raises(ValueError, match=r"."):
                read(text)


def test_a_day_of_a_document_is_written_as_one() -> None:
    """product.yaml and the registry take a full-date, and neither a number, which pydantic reads as seconds, nor a time."""
    adapter: TypeAdapter[date] = TypeAdapter(Day)
    assert adapter.validate_python("2026-02-03") == adapter.validate_python(date(2026, 2, 3)) == date(2026, 2, 3)
    assert adapter.json_schema() == {"type": "string", "format": "date"}
    for wrong in (1_767_225_600, 0, "1767225600", "20260203", "2026-02-03T00:00:00Z", NEW_YEAR, True):
        with pytest.raises(ValidationError, match="is no day; write"):
            adapter.validate_python(wrong)


def test_no_other_module_parses_times() -> None:
    """Parsers of Python read what each version wants: only `rfc3339` calls one, and the form that our own state is stored in."""
    library = Path(meshport.__file__).parent
    service = library.parent / "registry" / "meshport_registry"
    callers = {
        file.relative_to(library.parent).as_posix()
        for root in (library, service)
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"fromisoformat", "strptime"}
    }
    assert callers == {"meshport/rfc3339.py", "meshport/process/logic/lossless_json.py"}
