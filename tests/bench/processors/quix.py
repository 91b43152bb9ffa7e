"""The peer `quixstreams`, exactly once: `python -m tests.bench.processors.quix SPEC`, in a virtual environment of its own.

Its own state, windows and transactions; Avro by fastavro. It commits every 5 s by itself; here every second. Windows
close by partition (`closing_strategy="partition"`), as everybody's do; its default waits for the same key.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

# It has a virtual environment of its own: its requirements and ours need not agree.
from quixstreams import Application  # type: ignore[import-not-found]
from quixstreams.dataframe.windows import Count, Max, Sum  # type: ignore[import-not-found]
from quixstreams.models.serializers import Deserializer, Serializer  # type: ignore[import-not-found]

from tests.bench.processors import plain
from tests.bench.processors.schemas import WINDOW_MS
from tests.bench.processors.spec import Spec

_COMMIT_S = 1.0


class _Decoded(Deserializer):  # type: ignore[misc]  # quixstreams is not there where this is checked
    def __init__(self) -> None:
        super().__init__()
        self._decode = plain.order_decoder()

    def __call__(self, value: bytes, ctx: Any) -> plain.Record:  # noqa: ARG002 - its protocol
        return self._decode(value)


class _Encoded(Serializer):  # type: ignore[misc]  # as above
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self._encode = plain.encoder(spec)

    def __call__(self, value: plain.Record, ctx: Any) -> bytes:  # noqa: ARG002 - its protocol
        return self._encode(value)


def main(text: str) -> None:
    """Run until SIGTERM."""
    spec = Spec.from_json(text)
    app = Application(
        broker_address=spec.bootstrap_servers,
        consumer_group=f"bench-{spec.run}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=_COMMIT_S,
        state_dir=spec.folder,
        loglevel="WARNING",
    )
    source = app.topic(
        spec.input,
        key_deserializer="str",
        value_deserializer=_Decoded(),
        timestamp_extractor=lambda order, *_: plain.millis(order["placed_at"]),
    )
    target = app.topic(spec.output, key_serializer="str", value_serializer=_Encoded(spec))
    frame = _job(spec, app.dataframe(source))
    headers = plain.headers(spec)
    numbers = iter(range(1 << 62))

    def attributes(_value: Any, _key: Any, timestamp: int, _headers: Any) -> plain.Headers:
        return headers(f"{spec.run}-{next(numbers)}", datetime.fromtimestamp(timestamp / 1000, UTC))

    frame.set_headers(attributes).to_topic(target)
    app.run()


def _job(spec: Spec, frame: Any) -> Any:
    match spec.job:
        case "transform":
            return frame.apply(plain.transformed)
        case "join":
            rows = plain.read_customers(spec)
            return frame.apply(lambda order: plain.enriched(order, rows))
        case "function":
            return frame.apply(_running_total, stateful=True)
    windows = frame.tumbling_window(duration_ms=WINDOW_MS, grace_ms=0).agg(
        orders=Count(), cents=Sum("amount_cents"), largest=Max("amount_cents")
    )
    closed = windows.final("partition") if spec.job == "window" else windows.current("partition")
    return closed.apply(lambda row, key, *_: plain.window_row(key, row["start"], row), metadata=True)


def _running_total(order: plain.Record, state: Any) -> plain.Record:
    totals = state.get("totals", {"orders": 0, "cents": 0})
    totals = {"orders": totals["orders"] + 1, "cents": totals["cents"] + order["amount_cents"]}
    state.set("totals", totals)
    return {"customer_id": order["customer_id"], "placed_at": order["placed_at"], **totals}


if __name__ == "__main__":
    main(sys.argv[1])
