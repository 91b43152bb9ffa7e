"""The settings of a port's topic: which names and values `config:` takes, and those that would break a promise."""

from __future__ import annotations

import pytest

from meshport.errors import DescriptorError
from meshport.product import OutputPort, parse_product
from meshport.product.topic_settings import broken_promises, topic_settings

PRODUCT = """\
address: mesh://player/plays
id: 218c3c71-5495-4d11-9379-eff0811a0f04
archetype: source-aligned
description: Every track that was played.
owner: player
outputPorts:
  - name: events
    key: user_id
    {keys}
    config:
      segment.ms: 3600000
      {setting}
"""


def port(setting: str, keys: str = "retention: forever") -> OutputPort:
    """Return the port that has one more setting."""
    return parse_product(PRODUCT.format(keys=keys, setting=setting)).default_port


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("max.message.bytes: 2000000", "max.message.bytes", "2000000"),
        ("segment.bytes: '1048576'", "segment.bytes", "1048576"),
        ("preallocate: true", "preallocate", "true"),
        ("min.cleanable.dirty.ratio: 0.25", "min.cleanable.dirty.ratio", "0.25"),
        ("compression.zstd.level: -3", "compression.zstd.level", "-3"),
        ("message.downconversion.enable: false", "message.downconversion.enable", "false"),
        ("confluent.value.schema.validation: true", "confluent.value.schema.validation", "true"),
        ("redpanda.iceberg.mode: key_value", "redpanda.iceberg.mode", "key_value"),
        ("message.timestamp.before.max.ms: 9223372036854775807", "message.timestamp.before.max.ms", str(2**63 - 1)),
    ],
)
def test_a_setting_is_text_as_kafka_has_it(written: str, name: str, value: str) -> None:
    """Numbers, booleans and text of YAML become the text that Kafka takes; a vendor's names are its brokers' affair."""
    declared = port(written)
    assert declared.config == {"segment.ms": "3600000", name: value}
    assert topic_settings(declared) == {"cleanup.policy": "delete", "retention.ms": "-1"} | (declared.config or {})


@pytest.mark.parametrize(
    ("written", "found", "right"),
    [
        ("segment.byte: 1", "config.segment.byte: Kafka has no topic setting 'segment.byte'", "'segment.bytes'?"),
        ("retention.hours: 1", "no topic setting 'retention.hours'", "'retention.ms'?"),
        ("xyzzy: 1", "no topic setting 'xyzzy'", "Topic configs"),
        ("acks: all", "no topic setting 'acks'", ""),
        ("segment.bytes: 1 GB", "config.segment.bytes: '1 GB' is not a whole number of bytes", ""),
        ("flush.ms: 7d", "'7d' is not a whole number of milliseconds", ""),
        ("flush.ms: 1.5", "'1.5' is not a whole number of milliseconds", ""),
        ("flush.ms: 9223372036854775808", "'9223372036854775808' is not a whole number", ""),
        ("min.cleanable.dirty.ratio: 2", "'2' is not a number from 0 to 1", ""),
        ("preallocate: 1", "'1' is not one of true, false", ""),
        ("message.timestamp.type: createtime", "'createtime' is not one of CreateTime, LogAppendTime", ""),
        ("compression.type: brotli", "'brotli' is not one of producer, uncompressed, gzip", ""),
        ("flush.ms:", "expected a whole number of milliseconds, found no single value", ""),
        ("flush.ms: [1]", "expected a whole number of milliseconds, found no single value", ""),
    ],
)
def test_what_kafka_would_not_take_is_refused_at_its_line(written: str, found: str, right: str) -> None:
    """An unknown name, with the nearest right one, and a value of another kind are refused at the setting's own line."""
    with pytest.raises(DescriptorError) as refused:
        port(written)
    assert (refused.value.line, found in refused.value.message) == (12, True), refused.value
    assert right in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("written", "keys", "why", "instead"),
    [
        ("cleanup.policy: compact", "", "contradicts `cleanup: delete`", "`cleanup` sets it"),
        ("cleanup.policy: compact,delete", "cleanup: compact", "contradicts `cleanup: compact`", "leave it out"),
        ("retention.ms: 604800000", "", "contradicts `retention: forever`", "write `retention: 7d`"),
        ("retention.ms: -1", "retention: 7d", "contradicts `retention: 7d`", "write `retention: forever`"),
        ("retention.bytes: 1000000", "", "before their `retention` ends", "`retention.bytes: -1`"),
        ("compression.type: gzip", "compression: zstd", "contradicts `compression: zstd`", "leave it out"),
        ("message.timestamp.type: LogAppendTime", "", "the recorded time", "CreateTime"),
        ("message.timestamp.before.max.ms: 86400000", "retention: 7d", "a rebuild fills", "at least 604800000"),
        ("message.timestamp.before.max.ms: 604800000", "", "a rebuild fills", "at least 9223372036854775807"),
        ("message.timestamp.difference.max.ms: 5", "", "a rebuild fills", "at least"),
        ("unclean.leader.election.enable: true", "", "they are lost", "`unclean.leader.election.enable: false`"),
        ("min.insync.replicas: 4", "replicationFactor: 3", "no event could be stored", "at most 3"),
        ("remote.log.delete.on.disable: true", "", "tiered storage is turned off", "remote.log.copy.disable"),
        ("max.message.bytes: 100", "", "no room for an event", "1024 or more"),
    ],
)
def test_a_setting_that_would_break_a_promise_is_refused_with_the_reason(
    written: str, keys: str, why: str, instead: str
) -> None:
    """What contradicts the port's own keys, or loses events, is refused at its line, with the reason and what would be right."""
    with pytest.raises(DescriptorError) as refused:
        port(written, keys or "retention: forever")
    assert refused.value.line == 12
    assert f"outputPorts.0.config.{written.partition(':')[0]}: `{written}` " in refused.value.message
    assert why in refused.value.message
    assert instead in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("cleanup.policy: compact", "cleanup: compact"),
        ("retention.ms: 604800000", "retention: 7d"),
        ("retention.bytes: -1", "retention: 7d"),
        ("retention.bytes: 1000000", "cleanup: compact"),
        ("compression.type: zstd", "compression: zstd"),
        ("compression.type: zstd", "partitions: 2"),
        ("message.timestamp.type: CreateTime", "partitions: 2"),
        ("message.timestamp.before.max.ms: 604800000", "retention: 7d"),
        ("unclean.leader.election.enable: false", "partitions: 2"),
        ("min.insync.replicas: 3", "replicationFactor: 3"),
        ("min.insync.replicas: 3", "partitions: 2"),
        ("remote.log.delete.on.disable: false", "partitions: 2"),
    ],
)
def test_a_setting_that_says_what_is_so_already_passes(written: str, keys: str) -> None:
    """A setting that agrees with the port's keys breaks no promise."""
    assert list(broken_promises(port(written, keys))) == []
