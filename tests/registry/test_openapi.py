"""The OpenAPI document is true: requests that are generated from it get the answers that it describes."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup, ServerError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from meshport_registry import Settings, create_app, running
from tests.registry.schemas import plays, record, waiver_of_track
from tests.repeats import repeated, repeats
from tests.summary import note
from tests.waiting import PATIENCE_S

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
    schema.config.update(base_url=service, request_timeout=PATIENCE_S)

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


class Ledger:
    """The answers of the registries on one database.

    Attributes:
        statuses: the number of answers of each status.
        off_schema: the number of answers that the document does not describe.
        wrong: for each kind of wrong answer of each operation the requests that led to the first one, as curl commands.
    """

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.off_schema = 0
        self.wrong: dict[tuple[str, str], str] = {}

    def take(self, case: Any, response: Any, earlier: Sequence[str] = ()) -> None:
        """Count an answer, and note what is wrong with it; the requests go on, so that a ledger counts all of them."""
        self.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            self.off_schema += any(not isinstance(each, ServerError) for each in failures.exceptions)
            for each in failures.exceptions:
                requests = [*earlier, case.as_curl_command(), f"{each.title}: {each.message}"]
                self.wrong.setdefault((case.operation.label, each.title), "\n".join(requests))

    def line(self) -> str:
        """The counts, for people."""
        classes: Counter[str] = Counter()
        for status, count in self.statuses.items():
            classes[f"{status // 100}xx"] += count
        answers = ", ".join(f"{classes[each]} of {each}" for each in ("2xx", "4xx", "5xx"))
        return f"{self.statuses.total()} requests, {answers}, {self.off_schema} off schema"


@pytest.fixture(scope="module")
def ledgers(request: pytest.FixtureRequest) -> Iterator[dict[str, Ledger]]:
    """Yield the ledger of each kind of database, and note their lines in the summary of the session."""
    found: dict[str, Ledger] = defaultdict(Ledger)
    yield found
    for kind, each in found.items():
        note(request.config, "Requests drawn from the OpenAPI document", f"{kind}: {each.line()}")


@pytest.fixture
def ledger(ledgers: dict[str, Ledger], new_database: Callable[[], str]) -> Ledger:
    """Return the ledger of the test's database."""
    return ledgers[new_database().partition(":")[0]]


@repeated
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_every_operation_answers_what_the_document_says(
    service: str, mode: GenerationMode, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to each operation, valid and invalid ones, get a documented status, media type and body, and no 5xx."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for result in load(service).get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and not can_be_invalid(operation.definition.raw):
            continue

        @settings(
            max_examples=repeats(suite=2, campaign=150),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            ledger.take(case, case.call())

        ask()
    assert ledger.statuses
    assert not ledger.wrong, "\n\n".join(ledger.wrong.values())


@repeated
def test_sequences_of_requests_get_what_the_document_says(
    new_database: Callable[[], str], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that follow the document's links, so that they name what earlier ones made, keep to the document too."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    machine: Any = load("http://127.0.0.1").as_state_machine()

    class Requests(machine):  # type: ignore[misc]  # the class is made at run time
        """A sequence on an empty registry of its own: what a link leads to depends on what the registry holds."""

        def setup(self) -> None:
            self.open = ExitStack()
            self.url = self.open.enter_context(running(Settings(database=new_database(), port=0)))
            self.sent: list[str] = []

        def teardown(self) -> None:
            self.open.close()

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:  # noqa: ARG002 - its signature
            return {"base_url": self.url}

        def validate_response(self, response: Any, case: Any, **_more: Any) -> None:
            ledger.take(case, response, self.sent)
            self.sent.append(case.as_curl_command())

    Requests.run(
        settings=settings(
            max_examples=repeats(suite=4, campaign=800),
            stateful_step_count=repeats(suite=8, campaign=15),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
    assert ledger.statuses
    assert not ledger.wrong, "\n\n".join(ledger.wrong.values())


def test_the_document_names_the_three_media_types_of_confluents_api() -> None:
    """Each answer and each body of Confluent's half is documented in the three media types, the mesh API's in JSON alone."""
    kinds = {"application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"}
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            for each in (*operation["responses"].values(), *bodies):
                expected = kinds if "Confluent" in operation["tags"] else {"application/json"}
                assert set(each["content"]) == expected, (method, path)
