"""Which events of its range a replay job takes: by key, by type, and by an expression over their data."""

from __future__ import annotations

from collections.abc import Sequence

from meshport.errors import ReplayError
from meshport.event import Event
from meshport.expression.expression import Expression
from meshport.schema import Schema


class Selection:
    """Selects events.

    Args:
        keys: the record keys as text, one of which an event has; empty for all.
        types: the CloudEvents types, one of which an event has; empty for all.
        where: an expression of the process language over the data; None for all. A tombstone has no data and is left out.

    Raises:
        ProcessError: the text is no such expression.
    """

    def __init__(self, keys: Sequence[str] = (), types: Sequence[str] = (), where: str | None = None) -> None:
        self._keys = frozenset(each.encode() for each in keys)
        self._types = frozenset(types)
        self._where = None if where is None else Expression(where)

    def refuse_unknown(self, schema: Schema) -> None:
        """Check that the expression reads fields that the contract has.

        Raises:
            ProcessError: it reads another one.
        """
        if self._where is not None:
            self._where.refuse_unknown([each["name"] for each in schema.form.get("fields", ())])

    def takes(self, event: Event) -> bool:
        """Whether an event is selected.

        Raises:
            ReplayError: the expression cannot be computed for its data.
        """
        if self._keys and event.key not in self._keys:
            return False
        if self._types and event.type not in self._types:
            return False
        if self._where is None:
            return True
        if event.data is None:
            return False
        try:
            return bool(self._where(event.data))
        except (KeyError, TypeError, ArithmeticError) as error:
            raise ReplayError(
                f"{self._where.text!r} cannot be computed for {event.topic}[{event.partition}]@{event.offset}: {error!r}",
                topic=event.topic,
                partition=event.partition,
                offset=event.offset,
                hint="`coalesce(field, 0)` replaces a null; a field that an older schema lacks needs a default in the reader's",
            ) from error
