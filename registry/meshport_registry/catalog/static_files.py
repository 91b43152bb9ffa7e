"""The catalog's own files: style, scripts and icon, each under an address that changes with its content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def static_file(name: str) -> tuple[bytes, str] | None:
    """Return the content and the media type of a file, or None where there is none of that name."""
    return _files().get(name)


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    return {each.name: (each.read_bytes(), _TYPES[each.suffix]) for each in FOLDER.iterdir() if each.suffix in _TYPES}


@cache
def static_url(name: str) -> str:
    """Return the address of a file, with a digest of its content, so that a browser may keep it for ever."""
    content, _ = _files()[name]
    digest = hashlib.sha256(content).hexdigest()
    return f"/catalog/static/{name}?v={digest[:12]}"
