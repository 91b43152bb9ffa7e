"""The mesh as a document of each standard at 10,000 products: time, memory of the registry, and its pages meanwhile.

`exports:N,M` measures with N and with M products, which shows what grows worse than linearly.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Final

import httpx2

from meshport.export.formats import ProductFormat
from tests.bench.catalog import registrations
from tests.bench.figures import Figure, say
from tests.bench.load import measure
from tests.bench.service import forget_peak, peak_mb, service

PRODUCTS: Final = 10_000


def figures(sizes: str = str(PRODUCTS)) -> Iterator[Figure]:
    """The exports of registries with so many products each.

    Args:
        sizes: numbers of products, with commas between them.
    """
    for count in map(int, sizes.split(",")):
        say(f"{count} products are registered first")
        with service() as (url, pid):
            load = measure(url, registrations(count, random.Random(1)))
            if load.refused:
                raise SystemExit(f"{load.refused} products were refused; the last answer: {load.last}")
            yield from _exports(url, pid, count)


def _exports(url: str, pid: int, count: int) -> Iterator[Figure]:
    with httpx2.Client(base_url=url, trust_env=False, timeout=600) as http:
        for form in ProductFormat:
            forget_peak(pid)
            with _Pages(url) as pages:
                begun = time.perf_counter()
                answer = http.get(f"/api/v1/export/{form}")
                took = time.perf_counter() - begun
            answer.raise_for_status()
            json.loads(answer.content)
            name = f"exports: {form}, {count} products"
            yield Figure(name, took, "s", None, None)
            yield Figure(f"{name}, size", len(answer.content) / 1e6, "MB", None, None)
            yield Figure(f"{name}, peak memory", peak_mb(pid), "MB", None, None)
            yield Figure(f"{name}, slowest page meanwhile", pages.slowest_ms, "ms", None, None)


class _Pages:
    """Asks for a small answer again and again, and keeps how long the slowest took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.slowest_ms = 0.0

    def _ask(self) -> None:
        with httpx2.Client(base_url=self._url, trust_env=False, timeout=600) as http:
            while not self._ended.wait(0.02):
                begun = time.perf_counter()
                http.get("/catalog/login").raise_for_status()
                self.slowest_ms = max(self.slowest_ms, (time.perf_counter() - begun) * 1000)

    def __enter__(self) -> _Pages:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
