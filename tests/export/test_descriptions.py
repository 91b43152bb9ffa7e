"""The exports that describe no product: the JSON Schema of product.yaml, and the OpenAPI document of the registry."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from meshport.registry import Registry
from tests.export.conftest import Mutation, mutated
from tests.export.mesh import departures
from tests.export.standard import broken
from tests.interop.environments import environment

_CHECK: Final = Path(__file__).parents[1] / "interop/python/check_openapi.py"

NO_PRODUCT: Final[dict[str, Mutation]] = {
    "no address": lambda d: d.pop("address"),
    "an unknown key": lambda d: d.update(team="a"),
    "an unknown archetype": lambda d: d.update(archetype="raw"),
    "no port": lambda d: d.update(outputPorts=[]),
    "a retention that is no length of time": lambda d: d["outputPorts"][0].update(retention="P1D"),
    "too many partitions": lambda d: d["outputPorts"][0].update(partitions=5000),
}
NO_API: Final[dict[str, Mutation]] = {
    "no title": lambda d: d["info"].pop("title"),
    "a response without a description": lambda d: d["paths"]["/api/v1/export/{format}"]["get"]["responses"]["200"].pop(
        "description"
    ),
}


def test_the_json_schema_takes_a_descriptor_and_refuses_each_mutation(mesh_registry: Registry) -> None:
    """A registered descriptor fits the schema, and each wrong one does not."""
    schema: Any = mesh_registry.export("jsonschema")
    descriptor = departures().descriptor.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert broken(schema, descriptor) == []
    assert [name for name, each in NO_PRODUCT.items() if not broken(schema, mutated(descriptor, each))] == []


def test_the_api_is_valid_openapi_and_each_mutation_is_none(mesh_registry: Registry) -> None:
    """openapi-spec-validator finds nothing in the document, its defaults included, and something in each wrong one."""
    document = mesh_registry.export("openapi")
    documents = [document, *(mutated(document, each) for each in NO_API.values())]
    command = [str(environment("openapi-spec-validator") / "python"), str(_CHECK)]
    done = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found[0] == []
    assert [name for name, errors in zip(NO_API, found[1:], strict=True) if not errors] == []
