"""The home page: the domains of the mesh, as a drawing and as a list, and what changed last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from meshport.registry import Registry
from meshport_registry import Settings, running
from meshport_registry.catalog.domain_map import MOST_DOMAINS, domain_map
from meshport_registry.catalog.overview import DomainCounts
from tests.catalog.browser import Reader
from tests.catalog.pages import AS_BROWSER
from tests.registry.schemas import product, schema


@pytest.fixture
def small(tmp_path: Path) -> Iterator[str]:
    """Serve an empty registry."""
    with running(Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, bootstrap_servers="k:1")) as url:
        yield url


def counts(name: str, *reads: str) -> DomainCounts:
    """Return a domain with one product."""
    return DomainCounts(name=name, products=1, archetypes={"aggregate": 1}, reads=reads)


def test_an_empty_mesh_says_what_to_do(small: str, window: Callable[..., Reader]) -> None:
    """A page of its own, by which a person goes on; the first product is there at the next look."""
    reader = window(small)
    page = reader.open("/")
    assert page.get_by_role("heading", name="The mesh is empty").is_visible()
    assert reader.findings() == []
    with Registry(small) as registry:
        registry.register(
            product("mesh://operations/gates", outputPorts=[{"key": "gate"}]), {"events@1": schema("gate")}
        )
    page.reload()
    assert page.get_by_role("status").inner_text() == "1 product in 1 domain"


def test_domains_stand_along_the_flow_of_data(http: httpx2.Client) -> None:
    """Each after those that it reads, with the numbers of its products; the drawing has the same."""
    view = http.get("/catalog").json()
    domains = {each["name"]: each for each in view["domains"]}
    order = list(domains)
    assert order.index("player") < order.index("listening") < order.index("payments")
    assert domains["listening"]["reads"] == ["artists", "player"]
    assert "network" in domains["operations"]["readers"]
    assert domains["network"]["deprecated"] == 1
    assert {each["name"] for each in view["drawing"]["boxes"]} == set(domains)
    page = http.get("/", headers=AS_BROWSER).text
    assert page.count("<path d=") == sum(len(each["reads"]) for each in domains.values())


def test_a_drawing_leads_from_left_to_right() -> None:
    """A domain stands right of those that it reads; of domains that read each other, each is drawn once."""
    drawn = domain_map([counts("a"), counts("b", "a"), counts("c", "a", "b")])
    assert drawn is not None
    across = {each.name: each.x for each in drawn.boxes}
    assert across["a"] < across["b"] < across["c"]
    assert len(drawn.curves) == 3
    circle = domain_map([counts("a", "b"), counts("b", "a")])
    assert circle is not None
    assert len(circle.boxes) == len(circle.curves) == 2


def test_nothing_is_drawn_that_cannot_be_read() -> None:
    """Domains without any flow between them, and too many of them, are a list only; a long name is cut."""
    assert domain_map([counts("a"), counts("b")]) is None
    assert domain_map([counts(f"d{number}", "d0") for number in range(MOST_DOMAINS + 1)]) is None
    drawn = domain_map([counts("x" * 60), counts("y", "x" * 60)])
    assert drawn is not None
    assert len(drawn.boxes[0].label) == 20
