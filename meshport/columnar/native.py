"""The native library behind a door: looked for once, tested before it is trusted, its panics turned into errors.

pyruhvro has one author and few releases, and what Meshport asks of it (text that is no UTF-8 carried through, every bit
of a NaN kept) is written in no documentation of it. So it is pinned, and the first use reads and writes some fixed
payloads: a build that treats one of them otherwise is not used.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

# The release that the differential tests in `tests/columnar` ran against.
PYRUHVRO: Final = "0.4.0"
_NEEDED: Final = ("pyruhvro", "pyarrow", "numpy")


class Refused(ValueError):  # noqa: N818 - never leaves the package: the bounded decoder says what is wrong
    """Raised for payloads that are not to be trusted as the native library read them, if it did."""


def unavailable() -> str | None:
    """Why the native library cannot be used in this process; None where it can. Tried once, then remembered."""
    why, tried_in = _tried()
    if why is None and tried_in != os.getpid():
        return "this process was forked from one that used pyruhvro: start workers by `spawn`"
    return why


def forked() -> bool:
    """Whether this process was forked from the one that used the library: its threads are gone, a call would not end."""
    return _tried()[1] != os.getpid()


@lru_cache(maxsize=1)
def _tried() -> tuple[str | None, int]:
    """What is wrong with the library, and the process that it was tried in, where its threads are from then on."""
    return _wrong(), os.getpid()


def _wrong() -> str | None:
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            return f"{name} is not installed"
    try:
        found = version("pyruhvro")
    except PackageNotFoundError:
        return "pyruhvro is not installed"
    if found != PYRUHVRO:
        return f"pyruhvro is {found}, and only {PYRUHVRO} is proven"
    failed = self_test(importlib.import_module("pyruhvro"))
    return f"pyruhvro {found} fails its self-test: {failed}" if failed else None


def read(bodies: Sequence[bytes], wire: str) -> Any:
    """Payloads as a record batch in the types of the wire.

    Raises:
        Refused: the library refused one of them, or panicked.
    """
    return _call(importlib.import_module("pyruhvro").deserialize_array, bodies, wire)


def write(batch: Any, wire: str) -> Any:
    """The payloads of a record batch as a binary array.

    Raises:
        Refused: the library refused the batch, or panicked.
    """
    return _call(importlib.import_module("pyruhvro").serialize_record_batch, batch, wire, 1)[0]


def _call(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise Refused(str(error)[:200]) from error
    except BaseException as error:
        # A panic of Rust is no Exception, so that it ends programs; here it is a refusal like another.
        if type(error).__name__ != "PanicException":
            raise
        raise Refused(f"panic: {error}"[:200]) from error


_FIELDS: Final = (
    "string",
    "double",
    "float",
    "long",
    "boolean",
    ["null", "string"],
    {"type": "array", "items": "long"},
    {"type": "map", "values": "double"},
    {"type": "enum", "name": "E", "symbols": ["A", "B"]},
)
_WIRE: Final = json.dumps(
    {"type": "record", "name": "R", "fields": [{"name": f"f{at}", "type": form} for at, form in enumerate(_FIELDS)]}
)
_PAYLOADS: Final = (
    # no UTF-8; signalling NaNs; the smallest long; lists; the second symbol
    b"\x04\xff\xfe" + b"\1\0\0\0\0\0\xf0\x7f" + b"\1\0\x80\x7f" + b"\xff" * 9 + b"\1" + b"\1" + b"\2\2a"
    b"\4\2\4\0" + b"\2\2k" + b"\0" * 8 + b"\0" + b"\2",
    b"\0" + bytes(8) + bytes(4) + b"\0" + b"\0" + b"\0" + b"\0" + b"\0" + b"\0",
)
_TEXT: Final = json.dumps({"type": "record", "name": "R", "fields": [{"name": "f0", "type": "string"}]})
_REFUSED: Final = {
    "an empty payload": b"",
    "a negative length": b"\1",
    "a huge length": b"\xfe\xff\xff\xff\x0f",
    "a cut": b"\4a",
}


def self_test(library: Any) -> str | None:
    """What a build of the library does otherwise than it should; None if nothing."""
    try:
        batch = _call(library.deserialize_array, list(_PAYLOADS), _WIRE)
        written = _call(library.serialize_record_batch, batch, _WIRE, 1)[0].to_pylist()
        number, symbols = batch.column(3).to_pylist(), batch.column(8).to_pylist()
    except (Refused, AttributeError) as error:
        return str(error)
    if written != list(_PAYLOADS):
        return "it writes other bytes than it read"
    if number != [-(2**63), 0] or symbols != ["B", "A"]:
        return f"it reads {number} and {symbols}"
    for what, payload in _REFUSED.items():
        try:
            _call(library.deserialize_array, [payload], _TEXT)
        except Refused:
            continue
        return f"it reads {what}"
    return None
