"""Where the processes of a mesh serve their metrics: each on a port of its own, for the one that gathers them."""

from __future__ import annotations

from meshport.local.kraft import HOST, free_ports


class ProcessMetrics:
    """Gives each process a port."""

    def __init__(self) -> None:
        self._ports: dict[str, int] = {}

    @property
    def urls(self) -> dict[str, str]:
        """Where each process serves its metrics, by name."""
        return {name: f"http://{HOST}:{port}" for name, port in self._ports.items()}

    def options(self, name: str) -> list[str]:
        """Return the options by which a process serves its metrics: at each start a new port, as another may have taken the last.

        Raises:
            BrokerUnavailable: no port is free.
        """
        (port,) = free_ports(1, self._ports.values())
        self._ports = {**self._ports, name: port}
        return ["--metrics", f"{HOST}:{port}"]
