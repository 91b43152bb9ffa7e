"""The only importer of the native library pyruhvro: tests it at the first use, and turns its panics into errors.

pyruhvro has one author and few releases, and its documentation does not promise what Meshport relies on: text that is not
UTF-8 passes unchanged, and all bits of a NaN are kept. So its version is pinned, and the first use encodes and decodes fixed
payloads. A build that differs on one of them is not used.
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


class Refused(ValueError):  # noqa: N818 - never leaves the package: the bounded decoder raises the final error
    """Raised for payloads that the native library refuses, or that fail the checks on its result."""


def unavailable() -> str | None:
    """Return None if the native library can be used in this process, else the reason why not; cached."""
    why, tried_in = _tried()
    if why is None and tried_in != os.getpid():
        return "this process was forked from one that used pyruhvro: start workers by `spawn`"
    return why


def forked() -> bool:
    """Return whether this process was forked from one that used the library. Its threads are gone, so a call would not return."""
    return _tried()[1] != os.getpid()


@lru_cache(maxsize=1)
def _tried() -> tuple[str | None, int]:
    """Return the reason against the library, and the id of the process that tried it and has its threads."""
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
    """Return payloads as a record batch of wire columns.

    Raises:
        Refused: the library refused one of them, or panicked.
    """
    return _call(importlib.import_module("pyruhvro").deserialize_array, bodies, wire)


def write(batch: Any, wire: str) -> Any:
    """Return the payloads of a record batch as a binary array.

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
        # A panic of Rust is a BaseException and would end the program; here it counts as a refusal.
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
    # invalid UTF-8; signalling NaNs; the smallest long; lists; the second symbol
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
    """Return the first difference of a build of the library from what Meshport relies on, or None."""
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
