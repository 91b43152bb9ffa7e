"""The settings of a Kafka topic that an output port declares: their names and values, and those that would break a promise.

Names, kinds and defaults are those of Kafka 4.3 ("Configuration", "Topic configs"); `_UNTIL_3_9` are in the same list of
Kafka 3.9. Names of vendors are taken as they are: their own brokers judge them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, NamedTuple, Protocol

from pydantic import BeforeValidator, WithJsonSchema

from meshport.address import nearest
from meshport.product.duration import format_duration
from meshport.product.input_port import Disagreement

CLEANUP: Final = "cleanup.policy"
RETENTION_MS: Final = "retention.ms"
RETENTION_BYTES: Final = "retention.bytes"
COMPRESSION: Final = "compression.type"
IN_SYNC: Final = "min.insync.replicas"
UNCLEAN: Final = "unclean.leader.election.enable"
TIMESTAMP: Final = "message.timestamp.type"
TOMBSTONES_MS: Final = "delete.retention.ms"

FOREVER: Final = "-1"
_LONGEST: Final = 2**63 - 1
# The batch of one event has some 200 bytes without its data; a copy of a port seals its topic with a limit below that.
_SMALLEST_BATCH: Final = 1024

_WHOLE: Final = "a whole number"
_FRACTION: Final = "a number from 0 to 1"
_TEXT: Final = "text"
_SWITCH: Final = ("true", "false")
_CODECS: Final = ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")

_NEWEST: Final[Mapping[str, str | tuple[str, ...]]] = {
    CLEANUP: _TEXT,
    "compression.gzip.level": _WHOLE,
    "compression.lz4.level": _WHOLE,
    COMPRESSION: _CODECS,
    "compression.zstd.level": _WHOLE,
    TOMBSTONES_MS: _WHOLE,
    "file.delete.delay.ms": _WHOLE,
    "flush.messages": _WHOLE,
    "flush.ms": _WHOLE,
    "follower.replication.throttled.replicas": _TEXT,
    "index.interval.bytes": _WHOLE,
    "leader.replication.throttled.replicas": _TEXT,
    "local.retention.bytes": _WHOLE,
    "local.retention.ms": _WHOLE,
    "max.compaction.lag.ms": _WHOLE,
    "max.message.bytes": _WHOLE,
    "message.timestamp.after.max.ms": _WHOLE,
    "message.timestamp.before.max.ms": _WHOLE,
    TIMESTAMP: ("CreateTime", "LogAppendTime"),
    "min.cleanable.dirty.ratio": _FRACTION,
    "min.compaction.lag.ms": _WHOLE,
    IN_SYNC: _WHOLE,
    "preallocate": _SWITCH,
    "remote.log.copy.disable": _SWITCH,
    "remote.log.delete.on.disable": _SWITCH,
    "remote.storage.enable": _SWITCH,
    RETENTION_BYTES: _WHOLE,
    RETENTION_MS: _WHOLE,
    "segment.bytes": _WHOLE,
    "segment.index.bytes": _WHOLE,
    "segment.jitter.ms": _WHOLE,
    "segment.ms": _WHOLE,
    UNCLEAN: _SWITCH,
}
_UNTIL_3_9: Final[Mapping[str, str | tuple[str, ...]]] = {
    "message.downconversion.enable": _SWITCH,
    "message.format.version": _TEXT,
    "message.timestamp.difference.max.ms": _WHOLE,
}
_KNOWN: Final = {**_NEWEST, **_UNTIL_3_9}
_VENDORS: Final = ("confluent.", "redpanda.")
_UNITS: Final = {".ms": " of milliseconds", ".bytes": " of bytes"}

NAMES: Final = frozenset(_NEWEST)
"""The topic settings of the newest Kafka."""


class BrokenPromise(NamedTuple):
    """A setting that a port cannot declare.

    Attributes:
        name: of the setting.
        why: what it would break.
        instead: what would be right.
    """

    name: str
    why: str
    instead: str


class DeclaredTopic(Protocol):
    """What an output port declares of its topic; see `meshport.product.OutputPort`."""

    @property
    def cleanup(self) -> str:
        """The cleanup policy: delete, or compact."""

    @property
    def retention(self) -> timedelta | None:
        """How long events are kept; None for all time."""

    @property
    def replication_factor(self) -> int | None:
        """How many replicas a partition has; None for Meshport's default."""

    @property
    def compression(self) -> str | None:
        """The codec in which the broker keeps batches; None for that of their producer."""

    @property
    def config(self) -> Mapping[str, str] | None:
        """Further settings, by Kafka's names."""


