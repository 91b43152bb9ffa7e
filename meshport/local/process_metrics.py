"""Where the processes of a mesh serve their metrics: each on a port of its own, for the one that gathers them."""

from __future__ import annotations

from meshport.local.kraft import HOST, free_ports


class ProcessMetrics:
    """Gives each process a port.

    Attributes:
        urls: where each process serves its metrics, by name.
    """

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self._ports: set[int] = set()

    def options(self, name: str) -> list[str]:
        """Return the options by which a process serves its metrics: at each start a new port, as another may have taken the last.

        Raises:
            BrokerUnavailable: no port is free.
        """
        (port,) = free_ports(1, self._ports)
        self._ports.add(port)
        self.urls = {**self.urls, name: f"http://{HOST}:{port}"}
        return ["--metrics", f"{HOST}:{port}"]
