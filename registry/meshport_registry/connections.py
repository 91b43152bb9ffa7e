"""Bounds of what one connection may send, how slowly, and how many connections there are.

uvicorn bounds none of it with httptools: a header line grows without end, and a request that is never completed is never
cut. (With h11 it bounds the bytes of an incomplete event and nothing else, at half the requests a second.) Here every part
of a request has a bound in bytes and one in seconds. Where connections or memory run out, the oldest request that is
still incomplete is cut: clients that send whole requests are not turned away for those that do not.

A request may be answered before its end, such as one whose body is too large. The connection is then read to the end of that
request and can be used again, if its announced length is small enough; otherwise the response says `connection: close`, and the
connection is closed after the client's end (`meshport_registry.lingering`).
"""

from __future__ import annotations

import asyncio
import json
import resource
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from pydantic import BaseModel, ConfigDict, Field
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from meshport_registry.lingering import MOST_UNREAD, LingeringTransport

LARGEST_BODY: Final = 4 * 1024 * 1024
"""Bytes of a request's body. A schema has at most 2 MB as it is written, and a registration carries the schema of each port."""
# Of a body beyond its bound, what has been received when it is refused.
_BUFFERED: Final = 256 * 1024
# Bytes that the parser gets at once; what it has not reported after them is counted.
_PIECE: Final = 16 * 1024
# File descriptors that are kept for the database, the log and the process itself.
_OWN_FILES: Final = 128


class ConnectionLimits(BaseModel):
    """The bounds of the connections of one server.

    Attributes:
        connections: the number of open connections; the oldest one that is idle or incomplete is closed for a new one.
        head_bytes: of the request line with all headers, and of any part of a request that the parser cannot report yet.
        headers: the number of headers of a request.
        head_s: seconds from a connection's start, or from the first byte of a further request, to the end of the headers.
        body_s: seconds from the end of the headers to the end of the body.
        read_s: seconds within which a client reads what the server has sent.
        pipelined: requests that a client sends before it has received the response to the first one.
        bodies_bytes: of all requests that are not answered yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: int = Field(default=1000, ge=1)
    head_bytes: int = Field(default=32 * 1024, ge=1024)
    headers: int = Field(default=100, ge=1)
    head_s: float = Field(default=10, gt=0)
    body_s: float = Field(default=30, gt=0)
    read_s: float = Field(default=60, gt=0)
    pipelined: int = Field(default=16, ge=1)
    bodies_bytes: int = Field(default=4 * (LARGEST_BODY + _BUFFERED), ge=LARGEST_BODY)


class Connections(ServerState):
    """The connections of one server, and what they hold together.

    Args:
        limits: of the server.

    Attributes:
        limits: of the server; fewer connections where the process may open fewer files.
        incomplete: the connections with an incomplete request, or a first one that has not begun; the oldest first.
        idle: the connections that wait for a further request, the longest first.
        bodies: bytes of the bodies of all requests that are not answered yet.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        super().__init__()
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = limits.connections if files == resource.RLIM_INFINITY else max(1, files - _OWN_FILES)
        self.limits = limits.model_copy(update={"connections": min(limits.connections, most)})
        self.incomplete: dict[BoundedHttp, None] = {}
        self.idle: dict[BoundedHttp, None] = {}
        self.bodies = 0

    def make_room(self, connection: BoundedHttp) -> None:
        """Close another connection if there is one too many, or this new one if all others have a request in work."""
        if len(self.connections) > self.limits.connections:
            oldest = next(iter(self.incomplete), None) or next(iter(self.idle), None)
            closed = oldest or connection
            closed.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open")
            closed.closing.close_at_once()  # one that lingers would keep its room

    def cut_bodies(self, connection: BoundedHttp) -> None:
        """Cut the oldest incomplete body while all bodies together are too large; `connection` has just received more."""
        while self.bodies > self.limits.bodies_bytes:
            oldest = next((each for each in self.incomplete if each.body_bytes), connection)
            oldest.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the requests in work are too large together; try again")
            oldest.release()
            if oldest is connection:
                return


