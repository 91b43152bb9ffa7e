"""What a port promises of its record keys: their fields, their bytes, and that every event has one.

`meshport.ports.publisher.record_key` makes the text of a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshport.codec.logical import kind_of
from meshport.compat.comparison import Comparison
from meshport.compat.contract import Change, Contract, Found
from meshport.compat.finding import Direction, Part, RollOut
from meshport.compat.forms import Form, brief, form_of, named_types, type_at
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.advice import WAIVE, new_major
from meshport.schema import Schema

_CONTRACT: Final = (Direction.CONTRACT,)
# An enum is written as its symbol, an integer in digits, a fixed in hexadecimal.
_WRITTEN_ALIKE: Final = {"enum": "string", "int": "long", "fixed": "bytes"}


def key_changed(change: Change) -> Iterator[Found]:
    """The record key consists of other fields, or of the same fields in another order.

    The key decides the partition, and the partition the order: events of one thing follow each other only if they have the
    same key. Compaction (Kafka, "Log Compaction") and the readers' joins depend on it too. Stored events keep their old key
    for the lifetime of the topic. If new events have another key, the old and the new events of one thing are in two
    partitions without an order between them, and a compacted topic keeps both for ever. No reader and no waiver can correct
    that.

    Keep the key, and publish the port with the new key as a new major beside this one.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.key_fields, after.port.key_fields
    if was != now:
        yield Found(
            "key",
            f"the record key was {_key(was)} and would be {_key(now)}: events of one key would leave their partition",
            list(was) or None,
            list(now) or None,
            f"keep `{_key_line(was)}`; with another key {new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def key_schema(change: Change) -> Iterator[Found]:
    """A field of the record key changes to a type whose values have other bytes in the key.

    The key is text made from the field's value: a string or an enum's symbol as it is, integers in digits, bytes in
    hexadecimal, times in ISO 8601, decimals with the digits of their scale, UUIDs in lower case. A promotion that Avro allows
    can change the text of a value: the int `5` gives the key `5`, the double `5.0`; the string `ab` gives `ab`, as bytes
    `6162`. Equal keys with different bytes go to different partitions, and compaction keeps both. Types with the same text
    (int and long, string and enum, bytes and fixed) can replace each other.

    Keep the key field's type, and add a field of the new type beside it. The rule can be waived, since the bytes of the
    actual values may not differ: a string that only ever held lower-case UUIDs may become a `uuid`.
    """
    if (after := change.after) is None:
        return
    for name in _shared_key(change.before, after):
        was, now = type_at(change.before.schema.form, name), type_at(after.schema.form, name)
        if was is None or now is None or _written(change.before.schema, was) == _written(after.schema, now):
            continue
        yield Found(
            name,
            f"the key field {name!r} was {_type_words(was)} and would be {_type_words(now)}: the same key would have other bytes",
            brief(was),
            brief(now),
            f"keep the type of {name!r} and add a field beside it, such as "
            f"{Comparison(after.schema, change.before.schema, Direction.BACKWARD).unused_name(name)!r}, with a default; with "
            f"another key {new_major(change.before)}; where the values' bytes are the same, {WAIVE}",
            RollOut.READERS,
        )


def key_nullable(change: Change) -> Iterator[Found]:
    """A field of the record key becomes nullable.

    Kafka spreads records without a key over all partitions, so that they have no order, and refuses them on compacted topics
    (INVALID_RECORD). Meshport's publisher therefore refuses an event whose key field is null; it would fail at the first such
    event, not earlier.

    Keep the key field required. If its value really can be missing, key the port by a field that is always present, as a new
    major.
    """
    if (after := change.after) is None:
        return
    for name in _shared_key(change.before, after):
        was, now = type_at(change.before.schema.form, name), type_at(after.schema.form, name)
        if was is None or now is None or _nullable(was) or not _nullable(now):
            continue
        compacted = "a compacted topic refuses" if after.port.cleanup == "compact" else "no partition is right for"
        yield Found(
            name,
            f"the key field {name!r} may be null, and {compacted} an event without a key",
            brief(was),
            brief(now),
            f'take "null" out of the type of {name!r}; with another key {new_major(change.before)}',
            RollOut.ANY,
        )


RULES: Final = (
    Rule("KEY_CHANGED", "the record key keeps its fields", _CONTRACT, Scope.CHANGE, key_changed, waivable=False),
    Rule("KEY_SCHEMA", "the values of a key keep their bytes", _CONTRACT, Scope.CHANGE, key_schema),
    Rule("KEY_NULLABLE", "every event of a keyed port has a key", _CONTRACT, Scope.CHANGE, key_nullable),
)


def _key(fields: tuple[str, ...]) -> str:
    return repr("|".join(fields)) if fields else "none"


def _key_line(fields: tuple[str, ...]) -> str:
    return f"key: {fields[0]}" if len(fields) == 1 else f"key: [{', '.join(fields)}]" if fields else "key: null"


def _shared_key(before: Contract, after: Contract) -> Iterator[str]:
    """Yield the fields that are in the key before and after."""
    return (name for name in before.port.key_fields if name in after.port.key_fields)


def _branches(form: Form) -> list[Any]:
    return list(form["branches"]) if form["type"] == "union" else [form]


def _nullable(form: Form) -> bool:
    return any(branch in ("null", {"type": "null"}) for branch in _branches(form))


def _written(schema: Schema, form: Form) -> frozenset[str]:
    """Return the forms in which a key field's values are written in the key; null is not written."""
    named = named_types(schema.form)
    forms = [form_of(branch, named) for branch in _branches(form)]
    return frozenset(_key_form(each) for each in forms if each["type"] != "null")


def _key_form(form: Form) -> str:
    kind = kind_of(form)
    if kind.endswith("-decimal"):
        return f"decimal of scale {form.get('scale', 0)}"
    return _WRITTEN_ALIKE.get(kind, kind)


def _type_words(form: Form) -> str:
    words = brief(form)
    return " or ".join(map(str, words)) if isinstance(words, list) else f"of type {words}"
