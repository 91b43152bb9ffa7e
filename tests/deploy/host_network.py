"""compose.yml on an engine that has no bridge: every container is on the host's network, each at its own loopback address.

A container on the host's network has all ports in common with the others. So each service has an address of 127.0.1.0/24: a
file of hosts leads its name there, as the engine's own name server would, and where the service listens on all interfaces, or
asks itself, it does so at that address. Nothing else differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

__all__ = ["addresses", "difference", "on_host_network"]

_OWN: Final = re.compile(r"\b(?:0\.0\.0\.0|127\.0\.0\.1)\b")
_DEFAULT: Final = re.compile(r"\$\{\w+:-([^}]*)\}")


def addresses(compose: Mapping[str, Any]) -> dict[str, str]:
    """Return the address of each service."""
    return {name: f"127.0.1.{number}" for number, name in enumerate(compose["services"], 1)}


def on_host_network(compose: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a compose file for such an engine.

    Args:
        compose: the file for an engine with a bridge.
        folder: to which `hosts` is written, with the name of each service and of each of its aliases, and `host.conf`, which has
            the C library take all addresses of a name, as it does of a name server's answer.
    """
    changed = {name: part for name, part in deepcopy(dict(compose)).items() if not name.startswith("x-")}
    lines = ["127.0.0.1 localhost"]
    for name, address in addresses(compose).items():
        service = changed["services"][name]
        networks = service.pop("networks", {})
        aliases = [_DEFAULT.sub(r"\1", each) for network in networks.values() for each in network.get("aliases", ())]
        lines += [f"{address} {each}" for each in dict.fromkeys([name, *aliases])]
        service.pop("ports", None)
        for part in ("command", "environment", "healthcheck"):
            if part in service:
                service[part] = json.loads(_OWN.sub(address, json.dumps(service[part])))
        service["network_mode"] = "host"
        mounts = [f"{folder / each}:/etc/{each}:ro" for each in ("hosts", "host.conf")]
        service["volumes"] = [*service.get("volumes", ()), *mounts]
    (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "host.conf").write_text("multi on\n", encoding="utf-8")
    return changed


def difference(compose: Mapping[str, Any], changed: Mapping[str, Any]) -> list[str]:
    """Return a line for each value of a service that differs between two compose files."""
    before, after = (dict(_values("", each["services"])) for each in (compose, changed))
    return [
        f"{path}: {before.get(path, 'absent')} -> {after.get(path, 'absent')}"
        for path in dict.fromkeys([*before, *after])
        if before.get(path) != after.get(path)
    ]


def _values(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict | list) or not value:
        yield path, value
        return
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _values(f"{path}.{key}" if path else str(key), each)
