"""A connection to a registry that can be cut."""

from __future__ import annotations

import httpx2


class Switch(httpx2.BaseTransport):
    """A transport that can be cut off and that records the requests."""

    def __init__(self) -> None:
        self._real = httpx2.HTTPTransport(verify=False)
        self.requests: list[str] = []
        self.cut = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, or raise as for a host that does not respond."""
        self.requests.append(request.url.path)
        if self.cut:
            raise httpx2.ConnectError("no route to host")
        return self._real.handle_request(request)

    def close(self) -> None:
        """Close the real transport."""
        self._real.close()
