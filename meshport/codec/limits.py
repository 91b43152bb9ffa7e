"""Bounds on what a decoder does for bytes from the network. The encoder keeps the same bounds, so that its output can be read.

Without them six bytes can allocate 4 GB, and a long linked list can end the process by exhausting the stack. Apache Avro
added similar bounds in 2026 (AVRO-4282, AVRO-4296, AVRO-4328).
"""

from __future__ import annotations

from typing import Final

# Kafka's default bound on a message is 1,048,588 bytes with its overhead (`message.max.bytes`). It bounds the
# compressed batch, so a hostile producer can send far more; this bounds the payload itself.
MAX_PAYLOAD: Final = 1024 * 1024

# Nesting of records, arrays and maps in a value. 100 is the bound of Apache's Python reader (AVRO-4328). Together with the
# 64 levels that a schema may nest, it keeps fastavro's C recursion, about 1 kB a level, within the 1 MiB stack of a
# thread.
MAX_DEPTH: Final = 100

# Array items of one payload that take no bytes (null, empty records): only their count is on the wire. Apache Avro has a
# similar bound since AVRO-4282.
MAX_ZERO_WIDTH: Final = 10_000
