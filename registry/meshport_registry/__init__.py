"""The registry service of Meshport: addresses, bindings and contracts, with Confluent's API beside them."""

from meshport_registry.app import create_app
from meshport_registry.server import running, serve
from meshport_registry.settings import BrowserLogin, OidcSettings, Settings, TlsSettings

__all__ = ["BrowserLogin", "OidcSettings", "Settings", "TlsSettings", "create_app", "running", "serve"]
