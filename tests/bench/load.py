"""An HTTP load generator that is not the bottleneck: requests as ready bytes, kept-alive connections, a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import httptools
import uvloop

_LONGEST: Final = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured.

    Attributes:
        rate: answers a second.
        p50_ms: the median answer, milliseconds.
        p99_ms: 99 of 100 answers were no slower.
        answered: how many answers came.
        refused: how many of them were no 2xx.
        last: the last answer's body, for a look at what was measured.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    answered: int
    refused: int
    last: str


def request(method: str, path: str, body: str | None = None) -> bytes:
    """A request as it goes over the wire, but for the host's name."""
    content = (body or "").encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: registry\r\nAccept: application/vnd.schemaregistry.v1+json, */*;q=0.2\r\n"
    )
    if body is not None:
        head += f"Content-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


def measure(url: str, requests: Sequence[bytes], *, connections: int = 16, seconds: float | None = None) -> Load:
    """Send requests from another process.

    Args:
        url: of the server.
        requests: sent in order, each connection taking the next one.
        connections: how many are open, each with one request under way.
        seconds: for how long; the requests are repeated. None sends each of them once.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure_here, (url, requests, connections, seconds))


def measure_here(url: str, requests: Sequence[bytes], connections: int, seconds: float | None) -> Load:
    """Send requests from this process; see `measure`."""
    return uvloop.run(_run(url, requests, connections, seconds))


async def _run(url: str, requests: Sequence[bytes], connections: int, seconds: float | None) -> Load:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    job = _Job(itertools.cycle(requests) if seconds else iter(requests), loop.create_future(), connections)
    begun = time.perf_counter()
    if seconds:
        loop.call_later(seconds, job.stop)
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(job), parts.hostname or "localhost", parts.port or 80)
    await asyncio.wait_for(job.done, (seconds or _LONGEST) + 10)
    took = time.perf_counter() - begun
    waits = sorted(job.waits)
    return Load(
        rate=len(waits) / took,
        p50_ms=statistics.median(waits) * 1e3,
        p99_ms=waits[min(int(len(waits) * 0.99), len(waits) - 1)] * 1e3,
        answered=len(waits),
        refused=job.refused,
        last=job.last.decode("utf-8", "replace")[:300],
    )


class _Job:
    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None], connections: int) -> None:
        self.requests = requests
        self.done = done
        self.waits: list[float] = []
        self.refused = 0
        self.last = b""
        self._open = connections

    def stop(self) -> None:
        self.requests = iter(())

    def closed(self) -> None:
        self._open -= 1
        if not self._open and not self.done.done():
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, job: _Job) -> None:
        self._job = job
        self._begun = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, of no common base
        self._next()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._job.closed()

    def on_body(self, body: bytes) -> None:
        self._job.last = body

    def on_message_complete(self) -> None:
        self._job.waits.append(time.perf_counter() - self._begun)
        self._job.refused += not 200 <= self._parser.get_status_code() < 300
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        following = next(self._job.requests, None)
        if following is None:
            self._transport.close()
            return
        self._begun = time.perf_counter()
        self._transport.write(following)
