"""The keys of the state: they are stored, so their text is fixed; and no two kinds of row can have the same key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.process.logic import lossless_json
from meshport.process.state import keys
from meshport.process.state.keys import JoinSide

NUMBERS = st.integers(0, 2**63 - 1)
STARTS = st.none() | st.integers(-(2**62), 2**62)
GROUPS = st.lists(st.none() | st.booleans() | st.integers() | st.text(), min_size=1, max_size=3).map(
    lossless_json.dumps
)
RECORD_KEYS = st.binary(max_size=9).map(bytes.hex)

# Of each kind: the function that makes a key, and what its arguments are drawn from.
KINDS: dict[str, tuple[Callable[..., str], tuple[st.SearchStrategy[Any], ...]]] = {
    "window": (keys.window_key, (STARTS, GROUPS)),
    "window of a table": (keys.table_window_key, (STARTS, GROUPS)),
    "sessions": (keys.sessions_key, (GROUPS,)),
    "state without a schema": (keys.opaque_state_key, (GROUPS,)),
    "state with a schema": (keys.typed_state_key, (GROUPS,)),
    "schema": (keys.state_schema_key, (NUMBERS,)),
    "de-duplication": (lambda number, identity: keys.deduplication_prefix(number) + identity, (NUMBERS, GROUPS)),
    "contributions": (keys.contributions_key, (RECORD_KEYS,)),
    "record of a join": (keys.join_key, (st.sampled_from(JoinSide), NUMBERS, NUMBERS, NUMBERS)),
    "quarantine block": (keys.quarantine_block_key, (NUMBERS, st.integers(-1, 2**31), NUMBERS)),
    "quarantine slot": (keys.quarantine_slot_key, (RECORD_KEYS | GROUPS,)),
}
DRAWN = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), st.tuples(*KINDS[kind][1])))


def key_of(kind: str, arguments: tuple[Any, ...]) -> str:
    """The key of a kind; of a block of offsets, that of its first one."""
    return KINDS[kind][0](*arguments)


def identity(kind: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a key stands for: offsets of one block share a row."""
    if kind == "quarantine block":
        source, number, offset = arguments
        return kind, source, number, offset // keys.OFFSETS_PER_BLOCK
    return (kind, *arguments)


@given(DRAWN, DRAWN)
def test_no_two_rows_have_the_same_key(one: tuple[str, tuple[Any, ...]], other: tuple[str, tuple[Any, ...]]) -> None:
    """Two keys are equal only if kind and arguments are; none is equal to the checkpoint's."""
    assert (key_of(*one) == key_of(*other)) == (identity(*one) == identity(*other))
    assert keys.CHECKPOINT_KEY not in {key_of(*one).encode(), key_of(*other).encode()}


@given(st.data())
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_key_is_parsed_to_what_it_was_made_of(kind: str, data: st.DataObject) -> None:
    """The parts of a key are its kind and the arguments that it was made of."""
    arguments = data.draw(st.tuples(*KINDS[kind][1]))
    key = key_of(kind, arguments)
    parsed = keys.parse(key)
    assert parsed.kind == key[0]
    match kind:
        case "window" | "window of a table" | "de-duplication":
            assert (parsed.number, parsed.rest) == arguments
            if parsed.number is not None and kind == "window":
                assert keys.split_window_key(key) == arguments
        case "schema":
            assert parsed == (keys.STATE_SCHEMA, *arguments, "")
        case "record of a join":
            side, *position = arguments
            assert parsed == (side.value, None, "-".join(map(str, position)))
        case "quarantine block":
            _, *rest = identity(kind, arguments)
            assert parsed == (keys.QUARANTINE, None, ":".join(map(str, rest)))
        case _:
            assert parsed == (key[0], None, *arguments)


@given(st.integers(-(2**62), 2**62), GROUPS, DRAWN)
def test_the_name_of_a_session_is_no_key(start: int, group: str, drawn: tuple[str, tuple[Any, ...]]) -> None:
    """The name of a closed session, from which ids are made, is unlike the key of every row."""
    assert keys.session_name(start, group) != key_of(*drawn)


@pytest.mark.parametrize("text", ["", "x:1", "checkpoint", "g", "t", "t1:x", "gx:[1]", ":", "q"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """Text that no row has as its key is not parsed."""
    with pytest.raises(ValueError, match=r"no key of a state row|invalid literal"):
        keys.parse(text)


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        (keys.window_key(None, '["u1"]'), 'g:["u1"]'),
        (keys.window_key(3_600_000_000, '["u1"]'), 'g3600000000:["u1"]'),
        (keys.table_window_key(None, '["u1"]'), 'u:["u1"]'),
        (keys.table_window_key(0, '["u1"]'), 'u0:["u1"]'),
        (keys.sessions_key('["u1"]'), 's:["u1"]'),
        (keys.session_name(7, '["u1"]'), 's7:["u1"]'),
        (keys.opaque_state_key('["u1"]'), 'a:["u1"]'),
        (keys.typed_state_key('["u1"]'), 'b:["u1"]'),
        (keys.state_schema_key(0), "t0"),
        (keys.deduplication_prefix(1) + '["a","b",0]', 'd1:["a","b",0]'),
        (keys.contributions_key("6b31"), "c:6b31"),
        (keys.join_key(JoinSide.LEFT, 1, 2, 3), "l:1-2-3"),
        (keys.join_key(JoinSide.RIGHT, 1, 2, 3), "r:1-2-3"),
        (keys.quarantine_block_key(1, -1, 8192), "q:1:-1:2"),
        (keys.quarantine_slot_key("6b31"), "q:6b31"),
        (keys.CHECKPOINT_KEY.decode(), "checkpoint"),
    ],
)
def test_keys_are_as_they_are_stored(key: str, stored: str) -> None:
    """Changelogs that exist have these keys; none of them may change."""
    assert key == stored
