"""The state of a product's own function: plain data as the function returned it, or data of an Avro schema.

Without a schema a row holds what the function returned. With one it holds that beside the number of the schema which it was
checked against: `[1, {"cents": 1200}]`. Every schema that states were written with is a row of its own, numbered in the order
in which the schemas came into force, so that newer code can read what older code stored: by Avro's schema resolution, from
each schema to the next.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from meshport.codec import Codec, ResolvingDecoder, codec_for
from meshport.compat.state import unreadable
from meshport.errors import ProcessError
from meshport.process.logic import lossless_json
from meshport.process.state.keys import opaque_state_key, state_schema_key, typed_state_key
from meshport.process.state.rows import KeyValueStore, StateRows
from meshport.schema import Schema

# Immutable, and unchanged by a round trip through JSON. Most states consist of them, and copy at a tenth of the cost.
_ATOMS: Final = frozenset({type(None), bool, int, float, str})


class FunctionStates(Protocol):
    """The states of a function, by the key of its group, over the rows of one partition."""

    def watch(self, rows: StateRows) -> None:
        """Load the schemas of a restored state."""
        ...

    def read(self, group: str, rows: KeyValueStore) -> Any:
        """Return a copy of the state of a group; None where there is none.

        Args:
            group: the values of its key, as JSON text.
            rows: the state.
        """
        ...

    def write(self, group: str, state: Any, rows: KeyValueStore) -> None:
        """Store the state of a group, or delete it where `state` is None."""
        ...


def states_for(schema: Schema | None) -> FunctionStates:
    """Return the states of a function that declares this schema for them, or none."""
    return OpaqueStates() if schema is None else TypedStates(schema)


class OpaqueStates:
    """States that only the function itself interprets."""

    def watch(self, rows: StateRows) -> None:
        """See `FunctionStates`; there is nothing to load."""

    def read(self, group: str, rows: KeyValueStore) -> Any:
        """See `FunctionStates`; a state that was stored with a schema is returned as it was stored."""
        state = rows.get(opaque_state_key(group))
        if state is None and (typed := rows.get(typed_state_key(group))) is not None:
            state = typed[1]
        return None if state is None else _copy(state)

    def write(self, group: str, state: Any, rows: KeyValueStore) -> None:
        """See `FunctionStates`.

        Raises:
            ProcessError: the state is not plain data.
        """
        typed = typed_state_key(group)
        if rows.get(typed) is not None:
            rows.put(typed, None)
        rows.put(opaque_state_key(group), None if state is None else _copy(state))


class _Migration(NamedTuple):
    """Reads states of one schema as states of the next."""

    writer: Codec
    reader: ResolvingDecoder


class TypedStates:
    """States of an Avro schema.

    Args:
        schema: of the states that the function takes and returns.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._codec = codec_for(schema)
        self._known: list[Schema] = []
        self._number = 0
        self._migrations: dict[int, _Migration] = {}

    def watch(self, rows: StateRows) -> None:
        """See `FunctionStates`.

        Raises:
            ProcessError: states of the newest stored schema cannot be read with this one.
        """
        self._known = []
        while (text := rows.get(state_schema_key(len(self._known)))) is not None:
            self._known.append(Schema(text))
        if not self._known or self._known[-1].fingerprint != self._schema.fingerprint:
            if self._known:
                self._refuse_unreadable(self._known[-1])
            self._known.append(self._schema)
        self._number = len(self._known) - 1

    def read(self, group: str, rows: KeyValueStore) -> Any:
        """See `FunctionStates`; a state of an older schema is resolved, one that was stored without a schema is checked.

        Raises:
            EncodeError: the state was stored without a schema, and does not fit this one.
        """
        row = rows.get(typed_state_key(group))
        if row is None:
            opaque = rows.get(opaque_state_key(group))
            return None if opaque is None else self._checked(opaque)
        number, state = row
        if number == self._number:
            return _copy(state)
        for each in range(number, self._number):
            migration = self._migration(each)
            state = migration.reader.decode(migration.writer.encode(state), 0)
        return state

    def write(self, group: str, state: Any, rows: KeyValueStore) -> None:
        """See `FunctionStates`.

        Raises:
            EncodeError: the state does not fit the schema.
        """
        key, opaque = typed_state_key(group), opaque_state_key(group)
        if rows.get(opaque) is not None:
            rows.put(opaque, None)
        if state is None:
            rows.put(key, None)
            return
        schema = state_schema_key(self._number)
        if rows.get(schema) is None:
            rows.put(schema, self._schema.text)
        rows.put(key, [self._number, self._checked(state)])

    def _checked(self, state: Any) -> Any:
        """Return the state as the schema has it, defaults filled in, sharing nothing with the argument."""
        return self._codec.decode(self._codec.encode(state))

    def _migration(self, number: int) -> _Migration:
        found = self._migrations.get(number)
        if found is None:
            writer = self._known[number]
            found = _Migration(codec_for(writer), ResolvingDecoder(writer, self._known[number + 1]))
            self._migrations[number] = found
        return found

    def _refuse_unreadable(self, stored: Schema) -> None:
        found = next(unreadable(self._schema, stored), None)
        if found is not None:
            at = f" at {found.found.path}" if found.found.path else ""
            raise ProcessError(
                f"the stored state{at} cannot be read with the schema that `apply` declares: {found.message}",
                hint="give a new field a default and keep the type of the others, or rebuild the product into a new "
                "generation; `meshport gate check` reports it before a processor starts",
            )


def _copy(state: Any) -> Any:
    """Return the state as it would come back from the changelog, sharing nothing with the argument."""
    kind = type(state)
    if kind in _ATOMS:
        return state
    if kind is list and _ATOMS.issuperset(map(type, state)):
        return state.copy()
    if kind is dict and _ATOMS.issuperset(map(type, state.values())) and all(type(key) is str for key in state):
        return state.copy()
    return lossless_json.loads(lossless_json.dumps(state))
