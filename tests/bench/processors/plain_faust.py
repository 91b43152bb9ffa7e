"""The peer `faust`: an agent by the book, at least once: `python -m tests.bench.processors.plain_faust SPEC`.

State is a table with a changelog, kept in memory. faust closes windows by the wall clock, which is of no use on
recorded times, so the agent keeps and closes them itself; a joined row comes from a dictionary.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import faust

from tests.bench.processors import plain
from tests.bench.processors.schemas import PARTITIONS, WINDOW_MS
from tests.bench.processors.spec import Spec


def main(text: str) -> None:
    """Run until SIGTERM."""
    spec = Spec.from_json(text)
    app = faust.App(
        f"bench-{spec.run}",
        broker=f"kafka://{spec.bootstrap_servers}",
        datadir=spec.folder,
        store="memory://",
        autodiscover=False,
        origin=None,
        web_enabled=False,
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source, target = app.topic(spec.input, **raw), app.topic(spec.output, **raw)
    table = app.Table("state", default=dict, partitions=PARTITIONS) if spec.job not in {"transform", "join"} else None
    rows = plain.read_customers(spec) if spec.job == "join" else {}
    decode, encode, headers = plain.order_decoder(), plain.encoder(spec), plain.headers(spec)
    windows = _Windows(table)

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            order = decode(event.value)
            match spec.job:
                case "transform":
                    outputs = [plain.transformed(order)]
                case "join":
                    outputs = [plain.enriched(order, rows)]
                case "function":
                    outputs = [_running_total(table, order)]
                case "window update":
                    outputs = [windows.add(order)]
                case "window":
                    outputs = windows.close(message.partition, order)
                    windows.add(order)
            for number, output in enumerate(outputs):
                key = (output.get("customer_id") or output["customer"]).encode()
                id = f"{message.topic}-{message.partition}-{message.offset}-{number}"
                await target.send(key=key, value=encode(output), headers=headers(id, order["placed_at"]))

    app.agent(source)(agent)
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


def _running_total(table: Any, order: plain.Record) -> plain.Record:
    customer = order["customer_id"]
    state = table[customer]
    totals = {"orders": state.get("orders", 0) + 1, "cents": state.get("cents", 0) + order["amount_cents"]}
    table[customer] = totals
    return {"customer_id": customer, "placed_at": order["placed_at"], **totals}


class _Windows:
    """Open windows of every partition, their totals in the table."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._open: dict[int, dict[int, set[str]]] = defaultdict(dict)

    def add(self, order: plain.Record) -> plain.Record:
        """Count an order; gives its window as it is now."""
        customer, cents = order["customer_id"], order["amount_cents"]
        begin = plain.millis(order["placed_at"]) // WINDOW_MS * WINDOW_MS
        state = self._table[f"{customer}|{begin}"]
        totals = {
            "orders": state.get("orders", 0) + 1,
            "cents": state.get("cents", 0) + cents,
            "largest": max(state.get("largest", 0), cents),
        }
        self._table[f"{customer}|{begin}"] = totals
        return plain.window_row(customer, begin, totals)

    def close(self, partition: int, order: plain.Record) -> list[plain.Record]:
        """The windows of the partition that end at this order's time, or before it; its own is open from now on."""
        now = plain.millis(order["placed_at"])
        windows = self._open[partition]
        closed: list[plain.Record] = []
        for begin in [each for each in windows if each + WINDOW_MS <= now]:
            closed += [
                plain.window_row(customer, begin, self._table.pop(f"{customer}|{begin}"))
                for customer in windows.pop(begin)
            ]
        windows.setdefault(now // WINDOW_MS * WINDOW_MS, set()).add(order["customer_id"])
        return closed


if __name__ == "__main__":
    main(sys.argv[1])
