"""The state of a product's own function: plain data as the function left it, or of a schema that outlives the function.

Without a schema a row holds what the function returned. With one it holds that beside the number of the schema that it
was checked against: `[1, {"cents": 1200}]`; the schemas that were ever in force are rows too, `t0`, `t1` ... in order. So
new code reads what older code stored: by Avro's resolution, from each schema to the next.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from meshport.codec import Codec, ResolvingDecoder, codec_for
from meshport.compat.state import unreadable
from meshport.errors import ProcessError
from meshport.process.logic import lossless_json
from meshport.process.state.rows import StateRows
from meshport.schema import Schema

# What never changes, and is the same after it was plain text; most state is made of it, at a tenth of the cost.
_ATOMS: Final = frozenset({type(None), bool, int, float, str})

_OPAQUE: Final = "a:"
_CHECKED: Final = "b:"


class KeyValueStore(Protocol):
    """Where states are kept: the rows of a partition, or what stands in for them."""

    def get(self, key: str) -> Any | None:
        """The row's value, or None where there is no such row."""
        ...

    def put(self, key: str, value: Any | None) -> None:
        """Set a row; None removes it."""
        ...


class FunctionStates(Protocol):
    """The states of a function, over the rows of one partition."""

    def watch(self, rows: StateRows) -> None:
        """Take up the rows of a restored state."""
        ...

    def read(self, key: str, rows: KeyValueStore) -> Any:
        """The state of a key, which the caller may change; None where there is none."""
        ...

    def write(self, key: str, state: Any, rows: KeyValueStore) -> None:
        """Keep a state, or forget it where it is None."""
        ...


def states_for(schema: Schema | None) -> FunctionStates:
    """The states of a function whose state has a schema, or none."""
    return UntypedStates() if schema is None else SchemaStates(schema)


class UntypedStates:
    """States that only the function reads."""

    def watch(self, rows: StateRows) -> None:
        """Nothing is known beforehand."""

    def read(self, key: str, rows: KeyValueStore) -> Any:
        """See `FunctionStates`; what was kept under a schema is given as it was stored."""
        state = rows.get(_OPAQUE + key)
        if state is None and (checked := rows.get(_CHECKED + key)) is not None:
            state = checked[1]
        return None if state is None else _copy(state)

    def write(self, key: str, state: Any, rows: KeyValueStore) -> None:
        """See `FunctionStates`.

        Raises:
            ProcessError: it is no plain data.
        """
        if rows.get(_CHECKED + key) is not None:
            rows.put(_CHECKED + key, None)
        rows.put(_OPAQUE + key, None if state is None else _copy(state))


class _Step(NamedTuple):
    """From the states of one schema to those of the next."""

    writer: Codec
    reader: ResolvingDecoder


class SchemaStates:
    """States of a schema.

    Args:
        schema: of what the function takes and returns.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._codec = codec_for(schema)
        self._known: list[Schema] = []
        self._number = 0
        self._steps: dict[int, _Step] = {}

    def watch(self, rows: StateRows) -> None:
        """Take up the schemas of a restored state.

        Raises:
            ProcessError: what the newest of them wrote cannot be read.
        """
        self._known = []
        while (text := rows.get(f"t{len(self._known)}")) is not None:
            self._known.append(Schema(text))
        if not self._known or self._known[-1].fingerprint != self._schema.fingerprint:
            if self._known:
                self._refuse_unreadable(self._known[-1])
            self._known.append(self._schema)
        self._number = len(self._known) - 1

    def read(self, key: str, rows: KeyValueStore) -> Any:
        """See `FunctionStates`; one of an older schema is resolved, one from before there was any is checked.

        Raises:
            EncodeError: it was stored when no schema was declared, and does not fit this one.
        """
        row = rows.get(_CHECKED + key)
        if row is None:
            opaque = rows.get(_OPAQUE + key)
            return None if opaque is None else self._checked(opaque)
        number, state = row
        if number == self._number:
            return _copy(state)
        for each in range(number, self._number):
            step = self._step(each)
            state = step.reader.decode(step.writer.encode(state), 0)
        return state

    def write(self, key: str, state: Any, rows: KeyValueStore) -> None:
        """See `FunctionStates`.

        Raises:
            EncodeError: it does not fit the schema.
        """
        if rows.get(_OPAQUE + key) is not None:
            rows.put(_OPAQUE + key, None)
        if state is None:
            rows.put(_CHECKED + key, None)
            return
        name = f"t{self._number}"
        if rows.get(name) is None:
            rows.put(name, self._schema.text)
        rows.put(_CHECKED + key, [self._number, self._checked(state)])

    def _checked(self, state: Any) -> Any:
        """The state as the schema has it, defaults filled in; nothing is shared with what was given."""
        return self._codec.decode(self._codec.encode(state))

    def _step(self, number: int) -> _Step:
        step = self._steps.get(number)
        if step is None:
            writer = self._known[number]
            step = self._steps[number] = _Step(codec_for(writer), ResolvingDecoder(writer, self._known[number + 1]))
        return step

    def _refuse_unreadable(self, stored: Schema) -> None:
        found = next(unreadable(self._schema, stored), None)
        if found is not None:
            at = f" at {found.found.path}" if found.found.path else ""
            raise ProcessError(
                f"the stored state{at} cannot be read with the schema that `apply` declares: {found.message}",
                hint="give a new field a default and keep the type of the others, or rebuild the product into a new "
                "generation; `meshport gate check` tells it before a processor starts",
            )


def _copy(state: Any) -> Any:
    """The state as it would come back from the changelog, nothing of it shared with what was given."""
    kind = type(state)
    if kind in _ATOMS:
        return state
    if kind is list and _ATOMS.issuperset(map(type, state)):
        return state.copy()
    if kind is dict and _ATOMS.issuperset(map(type, state.values())) and all(type(key) is str for key in state):
        return state.copy()
    return lossless_json.loads(lossless_json.dumps(state))
