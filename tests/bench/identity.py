"""What identities cost the registry: reads by key and by token beside reads without, and a flood of unknown tokens.

The registry without identities and the one with them run at the same time, and are measured in turns, so that what else the
machine does falls on both alike. The flood is 10,000 requests in a row, over one connection and then over sixteen, each with
another token that no provider signed; the clients' 99th percentile beside it is divided by the one just before. The first
thousand, which are answered at once, are sent before.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Final

import httpx2

from meshport.api_keys import ApiKeyRequest
from meshport_registry.identity.offline import KeysInDatabase
from tests.bench.figures import Figure, say
from tests.bench.load import Load, measure, measure_here, request
from tests.bench.service import service
from tests.registry.issuer import AUDIENCE, Issuer, issuer
from tests.registry.schemas import record

SCHEMAS: Final = 500
READERS: Final = 16
TURNS: Final = 5
SECONDS: Final = 2.0
FLOOD: Final = 10_000
AT_ONCE: Final = 1_000
_UNDER_WAY_S: Final = 0.3


def figures(wanted: str = "key,token,flood") -> Iterator[Figure]:
    """Reads with each kind of identity beside reads without, and what others notice of a flood.

    Args:
        wanted: which of them, with commas between them.
    """
    parts = wanted.split(",")
    with tempfile.TemporaryDirectory() as folder, issuer() as provider:
        database = f"sqlite:///{Path(folder) / 'registry.db'}"
        with KeysInDatabase(database) as keys:
            key = keys.create(ApiKeyRequest(name="bench/reader", groups=("mesh-admins",)))
        oidc = {"issuer": provider.url, "audience": AUDIENCE}
        with service() as (open_url, _), service(database, oidc=oidc) as (url, _):
            _fill(open_url, {})
            _fill(url, {"authorization": f"Bearer {key.text}"})
            token = provider.token(exp=int(time.time()) + 36_000)
            for name, shown in (("key", key.text), ("token", token)):
                if name in parts:
                    yield _beside(name, open_url, url, shown)
            for connections in (1, READERS) if "flood" in parts else ():
                yield _flood(url, key.text, provider, connections)


def _fill(url: str, headers: dict[str, str]) -> None:
    with httpx2.Client(base_url=url, trust_env=False, timeout=60, headers=headers) as http:
        for number in range(SCHEMAS):
            http.post(f"/subjects/c{number}/versions", json={"schema": record(f"c{number}?")}).raise_for_status()


def _reads(shown: str | None) -> list[bytes]:
    plain = [request("GET", f"/schemas/ids/{1 + number}") for number in range(SCHEMAS)]
    return plain if shown is None else [_with(each, shown) for each in plain]


def _with(asked: bytes, shown: str) -> bytes:
    return asked.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {shown}\r\n\r\n".encode(), 1)


def _answered(url: str, requests: list[bytes], connections: int = READERS) -> Load:
    found = measure(url, requests, connections=connections, seconds=SECONDS)
    if found.refused:
        raise SystemExit(f"{found.refused} of {found.answered} reads were refused; the last answer: {found.last}")
    return found


def _beside(name: str, open_url: str, url: str, shown: str) -> Figure:
    plain, identified = _reads(None), _reads(shown)
    ratios, rates = [], []
    for _ in range(TURNS):
        without, with_it = _answered(open_url, plain), _answered(url, identified)
        ratios.append(with_it.rate / without.rate)
        rates.append(with_it.rate)
        say(f"reads with a {name}: {with_it.rate:.0f}/s, without {without.rate:.0f}/s, {ratios[-1]:.2f}")
    return Figure(
        f"registry: reads with a {name}",
        statistics.median(rates),
        f"/s; {statistics.median(ratios):.2f} of those without",
        None,
        None,
    )


def _flood(url: str, key: str, provider: Issuer, connections: int) -> Figure:
    regular, times = _reads(key), []
    measure(url, _wrong(provider.token(), AT_ONCE), connections=READERS)
    context = multiprocessing.get_context("spawn")
    begin, ended = context.Semaphore(0), context.Semaphore(0)
    flood = context.Process(target=_send_floods, args=(url, provider.token(), connections, begin, ended), daemon=True)
    flood.start()
    ended.acquire()  # it is there
    for _ in range(TURNS):
        alone = _answered(url, regular, 4).p99_ms
        begin.release()
        time.sleep(_UNDER_WAY_S)
        beside = _answered(url, regular, 4).p99_ms
        ended.acquire()
        times.append(beside / alone)
        say(f"flood over {connections}: p99 {alone:.2f} ms alone, {beside:.2f} ms beside, {times[-1]:.2f} times")
    flood.terminate()
    flood.join()
    name = f"registry: flood of unknown tokens over {connections}, p99 of others"
    return Figure(name, statistics.median(times), "times the p99 alone", None, None)


def _send_floods(url: str, token: str, connections: int, begin: Semaphore, ended: Semaphore) -> None:
    """Send tokens with a known `kid` and a wrong signature, each another one, whenever it is to begin."""
    os.nice(19)
    wrong = _wrong(token, FLOOD)
    while True:
        ended.release()
        begin.acquire()
        measure_here(url, wrong, connections, 2 * SECONDS + 4)


def _wrong(token: str, count: int) -> list[bytes]:
    head, claims, _ = token.split(".")
    asked = request("GET", "/schemas/ids/1")
    return [_with(asked, f"{head}.{claims}.{number:0342d}") for number in range(count)]
