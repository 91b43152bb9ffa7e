"""The page of a product's problems, and that of the glossary."""

from __future__ import annotations

import pytest

from meshport.glossary import GlossaryTerm, TermUse
from meshport.registry import Registry
from tests.catalog.browser import Reader, follow
from tests.registry.schemas import product, schema

RUNWAYS = "mesh://operations/runways"


@pytest.fixture
def runways(registry: Registry) -> str:
    """Register a product of this test's own, and return its address."""
    registry.register(product(RUNWAYS, outputPorts=[{"key": "runway"}]), {"events@1": schema("runway", "state")})
    return "operations/runways"


def test_a_problem_is_reported_answered_and_closed(reader: Reader, registry: Registry, runways: str) -> None:
    """Each step is a form of the page and shown on it; the words of others are text."""
    page = reader.open(f"/catalog/problems/{runways}")
    assert "No problem was reported." in page.locator("main").inner_text()
    page.get_by_label("What is wrong").fill("<b>no states</b> since noon")
    page.get_by_label("What was seen").fill("the last one is of 11:58")
    follow(page.get_by_role("button", name="Report"))
    assert "<b>no states</b> since noon" in page.locator("main").inner_text()
    page.get_by_label("Answer").fill("the source stands still")
    follow(page.get_by_role("button", name="Answer"))
    assert "the source stands still" in page.locator("main").inner_text()
    assert reader.findings() == []
    page.get_by_label("Answer").fill("it runs again")
    follow(page.get_by_role("button", name="Close"))
    assert page.get_by_role("button", name="Close").count() == 0
    assert reader.findings() == []
    assert reader.refused == []
    (found,) = registry.problems.list(product(RUNWAYS).address, closed=True)
    assert (found.state, found.reason, len(found.answers)) == ("closed", "it runs again", 1)


def test_the_glossary_has_definitions_and_products(reader: Reader, registry: Registry, runways: str) -> None:
    """A term has its definition, its owner and links to the products that use it; a search narrows the list."""
    used = (TermUse(product(RUNWAYS).address, "runway"),)
    term = GlossaryTerm(definition="a runway without traffic for an hour", owner="tower", used_in=used)
    registry.glossary.declare("operations", {"idle runway": term})
    page = reader.open("/catalog/glossary")
    text = page.locator("main").inner_text()
    assert "a runway without traffic for an hour" in text
    assert "tower" in text
    assert f"used in {runways} runway" in text
    assert reader.findings() == []
    page.get_by_label("Look for a term").fill("without traffic")
    follow(page.get_by_role("button", name="Look"))
    assert page.get_by_role("heading", level=2).all_inner_texts() == ["idle runway"]
    follow(page.get_by_role("link", name=runways))
    assert page.url.endswith(f"/catalog/products/{runways}")


def test_a_term_is_withdrawn_by_a_form(reader: Reader, registry: Registry) -> None:
    """The term is typed to confirm it; another text withdraws nothing, and other terms of the domain stay."""
    terms = {name: GlossaryTerm(definition=f"what {name} means") for name in ("stand", "go-around")}
    registry.glossary.declare("operations", terms)
    for typed, left in (("go around", ["go-around", "stand"]), ("go-around", ["stand"])):
        page = reader.open("/catalog/glossary?q=go-around")
        page.get_by_text("Withdraw go-around").click()
        page.get_by_label("The term, to confirm").fill(typed)
        follow(page.get_by_role("button", name="Withdraw"))
        page.get_by_role("heading", level=1).wait_for()
        assert [each.name for each in registry.glossary.read(domain="operations").entries] == left
    assert page.get_by_role("status").inner_text() == "The term is withdrawn."
    assert reader.findings() == []
