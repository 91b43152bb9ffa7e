"""Connections that a client keeps and that end meanwhile: by a load balancer, or a registry that was started again."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from meshport.errors import RegistryUnavailable
from meshport.registry import AsyncRegistry, Registry

_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"


class Forgetful(socketserver.ThreadingTCPServer):
    """A server that answers the first request of each connection, and ends the connection as a second one comes.

    Attributes:
        requests: the first lines of all that came.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for answer in (_ANSWER, b""):
            first = line = self.rfile.readline()
            while line not in {b"\r\n", b""}:
                line = self.rfile.readline()
            if first:
                assert isinstance(self.server, Forgetful)
                self.server.requests.append(first.decode())
                self.wfile.write(answer)


@pytest.fixture
def forgetful() -> Iterator[Forgetful]:
    """Run the server."""
    with Forgetful() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_question_is_sent_again_on_a_new_connection(forgetful: Forgetful) -> None:
    """A kept connection that ends as a GET is sent on it costs the caller nothing: the next connection gets the same request."""
    with Registry(forgetful.url) as registry:
        assert [registry.readers("player/plays") for _ in range(3)] == [()] * 3
    assert len(forgetful.requests) == 5


def test_so_is_that_of_an_event_loop(forgetful: Forgetful) -> None:
    """The client for event loops does the same."""

    async def ask() -> None:
        async with AsyncRegistry(forgetful.url) as registry:
            assert [await registry.readers("player/plays") for _ in range(3)] == [()] * 3

    asyncio.run(ask())
    assert len(forgetful.requests) == 5


def test_a_change_is_not_sent_twice(forgetful: Forgetful) -> None:
    """A request that changes something may have been carried out before its connection ended: the caller gets the error."""
    with Registry(forgetful.url) as registry:
        assert registry.readers("player/plays") == ()
        with pytest.raises(RegistryUnavailable, match="did not answer"):
            registry.waivers.revoke(1)
    assert [each.split()[0] for each in forgetful.requests] == ["GET", "POST"]
