"""The registry's regular clients while another caller attacks it: their slowest hundredth, and the service's memory.

Four clients read schemas, resolve addresses and register schemas without a pause, in turns alone and beside an attack, so that
what else the machine does falls on both alike. The figure of an attack is the median, over the turns, of the 99th percentile
beside it divided by the one just before. The attackers run in a process of their own with the lowest priority, as they would
have a machine of their own. Memory is the most that the service and its child processes had during the turns of an attack, less
the most before the first attack.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event, Semaphore
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

import httpx2

from tests.bench.figures import Figure, say
from tests.bench.load import measure, request
from tests.bench.service import forget_peak, peak_mb, service
from tests.postgres_session import running_postgres
from tests.registry.schemas import plays, record
from tests.registry.test_connections import HEAD, MALFORMED, POST

DATABASES: Final = ("sqlite", "postgresql")
CLIENTS: Final = 4
TURNS: Final = 4
SECONDS: Final = 2.0
SCHEMAS: Final = 500
_UNDER_WAY_S: Final = 1.0
_NEW: Final = 1_000  # schemas that the clients register in a turn, at most

Attack = Callable[[str, Event], None]


def figures(wanted: str = "", databases: str = ",".join(DATABASES)) -> Iterator[Figure]:
    """What regular clients notice of each attack, and what memory it takes, on each database; and a table for people.

    Args:
        wanted: a part of the names of the attacks that are wanted; all by default.
        databases: with commas between them.
    """
    say(_row("database", "attack", "p99 alone", "beside", "times", "memory"))
    for kind in databases.split(","):
        with _database(kind) as database, service(database) as (url, pid):
            regular = _Regular(url)
            regular.p99_ms()
            before = peak_mb(pid)
            for name in (each for each in ATTACKS if wanted in each):
                forget_peak(pid)
                alone, beside = _turns(regular, name)
                times = statistics.median(each / calm for calm, each in zip(alone, beside, strict=True))
                calm, noticed, grown = statistics.median(alone), statistics.median(beside), peak_mb(pid) - before
                say(_row(kind, name, f"{calm:.1f} ms", f"{noticed:.1f} ms", f"{times:.2f}", f"{grown:+.0f} MB"))
                yield Figure(f"registry on {kind}: {name}, p99 of others", times, "times the p99 alone", None, None)
                yield Figure(f"registry on {kind}: {name}, memory", grown, "MB more", None, None)


def _row(*cells: str) -> str:
    kind, attack, *numbers = cells
    return f"{kind:10}  {attack:42}" + "".join(f"{each:>11}" for each in numbers)


@contextmanager
def _database(kind: str) -> Iterator[str | None]:
    """Yield the URL of an empty database, or None for a new SQLite file."""
    if kind == "sqlite":
        yield None
    else:
        with running_postgres() as (_, new):
            yield new()


def _turns(regular: _Regular, name: str) -> tuple[list[float], list[float]]:
    """Return the clients' 99th percentiles alone and beside the attack, in turns; the two of a turn are neighbours."""
    alone, beside = [], []
    context = multiprocessing.get_context("spawn")
    begin, ended, done = context.Semaphore(0), context.Semaphore(0), context.Event()
    attacker = context.Process(target=_attack, args=(name, regular.url, begin, ended, done), daemon=True)
    attacker.start()
    ended.acquire()  # it is there
    for _ in range(TURNS):
        alone.append(regular.p99_ms())
        done.clear()
        begin.release()
        time.sleep(_UNDER_WAY_S)
        beside.append(regular.p99_ms())
        done.set()
        ended.acquire()
    attacker.terminate()
    attacker.join()
    return alone, beside


