"""Whether what goes to a URL, and comes from it, can be read or changed by others."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["is_loopback", "is_safe_url"]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as seen from itself."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_safe_url(url: str) -> bool:
    """Return whether a URL is one of HTTPS, or one of HTTP on this machine."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        )
    except ValueError:
        return False
