"""What bytes from the network may ask of a decoder. Every bound is kept on writing too, so that what we write we can read.

The evidence is `reference/reliability.md`, finding 2 (six bytes that take 4 GB, a linked list that ends the process) and
the hardening of Apache Avro in 2026 (AVRO-4282, AVRO-4296, AVRO-4328).
"""

from __future__ import annotations

from typing import Final

# Kafka's default bound on a message is 1,048,588 bytes with its overhead (`message.max.bytes`). It holds for the
# compressed batch, so a hostile producer can send far more: the payload itself is bounded here.
MAX_PAYLOAD: Final = 1024 * 1024

# Records, arrays and maps in one another, as a value holds them. 100 is what Apache's Python reader chose (AVRO-4328);
# with the 64 levels that a schema may nest by itself it keeps fastavro's C recursion, about 1 kB a level, far within
# the 1 MiB stack of a thread.
MAX_DEPTH: Final = 100

# Values in arrays that take no bytes (null, empty records) for one payload: their count is all that a writer pays for.
# Apache Avro has the like since AVRO-4282.
MAX_ZERO_WIDTH: Final = 10_000
