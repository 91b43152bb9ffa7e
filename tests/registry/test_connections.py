"""Sockets that send too much, too slowly or nonsense: each is cut or refused, and other clients are answered meanwhile."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from meshport_registry import Settings, running
from meshport_registry.connections import LARGEST_BODY, ConnectionLimits
from tests.plain_http import plain_http
from tests.registry.schemas import record
from tests.waiting import PATIENCE_S

HEAD: Final = b"GET /subjects HTTP/1.1\r\nhost: r\r\n"
POST: Final = b"POST /subjects/s/versions HTTP/1.1\r\nhost: r\r\ncontent-type: application/json\r\n"
PIECE: Final = b"a" * 64 * 1024
# Each socket sends one of them; what is no request gets a 4xx or none at all.
MALFORMED: Final = (
    b"\x00" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200,  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /subjects\r\n\r\n",
    b"GET /subjects HTTP/9.9\r\n\r\n",
    b"GET  /subjects  HTTP/1.1\r\nhost: r\r\n\r\n",
    b"GET subjects HTTP/1.1\r\nhost: r\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\nhost: r\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: r\r\n\r\n",
    b"BREW /subjects HTTP/1.1\r\nhost: r\r\n\r\n",
    b"CONNECT r:443 HTTP/1.1\r\nhost: r\r\n\r\n",
    b"GET /subjects HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /subjects HTTP/1.1\r\n: no name\r\n\r\n",
    b"GET /subjects HTTP/1.1\r\na b: c\r\n\r\n",
    b"GET /subjects HTTP/1.1\r\na: b\x00c\r\n\r\n",
    b"GET /subjects HTTP/1.1\r\n folded: x\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: r\r\n\r\n",
    HEAD + b"x: " + b"a" * 40_000 + b"\r\n\r\n",
    HEAD + b"x" * 40_000 + b": a\r\n\r\n",
    HEAD + b"".join(b"x%d: 1\r\n" % number for number in range(200)) + b"\r\n",
    POST + b"content-length: -1\r\n\r\n{}",
    POST + b"content-length: 1e3\r\n\r\n{}",
    POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    POST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    POST + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n",
    POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}XX\r\n",
    POST + b"transfer-encoding: gzip\r\n\r\n{}",
    b"\r\n" * 40_000,
)


@contextmanager
def bounded(folder: Path, **limits: Any) -> Iterator[str]:
    """Run a service with these limits of its connections."""
    settings = Settings(database=f"sqlite:///{folder / 'r.db'}", port=0, connections=ConnectionLimits(**limits))
    with running(settings) as url:
        yield url


def connect(url: str) -> socket.socket:
    """Return a socket to the service."""
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def rest(peer: socket.socket) -> bytes:
    """Return what the service sends until it closes the connection; a reset closes it as well."""
    received = bytearray()
    with suppress(ConnectionResetError, BrokenPipeError):
        while part := peer.recv(64 * 1024):
            received += part
    return bytes(received)


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(each[:3]) for each in answer.split(b"HTTP/1.1 ")[1:]]


def answered(url: str) -> bool:
    """Whether a request of another client is answered."""
    with plain_http(url) as http:
        return http.get("/subjects").status_code == 200


def flood(url: str, begin: bytes, piece: bytes = PIECE) -> bytes:
    """Send the beginning of a request and then the same piece for ever, until the service has had enough; return its answer."""
    with connect(url) as peer:
        with suppress(ConnectionResetError, BrokenPipeError):
            peer.sendall(begin)
            while True:
                peer.sendall(piece)
        return rest(peer)


def test_malformed_requests_are_refused_one_by_one(service: str, http: httpx2.Client) -> None:
    """Two hundred sockets send what is no request: each is closed with a 4xx or without a word, and none stops another."""

    def one(number: int) -> list[int]:
        with connect(service) as peer:
            with suppress(ConnectionResetError, BrokenPipeError):
                peer.sendall(MALFORMED[number % len(MALFORMED)])
                peer.shutdown(socket.SHUT_WR)
            return statuses(rest(peer))

    with ThreadPoolExecutor(20) as pool:
        for number, found in enumerate(pool.map(one, range(200))):
            assert all(status < 500 for status in found), MALFORMED[number % len(MALFORMED)][:80]
            assert http.get("/subjects").status_code == 200


ENDLESS: Final[dict[str, tuple[bytes, bytes]]] = {
    "header value": (HEAD + b"x: ", PIECE),
    "header name": (HEAD, PIECE),
    "request line": (b"GET /", PIECE),
    "method": (b"", PIECE),
    "headers": (HEAD, b"x: 1\r\n" * 1000),
    "blank lines": (b"", b"\r\n" * 1000),
    "trailer": (POST + b"transfer-encoding: chunked\r\n\r\n0\r\nx: ", PIECE),
    "trailers": (POST + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x: 1\r\n" * 1000),
    "chunk extension": (POST + b"transfer-encoding: chunked\r\n\r\n2;x=", PIECE),
    "chunks": (POST + b"transfer-encoding: chunked\r\n\r\n", b"8000\r\n" + b"1" * 0x8000 + b"\r\n"),
    "requests": (b"", HEAD + b"\r\n"),
}


@pytest.mark.parametrize("begin", ENDLESS.values(), ids=ENDLESS)
def test_a_request_without_end_is_cut(tmp_path: Path, begin: tuple[bytes, bytes]) -> None:
    """A request that goes on for ever is cut at its bound in bytes, and others are answered until then."""
    patient = {"head_s": 3600, "body_s": 3600, "read_s": 3600}
    with bounded(tmp_path, **patient) as url, ThreadPoolExecutor(4) as pool:
        attacks = [pool.submit(flood, url, *begin) for _ in range(4)]
        while not all(each.done() for each in attacks):
            assert answered(url)
        for each in attacks:
            assert {200, 400, 413, 429, 431}.issuperset(statuses(each.result()))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", []),
        (b"GET /subj", [408]),
        (HEAD, [408]),
        (HEAD + b"x: 1\r\n", [408]),
        (POST + b"content-length: 10\r\n\r\n", [408]),
        (POST + b"content-length: 10\r\n\r\n{", [408]),
        (POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{", [408]),
        (HEAD + b"\r\n", [200]),
        (HEAD + b"\r\n" + b"\r\n", [200]),
        (HEAD + b"\r\n" + HEAD, [200, 408]),
    ],
)
def test_a_request_that_is_not_completed_is_cut(tmp_path: Path, sent: bytes, status: list[int]) -> None:
    """Head and body have a time each; a connection on which nothing has begun is closed without a word."""
    with bounded(tmp_path, head_s=0.2, body_s=0.2) as url, connect(url) as peer:
        peer.sendall(sent)
        assert statuses(rest(peer)) == status


def test_a_request_that_arrives_byte_by_byte_is_cut(tmp_path: Path) -> None:
    """Each byte of a head gives no further time to the rest of it."""
    with bounded(tmp_path, head_s=0.3) as url, connect(url) as peer, suppress(ConnectionResetError, BrokenPipeError):
        peer.sendall(HEAD + b"x: ")
        peer.settimeout(0.01)
        answer = b""
        while not answer:
            peer.sendall(b"a")
            with suppress(TimeoutError):
                answer = peer.recv(1024)
        assert statuses(answer) == [408]


def test_a_new_connection_takes_the_room_of_the_oldest_incomplete_one(tmp_path: Path) -> None:
    """Where too many connections are open, those that send nothing are closed, and clients that do are answered."""
    with (
        bounded(tmp_path, connections=10, head_s=3600) as url,
        plain_http(url) as regular,
    ):
        assert regular.get("/subjects").status_code == 200
        silent = [connect(url) for _ in range(30)]
        assert rest(silent[0]) == b""
        assert answered(url)
        assert regular.get("/subjects").status_code == 200
        for each in silent:
            each.close()


def test_bodies_that_are_never_completed_take_no_room_from_others(tmp_path: Path) -> None:
    """The oldest incomplete body is cut where all bodies together pass their bound, and whole requests are answered."""
    with bounded(tmp_path, bodies_bytes=LARGEST_BODY, body_s=3600) as url:
        peers = [connect(url) for _ in range(3)]
        for peer in peers:
            peer.sendall(POST + b"content-length: 3000000\r\n\r\n" + b" " * 2_500_000)
        assert statuses(rest(peers[0])) == [503]
        with plain_http(url) as http:
            body = json.dumps({"schema": record("a")}) + " " * 2_500_000
            answer = http.post("/subjects/s/versions", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 200
        for peer in peers:
            peer.close()


def test_a_client_that_reads_nothing_is_cut(tmp_path: Path) -> None:
    """A response that the client does not read is kept for `read_s` seconds only."""
    with bounded(tmp_path, read_s=0.3) as url:
        with plain_http(url) as http:
            for number in range(80):  # each judged in a thread; a judge process takes half a second to start
                large = json.dumps({"type": "enum", "name": f"E{number}", "symbols": ["A"], "doc": "d" * 60_000})
                http.post(f"/subjects/s{number}/versions", json={"schema": large}).raise_for_status()
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.settimeout(PATIENCE_S)
            peer.connect((host, int(port)))
            peer.sendall(b"GET /schemas HTTP/1.1\r\nhost: r\r\n\r\n")
            closed = select.poll()
            closed.register(peer, select.POLLHUP | select.POLLERR)
            assert closed.poll(PATIENCE_S * 1000)
            assert len(rest(peer)) < 80 * 60_000


def test_requests_of_one_connection_are_answered_in_their_order(tmp_path: Path) -> None:
    """Requests that are sent before the first response are answered one after another, up to a bound."""
    with bounded(tmp_path) as url:
        with connect(url) as peer:
            peer.sendall((HEAD + b"\r\n") * 10 + HEAD + b"connection: close\r\n\r\n")
            assert statuses(rest(peer)) == [200] * 11
        with connect(url) as peer:
            peer.sendall((HEAD + b"\r\n") * 1000)
            assert {200, 429}.issuperset(statuses(rest(peer)))


def test_a_body_in_many_small_chunks_is_taken(tmp_path: Path) -> None:
    """The bounds of a request's parts do not refuse a body for the way in which it arrives."""
    text = json.dumps({"schema": record("a")}).encode()
    with bounded(tmp_path) as url:
        with connect(url) as peer:
            peer.sendall(POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n")
            for byte in text:
                peer.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
            peer.sendall(b"0\r\nx-trailer: 1\r\n\r\n")
            assert statuses(rest(peer)) == [200]
        with connect(url) as peer:
            peer.sendall(
                POST + b"connection: close\r\nx: " + b"a" * 30_000 + b"\r\ncontent-length: %d\r\n\r\n" % len(text)
            )
            peer.sendall(text)
            assert statuses(rest(peer)) == [200]


# A request that is answered before its end: what is sent before the answer is read, its status, whether the connection is closed.
_OVERSIZE: Final = LARGEST_BODY + 1_000_000
EARLY_ANSWERS: Final[dict[str, tuple[bytes, int, bool]]] = {
    "a body of announced length": (
        POST + b"content-length: %d\r\n\r\n" % _OVERSIZE + b" " * _OVERSIZE,
        413,
        False,
    ),
    "a body that is too long to read on": (
        POST + b"content-length: %d\r\n\r\n" % 10**9 + b" " * _OVERSIZE,
        413,
        True,
    ),
    "chunks": (
        POST + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 100,
        413,
        True,
    ),
    "a body after an expectation": (
        POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % _OVERSIZE,
        413,
        True,
    ),
    "a body of a client that closes": (
        POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % _OVERSIZE + b" " * _OVERSIZE,
        413,
        True,
    ),
    "a header": (HEAD + b"x: " + b"a" * _OVERSIZE, 431, True),
    "no HTTP": (b"\x16\x03\x01" + b"\xaa" * _OVERSIZE, 400, True),
}


@pytest.mark.parametrize("name", EARLY_ANSWERS)
def test_an_answer_before_the_end_of_its_request_is_received(tmp_path: Path, name: str) -> None:
    """A client that reads once it has sent all gets the answer without a reset, and it says what becomes of the connection."""
    sent, status, closed = EARLY_ANSWERS[name]
    with bounded(tmp_path) as url, connect(url) as peer:
        peer.sendall(sent)
        if not closed:
            peer.sendall(HEAD + b"connection: close\r\n\r\n")
        answer = bytearray()
        while part := peer.recv(64 * 1024):
            answer += part
        assert statuses(bytes(answer)) == [status] + [200] * (not closed)
        assert (b"connection: close" in answer.split(b"\r\n\r\n")[0]) is closed


def test_a_body_that_is_complete_before_its_answer_keeps_the_connection(tmp_path: Path) -> None:
    """Chunks and an expectation close the connection only where the answer comes before the end of the body."""
    text = json.dumps({"schema": record("a")}).encode()
    with bounded(tmp_path) as url, connect(url) as peer:
        peer.sendall(POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(text))
        peer.sendall(text + b"\r\n0\r\n\r\n")
        assert b"connection" not in answer_of(peer)
        peer.sendall(POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(text))
        assert answer_of(peer).startswith(b"HTTP/1.1 100")
        peer.sendall(text)
        assert b"connection" not in answer_of(peer)
        peer.sendall(HEAD + b"connection: close\r\n\r\n")
        assert statuses(rest(peer)) == [200]


def answer_of(peer: socket.socket) -> bytes:
    """Return what arrives next: one response, which is small."""
    return peer.recv(64 * 1024)
