"""64 clients at once, and a killed server: an id names one schema, and acknowledged writes survive."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from meshport.registry import Registry
from meshport.schema import parse_schema
from meshport_registry import Settings, running
from tests.plain_http import plain_http
from tests.registry.schemas import record
from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S

CLIENTS = 64


def at_once(url: str, work: Callable[[httpx2.Client, int], None]) -> None:
    """Run `work(client, number)` for 64 clients that start at the same time."""
    gate = threading.Barrier(CLIENTS)

    def one(number: int) -> None:
        with plain_http(url) as http:
            gate.wait()
            work(http, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CLIENTS)))


class Answers:
    """The responses to 64 clients."""

    def __init__(self) -> None:
        self.ids: dict[str, set[int]] = defaultdict(set)
        self.schemas: dict[int, set[str]] = defaultdict(set)
        self.versions: dict[str, set[int]] = defaultdict(set)
        self.statuses: dict[str, set[int]] = defaultdict(set)
        self._lock = threading.Lock()

    def register(self, http: httpx2.Client, subject: str, text: str) -> None:
        """Register a schema and record the response."""
        answer = http.post(f"/subjects/{subject}/versions", json={"schema": text})
        with self._lock:
            self.statuses[text].add(answer.status_code)
            if answer.status_code == 200:
                acknowledged = answer.json()
                self.ids[text].add(acknowledged["id"])
                self.schemas[acknowledged["id"]].add(parse_schema(acknowledged["schema"]).fingerprint)
                self.versions[subject].add(acknowledged["version"])

    def check(self) -> None:
        """Check that no schema has two ids and no id names two schemas."""
        assert [ids for ids in self.ids.values() if len(ids) != 1] == []
        assert [schemas for schemas in self.schemas.values() if len(schemas) != 1] == []


def test_64_clients_with_one_schema_get_one_id_and_one_version(service: str) -> None:
    """All clients that register the same schema in the same subject at once get the same id and version."""
    answers = Answers()
    at_once(service, lambda http, _: answers.register(http, "plays-value", record("user")))
    answers.check()
    assert answers.ids == {record("user"): {1}}
    assert answers.versions == {"plays-value": {1}}


def test_64_clients_with_different_schemas_leave_no_gap(service: str) -> None:
    """With schemas of their own and of their neighbours in four subjects, ids and versions are dense."""
    answers = Answers()

    def work(http: httpx2.Client, number: int) -> None:
        for offset in (0, 1):
            own = (number + offset) % CLIENTS
            answers.register(http, f"s{own % 4}", record("user", f"f{own}?"))

    at_once(service, work)
    answers.check()
    assert {status for statuses in answers.statuses.values() for status in statuses} == {200}
    assert sorted(answers.schemas) == list(range(1, CLIENTS + 1))
    with plain_http(service) as http:
        for subject, versions in answers.versions.items():
            assert http.get(f"/subjects/{subject}/versions").json() == sorted(versions) == list(range(1, 17))


def test_64_clients_with_incompatible_schemas_let_one_win(service: str) -> None:
    """Of 64 schemas that exclude one another, the check inside the transaction accepts one."""
    answers = Answers()
    at_once(service, lambda http, number: answers.register(http, "s", record(f"required{number}")))
    answers.check()
    accepted = [text for text, statuses in answers.statuses.items() if 200 in statuses]
    assert len(accepted) == 1
    assert all(statuses == {409} for text, statuses in answers.statuses.items() if text not in accepted)
    with plain_http(service) as http:
        assert http.get("/subjects/s/versions").json() == [1]


@pytest.mark.postgres
def test_two_nodes_on_one_postgresql_share_the_ids(postgres: Callable[[], str]) -> None:
    """With two nodes that start at once on an empty database, every schema still has one id, and no id names two."""
    database, answers = postgres(), Answers()
    with ThreadPoolExecutor(2) as pool, _nodes(pool, database) as urls:

        def work(http: httpx2.Client, number: int) -> None:
            with plain_http(urls[1]) as other:
                for each in (http, other):
                    answers.register(each, f"s{number % 3}", record("user", f"f{number // 2}?"))

        at_once(urls[0], work)
    answers.check()
    assert sorted(answers.schemas) == list(range(1, CLIENTS // 2 + 1))


@contextmanager
def _nodes(pool: ThreadPoolExecutor, database: str) -> Iterator[list[str]]:
    nodes = [running(Settings(database=database, port=0)) for _ in range(2)]
    urls = list(pool.map(lambda node: node.__enter__(), nodes))
    try:
        yield urls
    finally:
        for node in nodes:
            node.__exit__(None, None, None)


SERVER = "import sys; from meshport_registry import *; serve(Settings(database=sys.argv[1], port=int(sys.argv[2])))"


class Killed:
    """A registry in a process of its own."""

    def __init__(self, database: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it responds."""
        self._process = subprocess.Popen([sys.executable, "-c", SERVER, self._database, str(self.port)])
        transport = httpx2.HTTPTransport(
            verify=False, retries=12
        )  # with a longer pause before each further attempt to connect
        with httpx2.Client(base_url=self.url, transport=transport, timeout=PATIENCE_S, trust_env=False) as http:
            assert http.get("/health").status_code == 200

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


@repeated
def test_acknowledged_registrations_survive_kill_9(database: str) -> None:
    """Every registration that was acknowledged before a kill of the server is there unchanged, with one entry in the audit."""
    server, acknowledged = Killed(database), dict[int, str]()
    numbers = itertools.count()
    kills = repeats(2, 20)
    for _ in range(kills):
        server.start()
        enough = threading.Semaphore(0)

        def register(enough: threading.Semaphore = enough) -> None:
            with plain_http(server.url) as http:
                while True:
                    number = next(numbers)
                    body = {"schema": record("user", f"f{number}?")}
                    try:
                        answer = http.post(f"/subjects/s{number % 5}/versions", json=body)
                    except httpx2.TransportError:
                        return
                    assert answer.status_code == 200, answer.text
                    assert (
                        acknowledged.setdefault(answer.json()["id"], answer.json()["schema"]) == answer.json()["schema"]
                    )
                    enough.release()

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(register) for _ in range(8)]
            for _ in range(60):
                enough.acquire()
            server.kill()
            for client in clients:
                client.result()
    server.start()
    try:
        with plain_http(server.url) as http:
            assert len(acknowledged) >= 60 * kills
            written = 0
            for number, text in acknowledged.items():
                assert http.get(f"/schemas/ids/{number}").json()["schema"] == text
            for subject in http.get("/subjects").json():
                versions = http.get(f"/subjects/{subject}/versions").json()
                assert versions == list(range(1, len(versions) + 1))
                written += len(versions)
        with Registry(server.url, timeout=PATIENCE_S) as registry:
            assert registry.audit.verify().number == written
    finally:
        server.kill()
