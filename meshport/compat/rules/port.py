"""What an output port promises around its schema: the record key, the time, the topic, the CloudEvents type.

A rule is not waivable where the mesh itself would be wrong afterwards, whatever its readers think of it: keys that
Kafka has placed already, and addresses that lead to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshport.codec.logical import kind_of
from meshport.compat.comparison import Form, brief, form_of, named_types, type_at
from meshport.compat.contract import Change, Contract, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope
from meshport.product import Compatibility, OutputPort, Protection, Status
from meshport.product.duration import format_duration
from meshport.schema import Schema

_CONTRACT: Final = (Direction.CONTRACT,)
_BACK, _BACK_ALL, _FORTH, _FORTH_ALL = "backward", "backward, all", "forward", "forward, all"
_HELD: Final = {
    Compatibility.NONE: frozenset[str](),
    Compatibility.BACKWARD: frozenset({_BACK}),
    Compatibility.BACKWARD_TRANSITIVE: frozenset({_BACK, _BACK_ALL}),
    Compatibility.FORWARD: frozenset({_FORTH}),
    Compatibility.FORWARD_TRANSITIVE: frozenset({_FORTH, _FORTH_ALL}),
    Compatibility.FULL: frozenset({_BACK, _FORTH}),
    Compatibility.FULL_TRANSITIVE: frozenset({_BACK, _BACK_ALL, _FORTH, _FORTH_ALL}),
}
# How `meshport.publish.record_key` writes them: an enum as its symbol, a whole number in digits, a fixed in hexadecimal.
_WRITTEN_ALIKE: Final = {"enum": "string", "int": "long", "fixed": "bytes"}


def at_least(level: Compatibility, other: Compatibility) -> bool:
    """Whether a level promises all that another one does; of BACKWARD and FORWARD neither does."""
    return _HELD[level] >= _HELD[other]


def key_changed(change: Change) -> Iterator[Found]:
    """The record key is made of other fields, or of the same ones in another order.

    The key decides the partition, and the partition the order: events of one thing follow each other only as long as
    they have one key. It also says what compaction replaces (Kafka, "Log Compaction"), and by what readers join. What is
    stored keeps its old key for as long as the topic lives: with another key for new events, the old and the new of one
    thing lie in two partitions, in no order, and a compacted topic keeps both for ever. No reader can put that right,
    and no waiver can either.

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
            f"keep `{_key_line(was)}`; with another key {_new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def key_schema(change: Change) -> Iterator[Found]:
    """A field of the record key is of a type whose values are written otherwise in the key.

    The key is text made from the field's value: a string or an enum's symbol as it is, whole numbers in digits, bytes in
    hexadecimal, times in ISO 8601, decimals with the digits of their scale, UUIDs in small letters. A promotion that
    Avro allows may write the same value in other bytes: the int `5` is the key `5`, the double is `5.0`; the string `ab`
    is `ab`, as bytes it is `6162`. Equal keys in different bytes go to different partitions and compaction keeps both.
    Types that are written alike (int and long, string and enum, bytes and fixed) may take each other's place.

    Keep the key field's type, and add a field of the new type beside it. It can be waived, since the values decide
    whether any bytes differ: a string that only ever held UUIDs in small letters may become a `uuid`.
    """
    if (after := change.after) is None:
        return
    for name in _shared_key(change.before, after):
        was, now = type_at(change.before.schema.form, name), type_at(after.schema.form, name)
        if was is None or now is None or _written(change.before.schema, was) == _written(after.schema, now):
            continue
        yield Found(
            name,
            f"the key field {name!r} was {_told(was)} and would be {_told(now)}: the same key would have other bytes",
            brief(was),
            brief(now),
            f"keep the type of {name!r} and add a field beside it, such as {name + '_v2'!r}, with a default; with "
            f"another key {_new_major(change.before)}",
            RollOut.READERS,
        )