class BoundedHttp(HttpToolsProtocol):
    """One connection: uvicorn's protocol on httptools, within the limits of the server's `Connections`."""

    server_state: Connections

    def __init__(
        self,
        config: Config,
        server_state: Connections,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.body_bytes = 0
        self._limits = server_state.limits
        self._head_bytes = 0
        self._unreported = 0
        self._reported = False
        self._open = False  # a request has begun and is not complete
        self._in_head = False
        self._closes_until_complete: RequestResponseCycle | None = None
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited = ""
        self._unread: asyncio.TimerHandle | None = None
        self._client_certificate: dict[str, Any] | None = None

    # --- asyncio's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn narrows it
        """Begin to wait for the first request."""
        self.closing = LingeringTransport(transport, lambda: self._open)
        super().connection_made(cast(asyncio.Transport, self.closing))
        if (tls := transport.get_extra_info("ssl_object")) is not None:
            self._client_certificate = tls.getpeercert() or None  # verified: TLS ends the handshake of another one
        self.server_state.incomplete[self] = None
        self._await("request", self._limits.head_s)
        self.server_state.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.closing.lost()
        self.release()
        self.server_state.incomplete.pop(self, None)
        self.server_state.idle.pop(self, None)
        for timer in (self._deadline, self._unread):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what was received, in pieces, as long as it is within the limits."""
        if self.closing.lingering:
            self.closing.discard(len(data))
            return
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece = data if len(data) <= _PIECE else data[start : start + _PIECE]
            self._reported = False
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                pass  # no protocol is offered: the request is answered as any other
            except httptools.HttpParserError:
                self.refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, "the request is no HTTP/1.1")))
                return
            self._unreported = 0 if self._reported else self._unreported + len(piece)
            if self._unreported > self._limits.head_bytes:
                self.refuse(*self._too_large())
                return
        self._note_progress()

    def pause_writing(self) -> None:
        """Give the client `read_s` seconds to read the response."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._limits.read_s, self.closing.abort)

    def resume_writing(self) -> None:
        """Go on, since the client has read the response."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    # --- the parser's calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._reported = self._open = self._in_head = True
        self._head_bytes = 0
        if len(self.pipeline) >= self._limits.pipelined:
            self._stop(HTTPStatus.TOO_MANY_REQUESTS, f"more than {self._limits.pipelined} requests wait for a response")
        super().on_message_begin()
        if self._client_certificate is not None:
            self.scope["state"]["client_certificate"] = self._client_certificate

    def on_url(self, url: bytes) -> None:
        """Take a part of the request line."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer after the body."""
        self._count_head(len(name) + len(value))
        if len(self.headers) >= self._limits.headers:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {self._limits.headers} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the work on the request."""
        self._reported = True
        self._in_head = False
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Note that the size of a chunk is known."""
        self._reported = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._reported = True
        if not self.cycle.response_complete:
            self.body_bytes += len(body)
            self.server_state.bodies += len(body)
            if self.server_state.bodies > self._limits.bodies_bytes:
                self.server_state.cut_bodies(self)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Complete the request."""
        self._reported = True
        self._open = False
        if self._closes_until_complete is self.cycle and not self.cycle.response_started:
            self.cycle.keep_alive = True
        self._closes_until_complete = None
        super().on_message_complete()

    # --- uvicorn's calls

    def shutdown(self) -> None:
        """Close the connection after the response in work."""
        self._closes_until_complete = None
        if self.closing.lingering:
            self.closing.abort()
        super().shutdown()

    def on_response_complete(self) -> None:
        """Wait for a further request."""
        self.release()
        super().on_response_complete()
        if not self.transport.is_closing():
            self._note_progress()

    # --- what becomes of the connection

    @property
    def _latest(self) -> RequestResponseCycle | None:
        """The latest request, or None before the first one."""
        return self.cycle

    def release(self) -> None:
        """Count the bodies of this connection no more."""
        self.server_state.bodies -= self.body_bytes
        self.body_bytes = 0

    def refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer an incomplete request with an error, and close the connection.

        Without an answer where the client would take it for that of another request: of the next one if this one is
        idle, or of an earlier one that is in work or has its answer.
        """
        if self.transport.is_closing():
            return
        cycle = self._latest
        answered = cycle is None or cycle.response_complete
        if status is HTTPStatus.SERVICE_UNAVAILABLE and answered and not self._open:
            self.transport.close()
        elif cycle is None or answered or self._is_next(cycle):
            body = json.dumps({"error_code": int(status), "message": message}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode("ascii") + body)
            self.closing.linger()
            if cycle is not None:
                cycle.disconnected = True  # the service has nothing to add
                cycle.message_event.set()
            self.release()
        else:
            self.closing.abort()

    def _is_next(self, cycle: RequestResponseCycle) -> bool:
        """Whether the incomplete request is the one whose response comes next, and none of it is sent."""
        return self._open and not self._in_head and not cycle.response_started and not self.pipeline

    def _note_progress(self) -> None:
        """Set what is awaited from the client now, and until when."""
        state, cycle = self.server_state, self._latest
        if self._open and cycle is not None and cycle.response_complete and not self._in_head:
            # Answered before its end, such as a body that is too large.
            self._wait_in(state.incomplete)
            self._await("rest", self._limits.body_s)
        elif self._open and self._in_head and (cycle is None or cycle.response_complete):
            self._wait_in(state.incomplete)
            self._await("head", self._limits.head_s)
        elif self._open and not self._in_head:
            self._wait_in(state.incomplete)
            if cycle is not None:
                self._decide_reuse(cycle)
            self._await("body", self._limits.body_s)
        elif cycle is None:
            self._await("request", self._limits.head_s)
        elif cycle.response_complete:
            self._wait_in(state.idle)
            # Without a byte of a further request, uvicorn's keep-alive timeout runs; blank lines end it.
            self._await("" if self.timeout_keep_alive_task else "request", self._limits.head_s)
        else:
            state.incomplete.pop(self, None)
            state.idle.pop(self, None)
            self._await("", 0)

    def _decide_reuse(self, cycle: RequestResponseCycle) -> None:
        """Let a response that comes before the request's end close the connection, unless the rest can be read.

        The rest can be read if its length is announced and small, and if it comes: a client that sent `expect: 100-continue`
        may leave it out after a final response (RFC 9110, 10.1.1).
        """
        if not cycle.keep_alive:
            return
        length = next((int(value) for name, value in self.headers if name == b"content-length"), None)
        if length is None or length > MOST_UNREAD or cycle.waiting_for_100_continue:
            cycle.keep_alive = False
            self._closes_until_complete = cycle

    def _wait_in(self, line: dict[BoundedHttp, None]) -> None:
        if self not in line:
            self.server_state.incomplete.pop(self, None)
            self.server_state.idle.pop(self, None)
            line[self] = None

    def _await(self, what: str, seconds: float) -> None:
        if what != self._awaited:
            self._awaited = what
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = self.loop.call_later(seconds, self._too_late) if what else None

    def _too_late(self) -> None:
        if self.transport.is_closing():
            return
        if self._awaited in {"request", "rest"}:
            self.transport.close()
        else:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"the {self._awaited} of the request was not complete in time")

    def _count_head(self, size: int) -> None:
        self._reported = True
        self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            self._stop(*self._too_large())

    def _too_large(self) -> tuple[HTTPStatus, str]:
        return (
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"a header, or all of them, over {self._limits.head_bytes} bytes",
        )

    def _stop(self, status: HTTPStatus, message: str) -> None:
        """Leave the parser, which reports any error of a callback as a `HttpParserError`.

        Raises:
            ValueError: always.
        """
        self._refusal = (status, message)
        raise ValueError(message)
