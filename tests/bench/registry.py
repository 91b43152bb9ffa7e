"""The registry beside Apicurio Registry: reads, registrations, their slowest hundredth, and memory.

Service and load generator are two processes on one machine; the generator is the same for the peer. Reads are asked for
over 16 connections, registrations one after another by one client and then by 16, each with its compatibility check
against the version before, and each durable in SQLite before it is answered (the peer keeps them in memory). Apicurio
knows no addresses; what its clients ask for to find a topic's contract, the latest version of the subject, is the peer
of `resolve`. `ratio` is ours divided by the peer's: more than 1 is better for rates, less for times and memory.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import httpx2
import platformdirs

from tests.bench.apicurio import NoPeer, apicurio
from tests.bench.figures import Figure, say
from tests.bench.load import Load, measure, request
from tests.bench.service import resident_mb, service

PRODUCTS: Final = 10_000
REGISTRATIONS: Final = 1_000
READERS: Final = 16
READ_SECONDS: Final = 5.0
WARM_UP_SECONDS: Final = 6.0  # a JVM needs some thousand requests before it is itself
VERSIONS: Final = 5

Figures = dict[str, tuple[float, str]]


def figures() -> Iterator[Figure]:
    """The service with `PRODUCTS` products, and Apicurio Registry with as many schemas where it can be had."""
    say(f"{PRODUCTS} products are registered and measured, then the peer's; this takes some minutes")
    with service() as (url, pid):
        ours = _measure_ours(url, pid)
    peers: Figures = {}
    cache = platformdirs.user_cache_path("meshport") / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with apicurio(cache) as (url, pid):
            peers = _measure_peer(url, pid)
    except NoPeer as error:
        say(f"no peer: Apicurio Registry {error}")
    for name, (value, unit) in ours.items():
        peer = peers.get(name)
        yield Figure(f"registry: {name}", value, unit, "apicurio" if peer else None, peer[0] if peer else None)


def _measure_ours(url: str, pid: int) -> Figures:
    begun = time.perf_counter()
    _all_taken(measure(url, [_product(number) for number in range(PRODUCTS)], connections=READERS))
    say(f"registered {PRODUCTS} products at {PRODUCTS / (time.perf_counter() - begun):.0f}/s")
    dice = random.Random(1)
    numbers = [dice.randrange(PRODUCTS) for _ in range(20_000)]
    by_id = [request("GET", f"/schemas/ids/{number + 1}") for number in numbers]
    resolve = [request("GET", f"/api/v1/resolve/{_domain(number)}/p{number}") for number in numbers]
    return _figures(url, pid, "", by_id, resolve)


def _measure_peer(url: str, pid: int) -> Figures:
    root = url.partition("/apis")[2]
    prefix = f"/apis{root}"
    base = url.removesuffix(prefix)
    httpx2.put(f"{url}/config", json={"compatibility": "BACKWARD"}, trust_env=False).raise_for_status()
    schemas = [
        request("POST", f"{prefix}/subjects/p{number}-value/versions", json.dumps({"schema": _schema(f"P{number}", 0)}))
        for number in range(PRODUCTS)
    ]
    begun = time.perf_counter()
    _all_taken(measure(base, schemas, connections=READERS))
    say(f"the peer registered {PRODUCTS} schemas at {PRODUCTS / (time.perf_counter() - begun):.0f}/s")
    dice = random.Random(1)
    numbers = [dice.randrange(PRODUCTS) for _ in range(20_000)]
    by_id = [request("GET", f"{prefix}/schemas/ids/{number + 1}") for number in numbers]
    latest = [request("GET", f"{prefix}/subjects/p{number}-value/versions/latest") for number in numbers]
    return _figures(base, pid, prefix, by_id, latest)


def _figures(url: str, pid: int, prefix: str, by_id: list[bytes], resolve: list[bytes]) -> Figures:
    """The figures in the order in which they are measured; each read is warmed up by the same."""
    figures: Figures = {}
    for name, requests in (("schema by id", by_id), ("resolve", resolve)):
        measure(url, requests, connections=READERS, seconds=WARM_UP_SECONDS)
        load = _all_taken(measure(url, requests, connections=READERS, seconds=READ_SECONDS))
        figures[name] = (load.rate, "requests/s")
        figures[f"{name}, p99"] = (load.p99_ms, "ms")
    rounds = range(VERSIONS)
    subjects = REGISTRATIONS // VERSIONS
    for clients, first in ((1, 0), (READERS, subjects)):
        # The versions of one subject come one round after another, so that no client overtakes another's version.
        requests = [_version(prefix, first + number, each) for each in rounds for number in range(subjects)]
        load = _all_taken(measure(url, requests, connections=clients))
        name = "register" if clients == 1 else f"register, {clients} clients"
        figures[name] = (load.rate, "requests/s")
        figures[f"{name}, p99"] = (load.p99_ms, "ms")
    figures["resident memory"] = (resident_mb(pid), "MB")
    return figures


def _all_taken(load: Load) -> Load:
    if load.refused:
        raise SystemExit(f"{load.refused} of {load.answered} requests were refused; the last answer: {load.last}")
    return load


def _domain(number: int) -> str:
    return f"domain{number % 100}"


def _schema(name: str, version: int) -> str:
    """A record of twelve fields, and one optional field more with each version."""
    optional = [{"name": f"f{i}", "type": ["null", "string"], "default": None} for i in range(10 + version)]
    at = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    fields: list[dict[str, Any]] = [{"name": "id", "type": "string"}, at, *optional]
    return json.dumps({"type": "record", "name": f"bench.{name}", "fields": fields})


def _product(number: int) -> bytes:
    descriptor = {
        "address": f"mesh://{_domain(number)}/p{number}",
        "id": str(uuid.UUID(int=number + 1)),
        "archetype": "source-aligned",
        "description": "A product of the bench.",
        "owner": "bench",
        "outputPorts": [{"key": "id", "time": "at"}],
    }
    body = {"descriptor": descriptor, "schemas": {"events@1": _schema(f"P{number}", 0)}}
    return request("POST", "/api/v1/dataproducts", json.dumps(body))


def _version(prefix: str, number: int, version: int) -> bytes:
    body = json.dumps({"schema": _schema(f"R{number}", version)})
    return request("POST", f"{prefix}/subjects/r{number}-value/versions", body)
