"""The OpenAPI document is true: requests that are generated from it get the answers that it describes."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from meshport_registry import Settings, create_app
from tests.registry.schemas import plays, record, waiver_of_track
from tests.repeats import repeated, repeats

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TEXTS = [record("user"), record("user", "track?"), record("user", "track"), '{"type": "string"}', '["null", "int"]']
# Values that exist, or that make something exist. A third of the generated values is left as it is.
PATHS: dict[str, list[Any]] = {
    "subject": ["a", "b", "a%2Fc", "player.plays.events-value", ":.__GLOBAL:", ":.:"],
    "version": ["1", "2", "latest", "-1"],
    "schema_id": [1, 2, 3],
    "domain": ["player"],
    "product": ["plays"],
    "port": ["events"],
    "guid": [str(plays()[0].id)],
    "number": [1, 2],
}
BODIES: dict[str, list[Any]] = {
    "schema": TEXTS,
    "id": [None, 1, 7, 2**31 - 1],
    "version": [None, 1, 3],
    "references": [None, [{"name": "mesh.Play", "subject": "a", "version": 1}]],
    "metadata": [None],
    "ruleSet": [None],
    "mode": ["READWRITE", "READWRITE", "IMPORT", "READONLY", None],
    "compatibility": ["NONE", "FULL", None],
}


def declaration() -> dict[str, Any]:
    """Return a registration of the product `player/plays`."""
    product, schemas = plays()
    descriptor = product.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"descriptor": descriptor, "schemas": {port: schema.text for port, schema in schemas.items()}}


def real(value: Any, choices: Sequence[Any], key: str) -> Any:
    """Return one of the choices for two thirds of the values, always the same one for the same value."""
    drawn = zlib.crc32(f"{key} {value!r}".encode(errors="replace"))
    return value if drawn % 3 == 0 else choices[drawn // 3 % len(choices)]


@cache
def document() -> dict[str, Any]:
    """Return the document of the service."""
    return create_app(Settings()).openapi()


def can_be_invalid(operation: dict[str, Any]) -> bool:
    """Whether an operation takes something that not every text is: a body, or a number."""
    kinds = [each["schema"].get("type") for each in operation.get("parameters", ())]
    return "requestBody" in operation or "integer" in kinds


def load(service: str) -> Any:
    """Return the document as Schemathesis reads it, with hooks that put real values among the generated ones."""
    schema = schemathesis.openapi.from_dict(document())
    schema.config.update(base_url=service)

    @schema.hook
    def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ARG001 - its signature
        given = path_parameters or {}
        return {name: real(value, PATHS[name], name) if name in PATHS else value for name, value in given.items()}

    @schema.hook
    def map_body(context: Any, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        if "descriptor" in body:
            return real(body, [declaration()], "descriptor")
        if "rule" in body:
            return real(body, [waiver_of_track().model_dump(mode="json")], "rule")
        if context.operation.path.startswith("/api/"):
            return body
        return {name: real(value, BODIES[name], name) if name in BODIES else value for name, value in body.items()}

    return schema


@repeated
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_every_operation_answers_what_the_document_says(
    service: str, mode: GenerationMode, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to each operation, valid and invalid ones, get a documented status, media type and body, and no 5xx."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sent: Counter[int] = Counter()
    for result in load(service).get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not can_be_invalid(operation.definition.raw):
            continue

        @settings(
            max_examples=repeats(suite=3, campaign=120),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            sent[case.call_and_validate(checks=CHECKS).status_code] += 1

        ask()
    record_property("requests", dict(sent))
    print(f"\n{mode.value}: {sent.total()} requests, {dict(sorted(sent.items()))}")  # noqa: T201 - for the person at a campaign
    assert sent.total() > 0


@repeated
def test_sequences_of_requests_get_what_the_document_says(
    service: str, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that follow the document's links, so that they name what earlier ones made, keep to the document too."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sent: Counter[int] = Counter()
    machine: Any = load(service).as_state_machine()

    class Requests(machine):  # type: ignore[misc]  # the class is made at run time
        def validate_response(self, response: Any, case: Any, **_more: Any) -> None:
            sent[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

    # What a link leads to depends on what the registry holds by then, so a replayed sequence may take another way.
    with suppress(FlakyStrategyDefinition):
        Requests.run(
            settings=settings(
                max_examples=repeats(suite=6, campaign=700),
                stateful_step_count=repeats(suite=8, campaign=12),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
        )
    record_property("requests", dict(sent))
    print(f"\nsequences: {sent.total()} requests, {dict(sorted(sent.items()))}")  # noqa: T201 - for the person at a campaign
    assert sent.total() > 0


def test_the_document_names_the_three_media_types_of_confluents_api() -> None:
    """Each answer and each body of Confluent's half is documented in the three media types, the mesh API's in JSON alone."""
    kinds = {"application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"}
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            for each in (*operation["responses"].values(), *bodies):
                expected = kinds if "Confluent" in operation["tags"] else {"application/json"}
                assert set(each["content"]) == expected, (method, path)
