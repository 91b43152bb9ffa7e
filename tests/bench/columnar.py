"""Columns beside rows: batches of the 10-field record, by the native library, by fastavro and by our own codec.

Every figure is the best of seven rounds in this process, the peer's in the same round, so that a busy machine slows both.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import fastavro

from meshport.codec import codec_for, prefix
from meshport.columnar import ColumnarDecoder, ColumnarEncoder
from tests.bench.figures import Figure
from tests.codec.samples import PLAY, play
from tests.codec.strategies import parsed

PARSED: Final = parsed(PLAY)

_ROUNDS: Final = 7
_EVENTS: Final = 5_000


def figures() -> Iterator[Figure]:
    """Reading and writing a batch, events a second."""
    codec, decoder, encoder = codec_for(PLAY), ColumnarDecoder(PLAY), ColumnarEncoder(PLAY)
    records = [play(play_id=f"play-{index:09}", played_ms=index * 977 % 400_000) for index in range(_EVENTS)]
    bodies = [codec.encode(record) for record in records]
    framed = [codec.encode(record, prefix(7)) for record in records]
    batch = decoder.decode(bodies)

    def read_fastavro() -> Any:
        return [fastavro.schemaless_reader(io.BytesIO(body), PARSED, None) for body in bodies]

    def write_fastavro() -> list[bytes]:
        made = []
        for record in records:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, PARSED, record)
            made.append(out.getvalue())
        return made

    assert encoder.encode(batch) == write_fastavro() == bodies
    read, write = "columnar: decode", "columnar: encode"
    yield _figure(read, lambda: decoder.decode(bodies), "fastavro", read_fastavro)
    yield _figure(
        read, lambda: decoder.decode(bodies), "meshport.codec", lambda: [codec.decode(body) for body in bodies]
    )
    yield _figure(f"{read}, behind a prefix", lambda: decoder.decode(framed, 5), "fastavro", read_fastavro)
    yield _figure(write, lambda: encoder.encode(batch), "fastavro", write_fastavro)
    yield _figure(
        write, lambda: encoder.encode(batch), "meshport.codec", lambda: [codec.encode(record) for record in records]
    )
    bad = [*bodies[:2_500], bodies[2_500] + b"x", *bodies[2_501:]]
    yield _figure(f"{read}, one of 5,000 is bad", lambda: decoder.decode_good(bad), "fastavro", read_fastavro)


def _figure(name: str, ours: Callable[[], Any], peer: str, theirs: Callable[[], Any]) -> Figure:
    best, best_peer = float("inf"), float("inf")
    for _ in range(_ROUNDS):
        best = min(best, _seconds(ours))
        best_peer = min(best_peer, _seconds(theirs))
    return Figure(name, _EVENTS / best, "events/s", peer, _EVENTS / best_peer)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
