"""The views of a port that SQL sees, each made of the rows that count at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from meshport.binding import Binding
from meshport.errors import QueryError
from meshport.query.moment import Moment

__all__ = ["ABOUT", "ARCHIVED", "LIVE", "default_query", "quoted", "views"]

ARCHIVED: Final = "_archived"
"""The name of the archived rows."""
LIVE: Final = "_live"
"""The name of the rows of the topic."""
ABOUT: Final = (
    "_time",
    "_recorded",
    "_id",
    "_source",
    "_kafka_partition",
    "_kafka_offset",
    "_kafka_timestamp",
    "_key",
    "_retracted",
    "_fingerprint",
)
"""The columns beside those of the contract."""
_COMPACT: Final = "compact"
# Which of two rows is the later one: that of the later fact; of one fact, what was recorded later.
_ORDER: Final = "_time DESC, _recorded DESC, _kafka_partition DESC, _kafka_offset DESC"


def views(binding: Binding, fields: Mapping[str, str], parts: Sequence[str], moment: Moment) -> dict[str, str]:
    """Return the views, in the order in which they are made: name and query.

    | View | |
    |---|---|
    | `log` | a row for each message, repeated ones and retractions (`_retracted`) included |
    | `events` | each event once, however often it was published; without retractions |
    | `latest` | the latest row of each key, or of `latest_by`; a key that was retracted has none |
    | `series` | the latest row of each key in each interval, `_interval` |
    | `problems` | the messages that cannot be read, with `_problem` |

    Args:
        binding: of the port.
        fields: of the contract, each with the expression for it.
        parts: the names of the relations of which the port's rows are made.
        moment: what is asked.

    Raises:
        QueryError: `latest_by` names no field.
    """
    for each in moment.latest_by:
        if each not in fields:
            raise QueryError(
                f"{binding.address} has no field {each!r} to take the latest by",
                address=str(binding.address),
                hint=f"its fields are {', '.join(fields)}",
            )
    columns = ", ".join(map(quoted, (*fields, *ABOUT)))
    read = ", ".join(f"{expression} AS {quoted(name)}" for name, expression in fields.items())
    rows = " UNION ALL BY NAME ".join(f"SELECT {read}, {', '.join(ABOUT)}, _problem FROM {each}" for each in parts)
    bounds = [
        f"{column} <= TIMESTAMPTZ {_text(at.isoformat(sep=' '))}"
        for column, at in (("_time", moment.as_of), ("_recorded", moment.known_at))
        if at is not None
    ]
    made = {
        "_rows": f"SELECT * FROM ({rows})" + (f" WHERE {' AND '.join(bounds)}" if bounds else ""),
        "problems": f"SELECT {', '.join(ABOUT)}, _problem FROM _rows WHERE _problem IS NOT NULL",
        "log": f"SELECT {columns} FROM _rows WHERE _problem IS NULL",
        "events": "SELECT * FROM log WHERE NOT _retracted QUALIFY row_number() OVER "
        "(PARTITION BY _source, _id ORDER BY _recorded, _kafka_partition, _kafka_offset) = 1",
    }
    keys = _keys(binding, moment)
    if keys is not None:
        of_key = f"SELECT * FROM log {_latest('_key')}"
        by_fields = (
            f"SELECT * FROM ({of_key}) WHERE NOT _retracted" if binding.cleanup == _COMPACT else "SELECT * FROM log"
        )
        latest = of_key if keys == "_key" else f"SELECT * FROM ({by_fields}) WHERE NOT _retracted {_latest(keys)}"
        made["latest"] = f"SELECT * FROM ({latest}) WHERE NOT _retracted"
    if keys is not None and moment.every is not None:
        micros = round(moment.every.total_seconds() * 1_000_000)
        bucket = f"time_bucket(to_microseconds({micros}), _time, TIMESTAMPTZ '1970-01-01 00:00:00+00')"
        inner = f"SELECT {bucket} AS _interval, * FROM log"
        made["series"] = f"SELECT * FROM (SELECT * FROM ({inner}) {_latest('_interval', keys)}) WHERE NOT _retracted"
    return made


def _keys(binding: Binding, moment: Moment) -> str | None:
    if moment.latest_by and tuple(moment.latest_by) != tuple(binding.key):
        return ", ".join(map(quoted, moment.latest_by))
    return "_key" if binding.key else None


def _latest(*keys: str) -> str:
    return f"QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {_ORDER}) = 1"


def default_query(binding: Binding, fields: Sequence[str], moment: Moment) -> str:
    """Return the query where none is given: the rows of the view that is asked for, with the time of each."""
    view = (
        "series"
        if moment.every is not None
        else "latest"
        if moment.latest_by or binding.cleanup == _COMPACT
        else "events"
    )
    columns = [*(["_interval"] if view == "series" else []), *map(quoted, fields), "_time"]
    return f"SELECT {', '.join(columns)} FROM {view} ORDER BY _time, _kafka_partition, _kafka_offset"


def quoted(name: str) -> str:
    """Return the name of a column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
