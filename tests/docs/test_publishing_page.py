"""docs/publishing.md, executed: its program runs against a mesh, and every call that it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from meshport.ports.publisher import Publisher, Receipt
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

TEXT = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
FLIGHT = (
    '{"type":"record","name":"Departure","fields":[{"name":"origin","type":"string"},{"name":"delay","type":"int"}]}'
)


def test_the_program_publishes(in_memory_mesh: Mesh) -> None:
    """Tasks and a thread share the publisher of the page, and each of their events is stored."""
    port = {"name": "events", "key": "origin"}
    product = Product.model_validate(
        {
            "address": "mesh://operations/departures",
            "id": "5bd0f3c2-7d0c-4b0f-8d3a-0d6f3f6f1d11",
            "archetype": "source-aligned",
            "description": "made by a test",
            "owner": "tests",
            "outputPorts": [port],
        }
    )
    in_memory_mesh.apply(ProjectProduct(product, in_memory_mesh.folder, {("events", 1): parse_schema(FLIGHT)}))
    given = f"registry_url = {in_memory_mesh.url!r}\nflights = [{{'origin': 'SFO', 'delay': n}} for n in range(50)]\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", given + PROGRAM],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "51 events are stored\n")


def test_every_call_of_the_page_exists() -> None:
    """Each method that the page names on a publisher or a receipt is one."""
    for name, kind in (("publisher", Publisher), ("receipt", Receipt)):
        named = set(re.findall(rf"\b{name}\.([a-z_]+)", TEXT)) - {"id"}
        assert named
        assert [each for each in named if not hasattr(kind, each)] == []
