"""The library's client: what it caches, and which error it raises for which response."""

from __future__ import annotations

import logging
import re
import traceback
from base64 import b64encode
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx2
import pytest

from meshport.errors import NotRegistered, RegistrationRefused, RegistryUnavailable
from meshport.event import SchemaSource
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.registry.network import Switch
from tests.registry.schemas import plays, schema, waiver_of_track


def test_fetched_schemas_and_bindings_stay_usable_without_the_registry(service: str) -> None:
    """Without the registry, fetched schemas and resolved bindings stay usable, and every other call raises."""
    network = Switch()
    with Registry(service, keep=0, transport=network) as client:
        binding = client.register(*plays()).product.bindings[0]
        assert client.resolve("player/plays") == binding
        fingerprint = binding.fingerprint
        guid = UUID(hex=fingerprint[:32])
        seen = (client.by_id(binding.schema_id), client.by_fingerprint(fingerprint), client.by_guid(guid))
        network.cut = True
        assert client.resolve("player/plays") == binding
        assert (client.by_id(binding.schema_id), client.by_fingerprint(fingerprint), client.by_guid(guid)) == seen
        for ask in (
            lambda: client.resolve("player/plays/events"),
            lambda: client.by_id(99),
            lambda: client.readers("player/plays"),
            client.search,
            client.health,
            lambda: client.register(*plays()),
        ):
            with pytest.raises(RegistryUnavailable, match="did not answer: no route to host"):
                ask()


def test_a_binding_is_asked_for_again_after_a_while_and_a_schema_never(service: str) -> None:
    """A binding is requested once within `keep` seconds, and again after a change that this client makes."""
    network = Switch()
    with Registry(service, keep=3600, transport=network) as client:
        client.register(*plays())
        for _ in range(5):
            schema_id = client.resolve("player/plays").schema_id
            client.by_id(schema_id)
        assert network.requests.count("/api/v1/resolve/player/plays") == 1
        assert network.requests.count(f"/schemas/ids/{schema_id}") == 1
        client.register(plays()[0], {"events@1": schema("user", "track", "device?")})
        assert client.resolve("player/plays").schema_id != schema_id


@pytest.mark.parametrize("url", ["http://ada:geheim%40@127.0.0.1:1", "http://ada:geheim@127.0.0.1:1/sub/"])
def test_a_password_in_the_url_is_sent_and_never_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The password goes into the header of basic authentication, and into no message, fact, log line or `repr`."""
    caplog.set_level(logging.DEBUG)
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200 if request.url.path.endswith("health") else 500, text="{}")

    shown = []
    with Registry(url, transport=httpx2.MockTransport(answer)) as client:
        shown += [client.url, repr(client), repr(vars(client))]
        for ask in (client.health, client.search):
            with pytest.raises(RegistryUnavailable) as error:
                ask()
            shown += [str(error.value), repr(error.value), repr(vars(error.value))]
    with Registry(url) as client, pytest.raises(RegistryUnavailable, match="did not answer") as error:
        client.health()
    shown += [str(error.value), repr(vars(error.value)), str(sent[0].url), caplog.text]
    password = httpx2.URL(url).password
    assert sent[0].headers["authorization"] == f"Basic {b64encode(f'ada:{password}'.encode()).decode()}"
    assert caplog.text
    assert "geheim" not in "".join(shown)


@pytest.mark.parametrize(
    "url",
    [
        "http://ada:geh/eim@host:1",
        "http://ada:geheim@host:bad",
        "ada:geheim@host:1",
        "ftp://ada:geheim@host",
        "http://",
        "",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    """A registry's URL that cannot be one is refused at once, and the message quotes nothing before its `@`."""
    with pytest.raises(RegistryUnavailable, match="is no URL of a registry") as error:
        Registry(url)
    text = "".join(traceback.format_exception(error.value)) + repr(vars(error.value))
    assert not re.search("ada|geh|eim", text)


@pytest.mark.parametrize("first", ["by_id", "by_fingerprint"])
def test_a_schema_that_was_fetched_by_one_name_is_known_by_the_other(service: str, first: str) -> None:
    """Events are read in columns by id, one by one by fingerprint: which came first makes no difference without the registry."""
    network = Switch()
    with Registry(service, keep=0, transport=network) as client:
        port = client.register(*plays()).ports[0]
        assert port.schema_id is not None
        seen = client.by_id(port.schema_id) if first == "by_id" else client.by_fingerprint(port.fingerprint)
        network.cut = True
        assert client.by_fingerprint(port.fingerprint) == client.by_id(port.schema_id) == seen


def test_id_fingerprint_and_guid_give_equal_schemas(registry: Registry) -> None:
    """Id, fingerprint and GUID give equal schemas, with the requested fingerprint."""
    source: SchemaSource = registry
    port = registry.register(*plays()).ports[0]
    assert port.schema_id is not None
    by_fingerprint = source.by_fingerprint(port.fingerprint)
    assert by_fingerprint == source.by_id(port.schema_id) == source.by_guid(UUID(hex=port.fingerprint[:32]))
    assert by_fingerprint.fingerprint == port.fingerprint


def test_unknown_refused_and_unavailable_are_three_errors(registry: Registry) -> None:
    """An unknown address, a refusal and a missing response raise three different errors, each with its hint."""
    with pytest.raises(NotRegistered, match="mesh://player/plays is not registered"):
        registry.resolve("player/plays")
    asks: list[Callable[[], object]] = [
        lambda: registry.by_id(1),
        lambda: registry.by_fingerprint("0" * 64),
        lambda: registry.by_guid(uuid4()),
    ]
    for ask in asks:
        with pytest.raises(NotRegistered):
            ask()
    with pytest.raises(RegistrationRefused) as refused:
        registry.register(plays()[0], {})
    assert refused.value.findings == ("no schema is given for events@1",)
    assert registry.health().status == "ok"


def answering(status: int, content: bytes) -> Registry:
    """Return a client whose transport always gives the same response."""
    return Registry(
        "http://registry", transport=httpx2.MockTransport(lambda _: httpx2.Response(status, content=content))
    )


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b'{"error": "store-failed", "message": "the disk is full"}'),
        (503, b'{"error_code": 50002, "message": "busy"}'),
        (502, b"<html>Bad Gateway</html>"),
        (404, b"<html>some other server</html>"),
        (200, b"<html>a login page</html>"),
        (200, b"{}"),
        (302, b""),
    ],
)
def test_an_invalid_response_is_never_a_pass(status: int, content: bytes) -> None:
    """A failure, another server's page and a truncated response all mean that the registry did not answer."""
    with answering(status, content) as client:
        for ask in (
            lambda: client.resolve("player/plays"),
            lambda: client.by_id(1),
            lambda: client.register(*plays()),
            lambda: client.judge(*plays()),
            lambda: client.past("player/plays"),
            lambda: client.waivers.record(waiver_of_track()),
            client.waivers.list,
            lambda: client.waivers.revoke(1),
            client.health,
        ):
            with pytest.raises(RegistryUnavailable):
                ask()


def test_a_retired_address_is_removed_from_the_cache(database: str) -> None:
    """A 404 removes the cached binding, which serves only while the registry does not answer."""
    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url, Registry(url, keep=0) as client:
        declared, schemas = plays()
        client.register(declared, schemas)
        client.resolve("player/plays")
        httpx2.post(f"{url}/api/v1/dataproducts/{declared.id}/retire", json={}, trust_env=False).raise_for_status()
        with pytest.raises(NotRegistered, match="retired"):
            client.resolve("player/plays")
