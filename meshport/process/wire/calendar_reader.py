"""Events with a date or timestamp that Python does not have, before year 1 or after 9999: passed on, but not computed with.

The codec hands such a value on as its number (`meshport.codec.logical`). Beside datetimes a number would fail in some operators,
and give a wrong result in others, as between two units. So an event is refused if a field that the process computes with
holds one. A field that is only passed on keeps its number to the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from meshport.codec.layout import Layout
from meshport.codec.logical import CALENDAR, kind_of
from meshport.errors import EventError
from meshport.event import Event, EventReader
from meshport.schema import Schema

Find = Callable[[Any], int | None]
"""Returns a number that stands for a date or timestamp in a value; None where there is none."""


class CalendarReader:
    """Reads events, and refuses one in which a field that the process computes with is beyond Python's calendar.

    Args:
        reader: of the events.
        finders: what finds a number in the fields that the process computes with, by path.
    """

    def __init__(self, reader: EventReader, finders: Mapping[str, Find]) -> None:
        self._read = reader.read
        self._finders = finders

    def read(self, *parts: Any) -> Event:
        """As `EventReader.read`.

        Raises:
            EventError: also for a field beyond the calendar; the message names it and its number.
        """
        event = self._read(*parts)
        if event.data is not None:
            for path, find in self._finders.items():
                number = find(event.data)
                if number is not None:
                    place = f"{event.topic}[{event.partition}]@{event.offset}"
                    raise EventError(
                        f"{place}: the field {path!r} holds {number}, a date or timestamp whose year is not 1 to 9999, and the "
                        "process computes with it",
                        hint="it is passed on where no step reads it",
                    )
        return event


def calendar_finders(contract: Schema, paths: Iterable[str]) -> dict[str, Find]:
    """Return what finds numbers in the records of a contract, for each path that may hold a date or timestamp."""
    layout = Layout(contract)
    made = {path: _finder(layout.form, path.split("."), layout, ()) for path in paths}
    return {path: find for path, find in made.items() if find is not None}


def _finder(form: Any, path: Sequence[str], layout: Layout, within: tuple[str, ...]) -> Find | None:
    """Return the function that finds a number in the part of a value that a path leads to; None where no part may hold one."""
    form = layout.definition(form)
    kind = kind_of(form)
    match kind:
        case "union":
            # In a union of several types a number may be a value of its own.
            others = [branch for branch in form if branch != "null"]
            return _finder(others[0], path, layout, within) if len(others) == 1 else None
        case "record" | "error" if form["name"] not in within:
            inner = (*within, form["name"])
            found = {
                field["name"]: find
                for field in form["fields"]
                if (not path or field["name"] == path[0])
                and (find := _finder(field["type"], path[1:], layout, inner)) is not None
            }
            return _in_fields(found) if found else None
        case "array":
            each = _finder(form["items"], path, layout, within)
            return _in_items(each, iter) if each else None
        case "map":
            each = _finder(form["values"], path, layout, within)
            return _in_items(each, dict.values) if each else None
    return _number if kind in CALENDAR else None


def _number(value: Any) -> int | None:
    return value if type(value) is int else None


def _in_fields(finders: dict[str, Find]) -> Find:
    def find(record: Any) -> int | None:
        if record is None:
            return None
        found = (each(record.get(name)) for name, each in finders.items())
        return next((number for number in found if number is not None), None)

    return find


def _in_items(find_one: Find, items: Callable[[Any], Iterable[Any]]) -> Find:
    def find(value: Any) -> int | None:
        found = map(find_one, items(value)) if value is not None else ()
        return next((number for number in found if number is not None), None)

    return find
