"""The seven products as they are declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from meshport.process.logic.load import load_pipeline
from meshport.process.logic.shape import check_pipeline
from meshport.product import Archetype, Compatibility
from meshport.project.project import Project, ProjectProduct
from meshport.project.recount import load_recount, source_ports

PRODUCTS = {
    "player/plays": Archetype.SOURCE_ALIGNED,
    "player/quality": Archetype.SOURCE_ALIGNED,
    "artists/onboardings": Archetype.SOURCE_ALIGNED,
    "listening/sessions": Archetype.AGGREGATE,
    "listening/plays-by-artist": Archetype.AGGREGATE,
    "payments/artist-royalties": Archetype.CONSUMER_ALIGNED,
    "recommendations/related-artists": Archetype.CONSUMER_ALIGNED,
}


def by_key(project: Project) -> dict[str, ProjectProduct]:
    """The products by address as people type it."""
    return {each.product.address.key: each for each in project.products}


def nested(form: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object within a schema."""
    if isinstance(form, dict):
        yield form
        for value in form.values():
            yield from nested(value)
    elif isinstance(form, list):
        for item in form:
            yield from nested(item)


def test_the_seven_products_load(project: Project) -> None:
    """Descriptors and contracts are valid, and the archetypes are those of the design."""
    assert {key: each.product.archetype for key, each in by_key(project).items()} == PRODUCTS


def test_archetypes_give_the_compatibility(project: Project) -> None:
    """No port overrides the level of its archetype: facts are held to the strictest."""
    plays = project.products[0].product
    levels = {each.product.compatibility(each.product.default_port) for each in project.products}
    assert plays.compatibility(plays.default_port) is Compatibility.FULL_TRANSITIVE
    assert levels == {Compatibility.FULL_TRANSITIVE, Compatibility.FULL, Compatibility.FORWARD_TRANSITIVE}


@pytest.mark.parametrize("key", PRODUCTS)
def test_descriptors_are_complete(project: Project, key: str) -> None:
    """A descriptor says who answers for the product, where its code is, who may read it and what it promises."""
    product = by_key(project)[key].product
    assert product.display_name
    assert product.contact
    assert product.required_security_group
    assert product.tags
    assert product.sla_properties
    assert product.source_code_location
    assert (project.root / product.source_code_location).exists()


@pytest.mark.parametrize("key", PRODUCTS)
def test_every_part_of_a_contract_is_explained(project: Project, key: str) -> None:
    """Each record, enum and field has a doc; an enum has a default, so that it can grow."""
    each = by_key(project)[key]
    for form in nested(each.schema(each.product.default_port).form):
        if {"name", "type"} <= set(form):
            assert form.get("doc"), f"{form['name']} is not explained"
        if form.get("type") == "enum":
            assert form["default"] == form["symbols"][0]


@pytest.mark.parametrize("key", PRODUCTS)
def test_polysemes_are_linked(project: Project, key: str) -> None:
    """Wherever an artist or a listener is named, the contract links the identifier that is declared once."""
    each = by_key(project)[key]
    linked = {"artist_id": "artist_id", "related_artist_id": "artist_id", "artists": "artist_id", "user_id": "user_id"}
    found = 0
    for field in each.schema(each.product.default_port).fields:
        if name := linked.get(field["name"]):
            kind = field["type"]["items"] if field["type"]["type"] == "array" else field["type"]
            assert kind["polyseme"] == name
            found += 1
    assert found
    assert set(project.common.polysemes) == {"artist_id", "user_id"}


@pytest.mark.parametrize("key", PRODUCTS)
def test_input_ports_name_fields_that_exist(project: Project, key: str) -> None:
    """The fields that a product says it reads are in the contract that it reads them from."""
    products = by_key(project)
    for port in products[key].product.input_ports:
        source = products[port.address.of_product.key]
        assert port.fields
        assert set(port.fields) <= set(source.schema(source.product.default_port).field_names)


@pytest.mark.parametrize("key", [key for key, kind in PRODUCTS.items() if kind is not Archetype.SOURCE_ALIGNED])
def test_pipelines_make_the_records_of_their_contracts(project: Project, key: str) -> None:
    """Every field that a pipeline reads is there, and what comes out has the fields of the port."""
    products = by_key(project)

    def schema(each: ProjectProduct) -> Any:
        return each.schema(each.product.default_port)

    each = products[key]
    pipeline = load_pipeline(each.product, each.folder)
    tables = {address: schema(products[address.key]) for address in pipeline.tables}
    check_pipeline(pipeline, schema(products[pipeline.input.key]), tables, schema(each))


def test_every_derived_product_can_be_recounted_from_facts(project: Project) -> None:
    """Each brings a recount, and what stands behind it in the end are source-aligned products."""
    for key, kind in PRODUCTS.items():
        each = by_key(project)[key]
        if kind is Archetype.SOURCE_ALIGNED:
            assert each.product.source
            continue
        assert load_recount(each)
        behind = {address.key for address in source_ports(each, project)}
        assert behind
        assert all(PRODUCTS[source] is Archetype.SOURCE_ALIGNED for source in behind)


def test_the_reference_shows_declared_steps_and_python(project: Project) -> None:
    """Three derived products need no code; one brings its own."""
    processes = {key: each.product.process for key, each in by_key(project).items() if each.product.process}
    assert {key for key, process in processes.items() if process.python} == {"recommendations/related-artists"}
    assert len(processes) == 4
