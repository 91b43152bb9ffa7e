"""The JSON form of records and state, in which every Avro value survives exactly.

JSON has no timestamps, decimals or bytes. They are written as objects with one key that begins with `$`
(`{"$datetime": "2001-02-03T04:05:06+00:00"}`); in an object whose own keys begin with `$` it is doubled (`$$datetime`).
Python's `json` keeps integers of any size and doubles to the last bit, NaN and infinities included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from meshport.errors import ProcessError

_MARK: Final = '"$'
# Made once: an encoder for each value takes twice as long as the encoding, and most state needs no other.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def dumps(value: Any) -> str:
    """Return the JSON text of a value.

    Raises:
        ProcessError: the value holds an object that is no plain data, or contains itself.
    """
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        pass  # a value that JSON does not have is tagged below; one that is no plain data raises there
    else:
        if _MARK not in text:
            return text
    marks = 0

    def tagged(found: Any) -> dict[str, Any]:
        nonlocal marks
        marks += 1
        return _tagged(found)

    try:
        text = json.JSONEncoder(default=tagged, separators=(",", ":")).encode(value)
        if text.count(_MARK) == marks:
            return text
        # A string or key of the value begins with `$`; only then the whole value has to be walked.
        return json.dumps(_escaped(value), separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise ProcessError(f"no plain data: {error}", hint=_HINT) from error


def loads(text: str | bytes) -> Any:
    """Return the value of a text that `dumps` wrote.

    Raises:
        ProcessError: the text is no such JSON.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, ArithmeticError, RecursionError, TypeError) as error:
        raise ProcessError(f"{text[:80]!r} is no plain form: {error}") from error


_HINT: Final = "state is made of None, booleans, numbers, text, bytes, times, UUIDs, lists and dicts with text keys"


def _tagged(found: Any) -> dict[str, Any]:
    match found:
        case datetime():
            return {"$datetime": found.isoformat()}
        case date():
            return {"$date": found.isoformat()}
        case time():
            return {"$time": found.isoformat()}
        case timedelta():
            return {"$duration": [found.days, found.seconds, found.microseconds]}
        case Decimal():
            return {"$decimal": str(found)}
        case bytes():
            return {"$bytes": found.hex()}
        case UUID():
            return {"$uuid": found.hex}
    raise TypeError(f"{type(found).__name__} {str(found)[:60]!r}")


_READERS: Final[Mapping[str, Any]] = {
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$duration": lambda parts: timedelta(*parts),
    "$decimal": Decimal,
    "$bytes": bytes.fromhex,
    "$uuid": lambda digits: UUID(hex=str(digits)),
}


def _untagged(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        ((key, value),) = found.items()
        if key in _READERS:
            return _READERS[key](value)
    if any(key.startswith("$$") for key in found):
        return {key[1:] if key.startswith("$$") else key: value for key, value in found.items()}
    return found


_DECODER: Final = json.JSONDecoder(object_hook=_untagged)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            "$" + key if isinstance(key, str) and key.startswith("$") else key: _escaped(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return _tagged(value)