def retention_ms(retention: timedelta | None) -> str:
    """Return a retention as the value of `retention.ms`."""
    return FOREVER if retention is None else str(retention // timedelta(milliseconds=1))


def topic_settings(port: DeclaredTopic) -> dict[str, str]:
    """Return the Kafka settings that a port declares for its topic."""
    codec = {} if port.compression is None else {COMPRESSION: port.compression}
    return {CLEANUP: port.cleanup, RETENTION_MS: retention_ms(port.retention), **codec, **(port.config or {})}


def broken_promises(port: DeclaredTopic) -> Iterator[BrokenPromise]:
    """Yield the settings in a port's `config` that contradict its other keys, or what every port promises."""
    for name, value in (port.config or {}).items():
        if name in _CHECKS and (found := _CHECKS[name](port, value)):
            yield BrokenPromise(name, *found)


_Found = tuple[str, str] | None


def _cleanup(port: DeclaredTopic, value: str) -> _Found:
    if value == port.cleanup:
        return None
    return (
        f"contradicts `cleanup: {port.cleanup}`, by which readers know what the topic keeps",
        f"leave it out: `cleanup` sets it to {port.cleanup}",
    )


def _retention(port: DeclaredTopic, value: str) -> _Found:
    kept = "forever" if port.retention is None else format_duration(port.retention)
    if value == retention_ms(port.retention):
        return None
    return (
        f"contradicts `retention: {kept}`, which readers rely on",
        f"write `retention: {_as_retention(value)}`, and leave {RETENTION_MS} out",
    )


def _as_retention(value: str) -> str:
    return "forever" if int(value) < 0 or int(value) > 10**14 else format_duration(timedelta(milliseconds=int(value)))


def _size(port: DeclaredTopic, value: str) -> _Found:
    if port.cleanup == "compact" or value == FOREVER:  # Kafka ignores the size of a topic that is only compacted
        return None
    return (
        "would remove events before their `retention` ends, once a partition is larger",
        f"`{RETENTION_BYTES}: {FOREVER}`, the default; `retention` bounds what is kept",
    )


def _codec(port: DeclaredTopic, value: str) -> _Found:
    if port.compression in (None, value):
        return None
    return (
        f"contradicts `compression: {port.compression}`",
        f"leave it out: `compression` sets it to {port.compression}",
    )


def _timestamp(_: DeclaredTopic, value: str) -> _Found:
    if value == "CreateTime":
        return None
    return (
        "would replace the recorded time of an event by the time at which a broker stored it: a rebuild, which copies "
        "events, would give each of them a new one",
        f"`{TIMESTAMP}: CreateTime`, Kafka's default",
    )


def _oldest(port: DeclaredTopic, value: str) -> _Found:
    """Events of up to the retention's age are copied with their timestamps, as `meshport.rebuild` does."""
    kept = _LONGEST if port.retention is None or port.cleanup == "compact" else int(retention_ms(port.retention))
    if int(value) >= kept:
        return None
    return (
        "would have the broker refuse events that are older, with which a rebuild fills a new generation",
        f"at least {kept}, as long as events are kept",
    )


def _unclean(_: DeclaredTopic, value: str) -> _Found:
    if value == "false":
        return None
    return (
        "would let a replica that lacks acknowledged events become the leader: they are lost",
        f"`{UNCLEAN}: false`, Kafka's default",
    )


def _in_sync(port: DeclaredTopic, value: str) -> _Found:
    if port.replication_factor is None or int(value) <= port.replication_factor:
        return None
    return (
        f"asks for more replicas than `replicationFactor: {port.replication_factor}` gives: no event could be stored",
        f"at most {port.replication_factor}; one less lets a broker fail",
    )


def _untiered(_: DeclaredTopic, value: str) -> _Found:
    if value == "false":
        return None
    return (
        "would delete the events of the remote tier, before their `retention` ends, when tiered storage is turned off",
        "`remote.log.copy.disable: true` keeps them, and copies no more",
    )


def _largest(_: DeclaredTopic, value: str) -> _Found:
    if int(value) >= _SMALLEST_BATCH:
        return None
    return "leaves no room for an event with its headers", f"{_SMALLEST_BATCH} or more"


_CHECKS: Final[Mapping[str, Callable[[DeclaredTopic, str], _Found]]] = {
    CLEANUP: _cleanup,
    RETENTION_MS: _retention,
    RETENTION_BYTES: _size,
    COMPRESSION: _codec,
    TIMESTAMP: _timestamp,
    "message.timestamp.before.max.ms": _oldest,
    "message.timestamp.difference.max.ms": _oldest,
    UNCLEAN: _unclean,
    IN_SYNC: _in_sync,
    "remote.log.delete.on.disable": _untiered,
    "max.message.bytes": _largest,
}


def _value(name: Any, value: Any) -> str:
    """Return a value of YAML as Kafka writes it.

    Raises:
        Disagreement: Kafka has no such setting, or the value is not of its kind.
    """
    if not isinstance(name, str):
        raise Disagreement(f"the name {name!r} is no text", str(name))
    kind = _KNOWN.get(name, _TEXT)
    if name not in _KNOWN and not name.startswith(_VENDORS):
        near = nearest(name, [*_KNOWN])
        hint = f"did you mean {near!r}?" if near else 'Kafka\'s documentation lists them as "Topic configs"'
        raise Disagreement(f"Kafka has no topic setting {name!r}\nhint: {hint}", name)
    if value is None or isinstance(value, dict | list):
        raise Disagreement(f"expected {_wanted(name, kind)}, found no single value", name)
    text = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if not _is_of(kind, text):
        raise Disagreement(f"{text!r} is not {_wanted(name, kind)}", name)
    return text


def _is_of(kind: str | tuple[str, ...], text: str) -> bool:
    if isinstance(kind, tuple):
        return text in kind
    try:
        if kind == _WHOLE:
            return str(int(text)) == text and abs(int(text)) <= _LONGEST
        if kind == _FRACTION:
            return math.isfinite(float(text)) and 0 <= float(text) <= 1
    except ValueError:
        return False
    return True


def _wanted(name: str, kind: str | tuple[str, ...]) -> str:
    if isinstance(kind, tuple):
        return f"one of {', '.join(kind)}"
    unit = next((words for end, words in _UNITS.items() if name.endswith(end)), "") if kind == _WHOLE else ""
    return kind + unit


def _config(value: Any) -> Any:
    if not isinstance(value, dict):
        return value  # refused by its type
    return {name: _value(name, each) for name, each in value.items()}


def _editor_form(kind: str | tuple[str, ...]) -> dict[str, Any]:
    if kind == _SWITCH:
        return {"enum": [True, False, *_SWITCH]}
    if isinstance(kind, tuple):
        return {"enum": [*kind]}
    return {"type": {_WHOLE: ["integer", "string"], _FRACTION: ["number", "string"]}.get(kind, ["string", "number"])}


_SCALAR: Final = {"type": ["string", "number", "boolean"]}
_EDITOR_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {name: _editor_form(kind) for name, kind in _KNOWN.items()},
            "patternProperties": {f"^{vendor.replace('.', '[.]')}": _SCALAR for vendor in _VENDORS},
            "additionalProperties": False,
        },
        {"type": "null"},
    ],
    "default": None,
}

TopicConfig = Annotated[dict[str, str] | None, BeforeValidator(_config), WithJsonSchema(_EDITOR_SCHEMA)]
"""Topic settings by Kafka's names: text, numbers and booleans in YAML, text as Kafka has them."""
