"""The bounds of a replay on a command line: times and offsets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from meshport.ports.replay import Bound, Offsets
from meshport.rfc3339 import loose_instant

FromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="T",
        help="The first time or offset:N of the replay, or one of each; by default the beginning of the history.",
    ),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="T",
        help="The first time or offset:N after the replay, or one of each; by default the end as it is now.",
    ),
]


def bound_of(given: list[str] | None, flag: str) -> Bound:
    """Return the bound that the values of an option name.

    Args:
        given: a time, or offsets, or one of each; None for no bound.
        flag: the option, for errors.

    Raises:
        typer.BadParameter: a value is neither, or two are of a kind.
    """
    bounds = [_one_bound(each, flag) for each in given or ()]
    times = [each for each in bounds if isinstance(each, datetime)]
    offsets = [each for each in bounds if isinstance(each, Offsets)]
    if len(times) > 1 or len(offsets) > 1:
        raise typer.BadParameter("two of a kind; give a time and offsets at most", param_hint=flag)
    if times and offsets:
        return times[0], offsets[0]
    return bounds[0] if bounds else None


def _one_bound(text: str, flag: str) -> datetime | Offsets:
    try:
        if text.startswith("offset:"):
            return _offsets(text.removeprefix("offset:"))
        return loose_instant(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; or offset:N, offset:P=N,P=N", param_hint=flag) from error


def _offsets(text: str) -> Offsets:
    if text.isdecimal():
        return Offsets(every=int(text))
    each: dict[int, int] = {}
    for pair in text.split(","):
        partition, equals, offset = pair.partition("=")
        if not (equals and partition.strip().isdecimal() and offset.strip().isdecimal()):
            raise ValueError(f"{pair!r} is no offset")
        each[int(partition)] = int(offset)
    return Offsets(each=each)
