"""The registry's regular clients while another caller attacks it: their slowest hundredth, and the service's memory.

Four clients read schemas, resolve addresses and register schemas without a pause, first alone and then beside each attack.
The attackers run in processes of their own with the lowest priority, as they would have a machine of their own. `ratio` is
the time beside the attack divided by the time without one. Memory is that of the service and its child processes; its
figure stands beside the memory before the first attack.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

import httpx2

from tests.bench.figures import Figure
from tests.bench.load import Load, measure, request
from tests.registry.schemas import plays, record
from tests.registry.test_connections import HEAD, MALFORMED, POST

CLIENTS: Final = 4
SECONDS: Final = 8.0
SCHEMAS: Final = 500
_SERVE: Final = (
    "import sys; from meshport_registry import Settings, serve; "
    "serve(Settings(database=sys.argv[1], port=int(sys.argv[2]), bootstrap_servers='kafka:9092'))"
)

Attack = Callable[[str, Event], None]


def figures(wanted: str = "") -> Iterator[Figure]:
    """Time of the regular clients alone and beside each attack, and the service's memory after each.

    Args:
        wanted: a part of the names of the attacks that are wanted; all by default.
    """
    with _service() as (url, pid):
        load = _prepare(url)
        _regular(url, load)
        calm, before = _regular(url, load), _memory_mb(pid)
        yield Figure("registry: regular clients, p99", calm.p99_ms, "ms", None, None)
        for name in (each for each in ATTACKS if wanted in each):
            done = multiprocessing.get_context("spawn").Event()
            attacker = multiprocessing.get_context("spawn").Process(target=_attack, args=(name, url, done), daemon=True)
            attacker.start()
            time.sleep(2.0)  # until it is under way
            beside, memory = _regular(url, load), _memory_mb(pid)
            done.set()
            attacker.join()
            yield Figure(f"registry: {name}, p99 of others", beside.p99_ms, "ms", "without an attack", calm.p99_ms)
            yield Figure(f"registry: {name}, memory", memory, "MB", "before the attacks", before)


def _regular(url: str, load: list[bytes]) -> Load:
    found = measure(url, load, connections=CLIENTS, seconds=SECONDS)
    if found.refused:
        raise SystemExit(
            f"{found.refused} of {found.answered} regular requests were refused; the last answer: {found.last}"
        )
    return found


@contextmanager
def _service() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, f"sqlite:///{Path(folder) / 'registry.db'}", str(port)],
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx2.Client(transport=httpx2.HTTPTransport(retries=10), trust_env=False, timeout=30) as http:
                http.get(f"{url}/health").raise_for_status()
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(30)


def _prepare(url: str) -> list[bytes]:
    """Register what the clients and the attacks need, and return the requests of the clients."""
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
    by_id = [request("GET", f"/schemas/ids/{1 + number % SCHEMAS}") for number in range(6_000)]
    resolve = request("GET", "/api/v1/resolve/player/plays")
    new = [_register(f"n{number % 1000}", record(f"n{number}?")) for number in range(1_000)]
    return [
        each for number, one in enumerate(new) for each in (*by_id[6 * number : 6 * number + 6], *[resolve] * 3, one)
    ]


def _register(subject: str, text: str) -> bytes:
    return request("POST", f"/subjects/{subject}/versions", json.dumps({"schema": text}))


def _wide(kind: str, version: int) -> str:
    fields = [{"name": f"f{i}", "type": ["null", kind], "default": None} for i in range(1_500)]
    return json.dumps({"type": "record", "name": "bench.Wide", "doc": str(version), "fields": fields})


# --- the attacks


def _attack(name: str, url: str, done: Event) -> None:
    os.nice(19)
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


def _memory_mb(pid: int) -> float:
    """Return the resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [
        pid,
        *(int(each) for task in children.parent.parent.iterdir() for each in (task / "children").read_text().split()),
    ]
    total = 0
    for each in found:
        for line in Path(f"/proc/{each}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024
