"""Confluent's clients of a registry, in Python and JavaScript, that log in with an API key over TLS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from meshport.api_keys import ApiKeyRequest
from meshport_registry import Settings, TlsSettings, running
from meshport_registry.identity.offline import KeysInDatabase
from tests.interop.packages import HERE, installed
from tests.registry.certificates import Authority

ORDER = json.dumps({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]})


class KeyedRegistry(NamedTuple):
    """A registry with HTTPS and one key of an administrator."""

    url: str
    authority: Path
    user: str
    password: str

    @property
    def info(self) -> str:
        """Return user and password as Confluent's clients take them."""
        return f"{self.user}:{self.password}"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedRegistry]:
    """A registry with HTTPS and one key."""
    folder = tmp_path_factory.mktemp("keyed")
    database = f"sqlite:///{folder / 'registry.db'}"
    with KeysInDatabase(database) as keys:
        key = keys.create(ApiKeyRequest(name="ann@example.org", groups=("mesh-admins",)))
    authority = Authority(folder)
    server = authority.server()
    tls = TlsSettings(certificate=server.certificate, key=server.key)
    with running(Settings(database=database, port=0, tls=tls)) as url:
        yield KeyedRegistry(url, authority.file, key.id, key.secret)


def python_client(keyed: KeyedRegistry, info: str) -> SchemaRegistryClient:
    """Return Confluent's Python client."""
    return SchemaRegistryClient(
        {"url": keyed.url, "ssl.ca.location": str(keyed.authority), "basic.auth.user.info": info}
    )


def test_the_python_client_logs_in(keyed: KeyedRegistry) -> None:
    """The serializer registers its schema with the key, and the deserializer reads what it wrote."""
    with python_client(keyed, keyed.info) as client:
        where = SerializationContext("python-orders", MessageField.VALUE)
        value = AvroSerializer(client, ORDER)({"id": "1"}, where)
        assert value is not None
        assert AvroDeserializer(client)(value, where) == {"id": "1"}
        assert client.get_subjects() == ["python-orders-value"]


@pytest.mark.parametrize("info", ["nobody:nothing", "{user}:nothing"])
def test_the_python_client_is_refused(keyed: KeyedRegistry, info: str) -> None:
    """A wrong key is Confluent's error 40101 to Confluent's client."""
    with python_client(keyed, info.format(user=keyed.user)) as client:
        with pytest.raises(SchemaRegistryError) as refused:
            client.register_schema("python-refused-value", Schema(ORDER, "AVRO"))
        assert (refused.value.http_status_code, refused.value.error_code) == (401, 40101)


def javascript(tool: Callable[[str], str], keyed: KeyedRegistry, info: str, topic: str) -> dict[str, object]:
    """Run Confluent's JavaScript client, and return what it did."""
    node = tool("node")
    installed(tool("npm"), "javascript")
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(keyed.authority), "USER_INFO": info}
    command = [node, str(HERE / "javascript" / "client.mjs"), keyed.url, topic, ORDER]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_the_javascript_client_logs_in(tool: Callable[[str], str], keyed: KeyedRegistry) -> None:
    """The JavaScript serializer registers its schema with the key, reads its record back, and so does Python's."""
    done = javascript(tool, keyed, keyed.info, "javascript-orders")
    assert done["read"] == {"id": "1"}
    with python_client(keyed, keyed.info) as client:
        where = SerializationContext("javascript-orders", MessageField.VALUE)
        assert AvroDeserializer(client)(bytes.fromhex(str(done["written"])), where) == {"id": "1"}


def test_the_javascript_client_is_refused(tool: Callable[[str], str], keyed: KeyedRegistry) -> None:
    """A wrong key is Confluent's error 40101 to Confluent's client."""
    done = javascript(tool, keyed, f"{keyed.user}:nothing", "javascript-refused")
    assert done["refused"] == [401, 40101]
