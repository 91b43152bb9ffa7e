"""Closing a connection so that the client receives the last response (RFC 9112, 9.6).

A socket that is closed while the client still sends answers with a reset, which also discards what the client has received
and not read yet. A lingering close ends the server's half of the connection, and reads on until the client ends its half.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

MOST_UNREAD: Final = 32 * 1024 * 1024
"""Bytes that are read and discarded after a response. A client that sends more, and reads nothing meanwhile, is cut."""
_LINGER_S: Final = 10.0
# `struct linger` of POSIX: on, for 0 seconds.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class LingeringTransport:
    """The transport of a connection, with a lingering `close` as long as the client is sending.

    Args:
        transport: asyncio's.
        sending: returns whether the client is sending a request.

    Attributes:
        lingering: whether the connection waits for the client's end. `is_closing` is true by then.
    """

    def __init__(self, transport: asyncio.Transport, sending: Callable[[], bool]) -> None:
        self._transport = transport
        self._sending = sending
        self._unread = 0
        self._end: asyncio.TimerHandle | None = None
        self.lingering = False
        self.write = transport.write
        self.get_extra_info = transport.get_extra_info

    def is_closing(self) -> bool:
        """Whether nothing more is written."""
        return self.lingering or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Read nothing for now; a connection that lingers reads on."""
        if not self.lingering:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection after what is written has been sent, and after the client's end if it is sending."""
        if self._sending():
            self.linger()
        elif not self.lingering:
            self._transport.close()

    def linger(self) -> None:
        """End the server's half after what is written has been sent, and wait for the client's end."""
        if self.is_closing():
            return
        self.lingering = True
        # TLS has no end of one half. Its client knows by the response's length, and by `connection: close`.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._end = asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)

    def close_at_once(self) -> None:
        """Close the connection after what is written has been sent, whatever the client is sending."""
        self._transport.close()

    def discard(self, size: int) -> None:
        """Count what the client has sent while the connection lingers, and cut it if that is too much."""
        self._unread += size
        if self._unread > MOST_UNREAD:
            self.abort()

    def lost(self) -> None:
        """Wait no more, since the connection has ended."""
        if self._end is not None:
            self._end.cancel()

    def abort(self) -> None:
        """Close the connection at once, without what is not sent yet, in the kernel's buffers too."""
        peer = cast(Any, self.get_extra_info("socket"))
        if peer is not None and not self._transport.is_closing():
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
