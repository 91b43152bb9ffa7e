"""The registry service of Meshport: addresses, bindings and contracts, with Confluent's API beside them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from meshport_registry.app import create_app
    from meshport_registry.server import running, serve
    from meshport_registry.settings import BrowserLogin, OidcSettings, Settings, TlsSettings

__all__ = ["BrowserLogin", "OidcSettings", "Settings", "TlsSettings", "create_app", "running", "serve"]

# Imported on first use: `meshport registry key`, `backup` and `restore` start without the service.
_MODULES: Final = {
    "BrowserLogin": "meshport_registry.settings",
    "OidcSettings": "meshport_registry.settings",
    "Settings": "meshport_registry.settings",
    "TlsSettings": "meshport_registry.settings",
    "create_app": "meshport_registry.app",
    "running": "meshport_registry.server",
    "serve": "meshport_registry.server",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
