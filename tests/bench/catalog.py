"""The catalog's pages at 10,000 products: each kind by one reader, page after page, and the search while 16 type.

The contracts promise no compatibility, so that the ten versions of `catalog:10` are not compared with each other first: that is
`gate`'s figure. The pages are those that a browser gets, without its own work. The first figure is the time from the
registrations until the search has read all products; pages are answered meanwhile. `catalog:10` gives each contract ten versions.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator
from typing import Final

import httpx2

from tests.bench.figures import Figure, say
from tests.bench.load import Load, measure, request
from tests.bench.service import resident_mb, service

PRODUCTS: Final = 10_000
DOMAINS: Final = 60
SECONDS: Final = 5.0
# A measurement ends after some minutes.
_AT_ONCE: Final = 1_000
SYLLABLES: Final = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]


def figures(versions: str = "1") -> Iterator[Figure]:
    """The pages of a registry with `PRODUCTS` products.

    Args:
        versions: of each product's contract; each has one field more than the one before.
    """
    say(f"{PRODUCTS} products are registered first, {versions} times; each time takes a minute")
    dice = random.Random(1)
    vocabulary = ["".join(dice.choices(SYLLABLES, k=3)) for _ in range(5000)]
    names = [f"{dice.choice(vocabulary)}-{number}" for number in range(PRODUCTS)]
    with service() as (url, pid):
        for version in range(int(versions)):
            dice.seed(2)
            products = [_product(number, name, vocabulary, dice, version) for number, name in enumerate(names)]
            for begin in range(0, PRODUCTS, _AT_ONCE):
                _all_pages(measure(url, products[begin : begin + _AT_ONCE]))
            say(f"{len(products) * (version + 1)} versions")
        begun = time.perf_counter()
        while not httpx2.get(f"{url}/api/v1/search?limit=1", trust_env=False, timeout=60).json()["complete"]:
            time.sleep(0.1)
        yield Figure("catalog: search complete after the registrations", time.perf_counter() - begun, "s", None, None)
        some = dice.sample(range(PRODUCTS), 200)
        words = [dice.choice(vocabulary) for _ in range(200)]
        for name, paths in {
            "home": ["/"],
            "domain": [f"/catalog/domains/domain{number}" for number in range(DOMAINS)],
            "product": [f"/catalog/products/domain{number % DOMAINS}/{names[number]}" for number in some],
            "versions": [f"/catalog/versions/domain{number % DOMAINS}/{names[number]}" for number in some],
            "search": [f"/catalog/search?q={each}" for each in words],
            "search, a typo": [f"/catalog/search?q={each[:2]}{each[3]}{each[2]}{each[4:]}" for each in words],
            "search, a letter": [f"/catalog/search?q={each[0]}" for each in words],
            "lineage": [f"/catalog/lineage/domain{number % DOMAINS}/{names[number]}" for number in some],
        }.items():
            load = _all_pages(measure(url, [_page(path) for path in paths], connections=1, seconds=SECONDS))
            yield Figure(f"catalog: {name}, p50", load.p50_ms, "ms", None, None)
            yield Figure(f"catalog: {name}, p99", load.p99_ms, "ms", None, None)
        typed = [_page(f"/catalog/search?q={each[:length]}") for each in words for length in range(1, len(each))]
        load = _all_pages(measure(url, typed, connections=16, seconds=SECONDS))
        yield Figure("catalog: search by 16 who type", load.rate, "pages/s", None, None)
        yield Figure("catalog: resident memory", resident_mb(pid), "MB", None, None)


def _all_pages(load: Load) -> Load:
    if load.refused:
        raise SystemExit(f"{load.refused} of {load.answered} requests were refused; the last answer: {load.last}")
    return load


def _page(path: str) -> bytes:
    """A request of a browser."""
    return f"GET {path} HTTP/1.1\r\nHost: registry\r\nAccept: text/html,*/*;q=0.8\r\n\r\n".encode()


def registrations(count: int, dice: random.Random) -> list[bytes]:
    """Return the requests that register so many products."""
    vocabulary = ["".join(dice.choices(SYLLABLES, k=3)) for _ in range(5000)]
    names = [f"{dice.choice(vocabulary)}-{number}" for number in range(count)]
    return [_product(number, name, vocabulary, dice, 0) for number, name in enumerate(names)]


def _product(number: int, name: str, vocabulary: list[str], dice: random.Random, version: int) -> bytes:
    fields = [
        {
            "name": f"{dice.choice(vocabulary)}_{index}",
            "type": ["null", "string"],
            "default": None,
            "doc": _text(vocabulary, dice, 8),
        }
        for index in range(20)
    ]
    added = [{"name": f"added_{index}", "type": ["null", "long"], "default": None} for index in range(version)]
    key = {"name": "id", "type": {"type": "string", "polyseme": f"{dice.choice(vocabulary[:50])}_id"}}
    schema = {"type": "record", "name": f"bench.P{number}", "fields": [key, *fields, *added]}
    descriptor = {
        "address": f"mesh://domain{number % DOMAINS}/{name}",
        "id": str(uuid.UUID(int=number + 1)),
        "archetype": "source-aligned",
        "description": _text(vocabulary, dice, 25),
        "owner": f"team-{number % 200}",
        "tags": [dice.choice(vocabulary)],
        "outputPorts": [{"key": "id", "compatibility": "NONE"}],
    }
    return request(
        "POST",
        "/api/v1/dataproducts",
        json.dumps({"descriptor": descriptor, "schemas": {"events@1": json.dumps(schema)}}),
    )


def _text(vocabulary: list[str], dice: random.Random, words: int) -> str:
    return " ".join(dice.choices(vocabulary, k=words))