def key_nullable(change: Change) -> Iterator[Found]:
    """A field of the record key may be null, which it could not be before.

    Kafka spreads records without a key over all partitions, so that they have no order, and refuses them on compacted
    topics (INVALID_RECORD). Meshport's publisher therefore refuses an event whose key field is null: it would fail at
    the first such event, not before.

    Keep the key field required. If the value is really missing at times, it is no key: key the port by a field that is
    always there, as a new major.
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
            f'take "null" out of the type of {name!r}; with another key {_new_major(change.before)}',
            RollOut.ANY,
        )


def time_changed(change: Change) -> Iterator[Found]:
    """Another field says when the fact happened, or none does any more, or one does for the first time.

    `ce_time` is made from it. Readers put events into windows by it, tell late ones from it and replay from..to by it; no
    decoder notices that it means something else, so that figures change in silence. Without a time field it is the moment
    of publishing, which no repetition gives again.

    Keep `time`, and give the other moment as a field of its own; or publish a new major.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.time, after.port.time
    if was != now:
        told = [f"the field {name!r}" if name else "the moment of publishing" for name in (was, now)]
        keep = f"keep `time: {was}`" if was else "keep the port without `time`"
        yield Found(
            "time",
            f"the time of an event was {told[0]} and would be {told[1]}",
            was,
            now,
            f"{keep}, and leave the other moment an ordinary field; or {_new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def event_type(change: Change) -> Iterator[Found]:
    """The CloudEvents type of the port's events changed.

    Readers choose by `ce_type` which events are theirs (CloudEvents 1.0.2, "type": used for routing and policy
    enforcement). Those that know the old one only pass the new events by, without an error. Events that are stored keep
    the old type, so that a replay brings both.

    Write the old one out: `type: <old>`. If it has to change, teach the readers both first, or publish a new major.
    """
    after = change.after
    if after is None or after.product.address != change.before.product.address:  # EVENT_SOURCE tells all of that
        return
    was, now = change.before.product.event_type(change.before.port), after.product.event_type(after.port)
    if was != now:
        yield Found(
            "type",
            f"the events' CloudEvents type was {was!r} and would be {now!r}",
            was,
            now,
            f"write `type: {was}` at the port; or let every reader take both types first",
            RollOut.READERS,
            Part.PORT,
        )


def partitions(change: Change) -> Iterator[Found]:
    """The number of partitions changed.

    A key's partition is its hash modulo their number (Kafka's default partitioner). With more partitions, new events of
    a key go elsewhere than the stored ones: their order is lost, and joins of topics that were partitioned alike break.
    Fewer is nothing that Kafka can do (INVALID_PARTITIONS, KIP-195). The topic would be wrong whoever agreed, so that no
    waiver helps.

    Rebuild the product into a new generation with that number, or publish a new major.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.partitions, after.port.partitions
    if was != now:
        why = "keys would move to others" if now > was else "Kafka takes none away"
        yield Found(
            "partitions",
            f"the topic has {was} partitions and would have {now}: {why}",
            was,
            now,
            f"keep `partitions: {was}`; rebuild the product into a new generation, or {_new_major(change.before)}",
            RollOut.ANY,
            Part.PORT,
        )


def cleanup_policy(change: Change) -> Iterator[Found]:
    """Another cleanup policy: what the topic keeps is something else.

    With `compact`, Kafka removes all but the last event of each key: who reads facts finds no history, and cannot get it
    back. With `delete`, it removes what is older than the retention, rows of a table too: who reads a table misses every
    row that did not change lately.

    Keep the policy. Publish the other view as a port or product of its own; both can then be read.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.cleanup, after.port.cleanup
    if was != now:
        lost = (
            "all but the last event of each key"
            if now == "compact"
            else "rows that did not change within the retention"
        )
        yield Found(
            "cleanup",
            f"the cleanup policy was {was!r} and would be {now!r}: Kafka would remove {lost}",
            was,
            now,
            f"keep `cleanup: {was}` and publish the other view as another output port, or {_new_major(change.before)}",
            RollOut.READERS,
            Part.PORT,
        )


def tombstones(change: Change) -> Iterator[Found]:
    """The port becomes a table: events with a null value say that a row is no more.

    A reader of facts that meets its first null fails on it, or worse, skips it and keeps a row that is gone. It is a
    warning, since CLEANUP_POLICY refuses the same edit; whoever waives that one has this left to do.

    Let each reader handle an event without data first: remove the row of its key.
    """
    if (after := change.after) is None:
        return
    if change.before.port.cleanup == "delete" and after.port.cleanup == "compact":
        yield Found(
            "cleanup",
            "readers would meet events with a null value for the first time",
            "delete",
            "compact",
            "let the readers treat an event without data as the end of its key's row, before the first is published",
            RollOut.READERS,
            Part.PORT,
        )


def retention(change: Change) -> Iterator[Found]:
    """Events are kept for a shorter time.

    Kafka removes what is older as soon as the setting is applied, not only what is written from then on. A reader that
    was down for longer, or that builds itself from the beginning, misses events and is not told. It counts only where
    time removes anything: on a compacted topic Kafka does not look at `retention.ms` (topic configuration,
    `cleanup.policy`).

    Keep the retention, or agree on the shorter one with the readers and let them take what they need before.
    """
    after = change.after
    if after is None or change.before.port.cleanup == after.port.cleanup == "compact":
        return
    was, now = change.before.port.retention, after.port.retention
    if now is not None and (was is None or now < was):
        told = "forever" if was is None else format_duration(was)
        yield Found(
            "retention",
            f"events were kept {'' if was is None else 'for '}{told} and would be kept for {format_duration(now)}",
            told,
            format_duration(now),
            f"keep `retention: {told}`",
            RollOut.READERS,
            Part.PORT,
        )


def compatibility_lowered(change: Change) -> Iterator[Found]:
    """The compatibility level promises less than it did.

    Readers rely on it when they choose to follow a port without looking at each change. A level that is lowered today
    lets tomorrow's change break them: this is the edit that comes before the breaking one. Levels are ordered by what
    they hold: a direction, and whether to all versions or the newest; of BACKWARD and FORWARD neither holds what the
    other does, so that going from one to the other lowers it too. A change of archetype counts, where the level is its
    default.

    Keep the level, written out as `compatibility:` where it came from the archetype.
    """
    if (after := change.after) is None:
        return
    was, now = (each.product.compatibility(each.port) for each in (change.before, after))
    if not at_least(now, was):
        yield Found(
            "compatibility",
            f"the compatibility level was {str(was)!r} and would be {str(now)!r}, which does not hold all that it promised",
            was.value,
            now.value,
            f"write `compatibility: {was}` at the port",
            RollOut.ANY,
            Part.PORT,
        )


def protection_lowered(change: Change) -> Iterator[Found]:
    """The port would protect its declared readers only, where it protected everyone.

    From then on a change passes that breaks a reader whom the mesh does not know: a job that subscribes by itself, a
    tool on the topic. They were promised otherwise.

    Keep `protects: everyone`, or ask whoever reads the topic to declare it among its input ports first:
    `meshport readers ADDRESS` and the topic's consumer groups say who is missing.
    """
    if (after := change.after) is None:
        return
    was, now = change.before.port.protects, after.port.protects
    if was is Protection.EVERYONE and now is not Protection.EVERYONE:
        yield Found(
            "protects",
            f"the port protected {was.value} and would protect {now.value} only",
            was.value,
            now.value,
            f"keep `protects: {was}`; or compare `meshport readers {change.before.address.key}` with the consumer groups of "
            "its topic, and let who is missing declare it first",
            RollOut.READERS,
            Part.PORT,
        )


def port_removed(change: Change) -> Iterator[Found]:
    """An output port, or one of its major lines, is gone from the descriptor. A port under another name is gone too.

    Its address would lead nowhere, while its topic, its subject and its readers are still there; an address is permanent.
    A line ends in the registry, which knows its readers and answers 410 with the successor from then on; no waiver can
    do that.

    Give readers a date and a place to go, retire the line once they have left, then take it out of the descriptor. The
    ports of a retired product may go.
    """
    before, product = change.before, change.product
    if change.after is not None or product is None or before.product.status is Status.RETIRED:
        return
    line = f"{before.port.name}@{before.port.major}"
    yield Found(
        "",
        f"the output port {line!r} is gone from the descriptor, and nobody has retired it",
        line,
        None,
        f"put it back; to end it, publish a higher major and a day with `deprecatedOn`, and when its readers have left, "
        f'POST /api/v1/dataproducts/{before.product.id}/retire {{"port": "{line}"}}',
        RollOut.READERS,
        Part.PORT,
    )


RULES: Final = (
    Rule("KEY_CHANGED", "the record key keeps its fields", _CONTRACT, Scope.CHANGE, key_changed, waivable=False),
    Rule("KEY_SCHEMA", "the values of a key keep their bytes", _CONTRACT, Scope.CHANGE, key_schema),
    Rule("KEY_NULLABLE", "every event of a keyed port has a key", _CONTRACT, Scope.CHANGE, key_nullable),
    Rule("TIME_CHANGED", "the time of an event means what it meant", _CONTRACT, Scope.CHANGE, time_changed),
    Rule("EVENT_TYPE", "events keep their CloudEvents type", _CONTRACT, Scope.CHANGE, event_type),
    Rule("PARTITIONS", "keys stay in their partitions", _CONTRACT, Scope.CHANGE, partitions, waivable=False),
    Rule("CLEANUP_POLICY", "a topic keeps the kind of thing that it kept", _CONTRACT, Scope.CHANGE, cleanup_policy),
    Rule(
        "TOMBSTONES",
        "readers know of null values before they meet one",
        _CONTRACT,
        Scope.CHANGE,
        tombstones,
        Severity.WARNING,
    ),
    Rule(
        "RETENTION",
        "events are kept as long as was promised",
        _CONTRACT,
        Scope.CHANGE,
        retention,
        stops_readers=False,
    ),
    Rule(
        "COMPATIBILITY_LOWERED",
        "the compatibility level holds all that it held",
        _CONTRACT,
        Scope.CHANGE,
        compatibility_lowered,
        stops_readers=False,
    ),
    Rule(
        "PROTECTION_LOWERED",
        "whoever was protected stays so",
        _CONTRACT,
        Scope.CHANGE,
        protection_lowered,
        stops_readers=False,
    ),
    Rule(
        "PORT_REMOVED",
        "an address leads somewhere until it is retired",
        _CONTRACT,
        Scope.CHANGE,
        port_removed,
        waivable=False,
    ),
)


def _key(fields: tuple[str, ...]) -> str:
    return repr("|".join(fields)) if fields else "none"


def _key_line(fields: tuple[str, ...]) -> str:
    return f"key: {fields[0]}" if len(fields) == 1 else f"key: [{', '.join(fields)}]" if fields else "key: null"


def _shared_key(before: Contract, after: Contract) -> Iterator[str]:
    """The fields that are of the key before and after."""
    return (name for name in before.port.key_fields if name in after.port.key_fields)


def _branches(form: Form) -> list[Any]:
    return list(form["branches"]) if form["type"] == "union" else [form]


def _nullable(form: Form) -> bool:
    return any(branch in ("null", {"type": "null"}) for branch in _branches(form))


def _written(schema: Schema, form: Form) -> frozenset[str]:
    """How a key field's values are written in the key; null is not written at all."""
    named = named_types(schema.form)
    forms = [form_of(branch, named) for branch in _branches(form)]
    return frozenset(_way_of(each) for each in forms if each["type"] != "null")


def _way_of(form: Form) -> str:
    kind = kind_of(form)
    if kind.endswith("-decimal"):
        return f"decimal of scale {form.get('scale', 0)}"
    return _WRITTEN_ALIKE.get(kind, kind)


def _told(form: Form) -> str:
    words = brief(form)
    return " or ".join(map(str, words)) if isinstance(words, list) else f"of type {words}"


def _new_major(before: Contract) -> str:
    default: OutputPort = before.product.default_port
    address = before.address.of_product.key + ("" if before.port.name == default.name else f"/{before.port.name}")
    return f"publish a new major beside this one: `meshport new {address} --major`"
