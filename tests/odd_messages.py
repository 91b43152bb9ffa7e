"""Messages that Kafka takes and no Python producer writes, stored by librdkafka itself."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka

from tests.connections import client_settings

ODD_NAME = b"\xe9tat"
"""A header's name that is not UTF-8: `état` in Latin-1."""

# The tags of `rd_kafka_producev` (rdkafka.h, `rd_kafka_vtype_t`), and the flag that has it copy the value.
_TOPIC, _PARTITION, _VALUE, _KEY, _FLAGS, _HEADERS, _END = 1, 3, 4, 5, 7, 10, 0
_COPY = 2
_FLUSH_MS = 30_000


def store_raw(
    bootstrap_servers: str,
    topic: str,
    headers: Sequence[tuple[bytes, bytes | None]],
    value: bytes,
    *,
    key: bytes = b"k",
    partition: int = 0,
) -> None:
    """Store one message whose header names are any bytes."""
    library = _librdkafka()
    problem = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(library.rd_kafka_conf_new())
    for name, text in client_settings(bootstrap_servers).items():
        library.rd_kafka_conf_set(settings, name.encode(), str(text).encode(), problem, ctypes.c_size_t(len(problem)))
    client = ctypes.c_void_p(library.rd_kafka_new(0, settings, problem, ctypes.c_size_t(len(problem))))
    assert client, problem.value
    given = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(len(headers))))
    for header, content in headers:
        size = ctypes.c_ssize_t(0 if content is None else len(content))
        library.rd_kafka_header_add(given, header, ctypes.c_ssize_t(len(header)), content, size)
    parts: list[Any] = [_TOPIC, topic.encode(), _PARTITION, ctypes.c_int32(partition), _FLAGS, _COPY, _HEADERS, given]
    parts += [_KEY, key, ctypes.c_size_t(len(key)), _VALUE, value, ctypes.c_size_t(len(value))]
    refused = library.rd_kafka_producev(client, *parts, _END)
    left = library.rd_kafka_flush(client, _FLUSH_MS)
    library.rd_kafka_destroy(client)
    assert (refused, left) == (0, 0)


@cache
def _librdkafka() -> Any:
    """The library that confluent_kafka's wheel brings; a second copy of it cannot be loaded."""
    (path,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    for each in (library.rd_kafka_conf_new, library.rd_kafka_new, library.rd_kafka_headers_new):
        each.restype = ctypes.c_void_p
    return library
