"""The jobs in plain Python, for peers in Python: fastavro, a dictionary a record, and our eight headers.

Imported from virtual environments that hold fastavro and nothing of ours.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from tests.bench.processors.schemas import CUSTOMER, LARGE_CENTS, LINE, ORDER, OUTPUTS, WINDOW_MS
from tests.bench.processors.spec import Spec

Record = dict[str, Any]
Headers = list[tuple[str, bytes]]

_PREFIX: Final = 5
_KEPT: Final = tuple(
    each["name"] for each in LINE["fields"] if each["name"] not in {"customer", "total_cents", "large"}
)


def decoder(schema: Record) -> Callable[[bytes], Record]:
    """The function from a framed payload to its record."""
    parsed = parse_schema(schema)

    def decode(payload: bytes) -> Record:
        body = io.BytesIO(payload)
        body.seek(_PREFIX)
        record: Record = schemaless_reader(body, parsed, None)  # type: ignore[assignment]  # the schema is a record
        return record

    return decode


def order_decoder() -> Callable[[bytes], Record]:
    """Of orders."""
    return decoder(ORDER)


def customer_decoder() -> Callable[[bytes], Record]:
    """Of customers' rows."""
    return decoder(CUSTOMER)


def encoder(spec: Spec) -> Callable[[Record], bytes]:
    """The function from an output's record to its framed payload."""
    parsed = parse_schema(OUTPUTS[spec.job])
    prefix = b"\0" + spec.schema_id.to_bytes(4, "big")

    def encode(record: Record) -> bytes:
        body = io.BytesIO()
        body.write(prefix)
        schemaless_writer(body, parsed, record)
        return body.getvalue()

    return encode


def headers(spec: Spec) -> Callable[[str, datetime], Headers]:
    """The function from an id and a time to the eight headers of an output."""
    constant = [
        ("ce_specversion", b"1.0"),
        ("ce_source", spec.source.encode()),
        ("ce_type", spec.type.encode()),
        ("ce_dataschema", spec.dataschema.encode()),
        ("content-type", b"application/avro"),
    ]

    def made(id: str, moment: datetime) -> Headers:
        now = datetime.fromtimestamp(time.time(), UTC)
        return [
            *constant,
            ("ce_id", id.encode()),
            ("ce_time", moment.isoformat().encode()),
            ("ce_recordedtime", now.isoformat().encode()),
        ]

    return made


def transformed(order: Record) -> Record:
    """The job `transform`."""
    line = {name: order[name] for name in _KEPT}
    line["customer"] = order["customer_id"]
    line["total_cents"] = order["amount_cents"] * order["quantity"]
    line["large"] = order["amount_cents"] >= LARGE_CENTS
    return line


def enriched(order: Record, rows: dict[str, Record]) -> Record:
    """The job `join`."""
    row = rows[order["customer_id"]]
    return {**order, "tier": row["tier"], "credit": row["credit"]}


def millis(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def window_row(customer: str, start_ms: int, totals: Record) -> Record:
    """A row of `window`."""
    return {
        "customer_id": customer,
        "window_start": start_ms,
        "window_end": start_ms + WINDOW_MS,
        "orders": totals["orders"],
        "cents": totals["cents"],
        "largest": totals["largest"],
    }


def read_customers(spec: Spec) -> dict[str, Record]:
    """The customers' rows by id, read to their end before anything else: a lookup table in memory."""
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415 - the client, for the jobs that join

    decode = customer_decoder()
    rows: dict[str, Record] = {}
    consumer = Consumer({"bootstrap.servers": spec.bootstrap_servers, "group.id": f"table-{spec.run}"})
    partitions = consumer.list_topics(spec.customers).topics[spec.customers].partitions
    for number in partitions:
        place = TopicPartition(spec.customers, number, 0)
        _, end = consumer.get_watermark_offsets(place)
        consumer.assign([place])
        left = end
        while left:
            message = consumer.poll(5)
            if message is None or (payload := message.value()) is None:
                raise RuntimeError(f"{spec.customers} [{number}] was not read to its end")
            row = decode(payload)
            rows[row["customer_id"]] = row
            left -= 1
    consumer.close()
    return rows