class _Regular:
    """The regular clients, and what they and the attacks need in the registry."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._registered = 0
        product, schemas = plays()
        body = {
            "descriptor": json.loads(product.model_dump_json(by_alias=True)),
            "schemas": {name: schema.text for name, schema in schemas.items()},
        }
        with httpx2.Client(base_url=url, trust_env=False, timeout=60) as http:
            http.post("/api/v1/dataproducts", json=body).raise_for_status()
            for number in range(SCHEMAS):
                http.post(f"/subjects/c{number}/versions", json={"schema": record(f"c{number}?")}).raise_for_status()
            http.put("/config/wide", json={"compatibility": "FULL_TRANSITIVE"}).raise_for_status()
            for version in range(25):
                http.post("/subjects/wide/versions", json={"schema": _wide("string", version)}).raise_for_status()
            # The process of large judgements is there before the first attack.
            http.post("/subjects/wide/versions", json={"schema": _wide("int", 0)})
            http.put("/mode/imported", json={"mode": "IMPORT"}).raise_for_status()

    def p99_ms(self) -> float:
        """Return the time within which 99 of 100 requests of a turn are answered.

        Raises:
            SystemExit: a request was refused.
        """
        found = measure(self.url, list(self._requests()), connections=CLIENTS, seconds=SECONDS)
        if found.refused:
            raise SystemExit(
                f"{found.refused} of {found.answered} regular requests were refused; the last answer: {found.last}"
            )
        return found.p99_ms

    def _requests(self) -> Iterator[bytes]:
        """Yield six reads, three addresses and a new schema, again and again."""
        resolve = request("GET", "/api/v1/resolve/player/plays")
        for number in range(_NEW):
            yield from (request("GET", f"/schemas/ids/{1 + (6 * number + each) % SCHEMAS}") for each in range(6))
            yield from [resolve] * 3
            self._registered += 1
            yield _register(f"n{self._registered}", record(f"n{self._registered}?"))


def _register(subject: str, text: str) -> bytes:
    return request("POST", f"/subjects/{subject}/versions", json.dumps({"schema": text}))


def _wide(kind: str, version: int) -> str:
    fields = [{"name": f"f{i}", "type": ["null", kind], "default": None} for i in range(1_500)]
    return json.dumps({"type": "record", "name": "bench.Wide", "doc": str(version), "fields": fields})


# --- the attacks


def _attack(name: str, url: str, begin: Semaphore, ended: Semaphore, done: Event) -> None:
    """Attack until `done`, each time that it is to begin."""
    os.nice(19)
    while True:
        ended.release()
        begin.acquire()
        ATTACKS[name](url, done)


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [Thread(target=work, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _malformed(url: str, done: Event) -> None:
    """Two hundred sockets at once, each with one malformed request after another."""

    def one(number: int) -> None:
        while not done.is_set():
            number += 1
            with suppress(OSError), _connect(url) as peer:
                peer.sendall(MALFORMED[number % len(MALFORMED)])
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            time.sleep(0.5)

    _in_threads(200, one)


def _endless(url: str, done: Event) -> None:
    """Four sockets, each with a header line that does not end; one that is closed is opened again."""

    def one(_: int) -> None:
        while not done.is_set():
            with suppress(OSError), _connect(url) as peer:
                peer.sendall(HEAD + b"x: ")
                while not done.is_set():
                    peer.sendall(b"a" * 65536)

    _in_threads(4, one)


def _half_sent(url: str, done: Event) -> None:
    """A thousand sockets with half a head or half a body, opened again as they are cut."""
    halves = (HEAD, POST + b"content-length: 1000000\r\n\r\n" + b" " * 100_000)
    peers: list[socket.socket] = []
    while not done.is_set():
        with suppress(OSError):
            peer = _connect(url)
            peer.setblocking(False)
            with suppress(BlockingIOError):
                peer.send(halves[len(peers) % 2])
            peers.append(peer)
        if len(peers) >= 1000:
            peers.pop(0).close()
            time.sleep(0.01)


def _repeated(*requests: tuple[str, str, object]) -> Attack:
    def attack(url: str, done: Event) -> None:
        def one(number: int) -> None:
            with httpx2.Client(base_url=url, trust_env=False, timeout=120) as http:
                while not done.is_set():
                    for method, path, body in requests[number % len(requests) :] + requests[: number % len(requests)]:
                        with suppress(httpx2.TransportError):
                            http.request(method, path, json=body)
                        if done.is_set():
                            return

        _in_threads(2, one)

    return attack


_REFERENCES: Final = [{"name": f"r{number}", "subject": "c1", "version": 1} for number in range(50_000)]
_NUMBERS: Final = [2**power + step for power in range(65) for step in (-1, 0, 1)]
ATTACKS: Final[dict[str, Attack]] = {
    "200 malformed sockets": _malformed,
    "endless header lines": _endless,
    "half-sent requests": _half_sent,
    "50,000 references": _repeated(
        ("POST", "/subjects/s/versions", {"schema": '"string"', "references": _REFERENCES}),
    ),
    "1,500 fields refused against 25 versions": _repeated(
        ("POST", "/subjects/wide/versions", {"schema": _wide("int", 0)}),
        ("POST", "/subjects/wide/versions", {"schema": _wide("long", 1)}),
    ),
    "ids around every power of two": _repeated(
        *(("GET", f"/schemas/ids/{number}", None) for number in _NUMBERS),
        *(("GET", f"/subjects/c1/versions/{number}", None) for number in _NUMBERS),
        *(("POST", "/subjects/imported/versions", {"schema": record(f"i{each}?"), "id": each}) for each in _NUMBERS),
        *(("POST", f"/api/v1/waivers/{number}/revoke", None) for number in _NUMBERS),
    ),
}
