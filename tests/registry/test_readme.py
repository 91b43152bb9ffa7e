"""registry/README.md names every route of the service, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from meshport_registry import Settings, create_app

README = Path(__file__).parents[2] / "registry" / "README.md"
MESH = "/api/v1"


def test_the_readme_names_every_route_and_no_other(tmp_path: Path) -> None:
    """Each route of the application is in the README as `METHOD /path`, those of the mesh API without their prefix."""
    app = create_app(Settings(database=f"sqlite:///{tmp_path / 'r.db'}"))
    routes = {f"{verb.upper()} {path}" for path, verbs in app.openapi()["paths"].items() for verb in verbs}
    mesh, confluent = README.read_text(encoding="utf-8").split("## Confluent's API")
    named = {f"{verb} {path if path == '/health' else MESH + path}" for verb, path in _routes(mesh)}
    assert named | {" ".join(each) for each in _routes(confluent)} == routes


def _routes(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(GET|POST|PUT|DELETE) (/[^` ]*)`", text)
