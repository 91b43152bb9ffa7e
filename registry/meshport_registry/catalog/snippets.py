"""How to read a port: lines to copy for a language or a tool, with its address, topic and registry in them."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from meshport.binding import Binding
from meshport_registry.catalog.contract import named_types

_NO_SERVERS: Final = "BROKER:9092"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._@:/,\[\]-]*")
_FLINK: Final = {
    "boolean": "BOOLEAN",
    "int": "INT",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "bytes": "BYTES",
    "string": "STRING",
    "enum": "STRING",
    "fixed": "BYTES",
}
_FLINK_LOGICAL: Final = {
    "date": "DATE",
    "time-millis": "TIME(3)",
    "timestamp-millis": "TIMESTAMP(3)",
    "timestamp-micros": "TIMESTAMP(6)",
    "local-timestamp-millis": "TIMESTAMP(3)",
    "local-timestamp-micros": "TIMESTAMP(6)",
}
_MOST_COLUMNS: Final = 100


class Snippet(BaseModel):
    """Lines to copy.

    Attributes:
        name: of the language or tool.
        needs: what has to be installed.
        code: the lines.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    needs: str
    code: str


def snippets(binding: Binding, registry: str) -> tuple[Snippet, ...]:
    """Return how to read a port.

    Args:
        binding: of the port.
        registry: the URL of this registry, as its reader reaches it.
    """
    servers = binding.bootstrap_servers or _NO_SERVERS
    # Every part is a word of the mesh or of Kafka. What is not, as a registry's own URL with a quote in it, stands in no code.
    if not all(_PLAIN.fullmatch(each) for each in (servers, binding.topic, registry)):
        return ()
    address = binding.address.key if binding.address.port is None else str(binding.address).removeprefix("mesh://")
    return (
        Snippet(name="Python", needs="pip install meshport", code=_PYTHON.format(address=address, registry=registry)),
        Snippet(
            name="Java",
            needs="org.apache.kafka:kafka-clients, io.confluent:kafka-avro-serializer",
            code=_JAVA.format(servers=servers, registry=registry, topic=binding.topic),
        ),
        Snippet(
            name="JavaScript",
            needs="npm install kafkajs @confluentinc/schemaregistry",
            code=_JAVASCRIPT.format(servers=json.dumps(servers.split(",")), registry=registry, topic=binding.topic),
        ),
        Snippet(
            name="kcat",
            needs="kcat with Avro",
            code=f"kcat -C -b {servers} -t {binding.topic} -s value=avro -r {registry} -o beginning -e",
        ),
        Snippet(
            name="Flink SQL",
            needs="flink-sql-connector-kafka, flink-sql-avro-confluent-registry",
            code=_flink(binding, servers, registry),
        ),
    )


_PYTHON: Final = """\
from meshport import Registry, Subscriber

with Registry("{registry}") as registry, Subscriber("{address}", registry, group="my-group") as events:
    for event in events:
        print(event.time, event.data)
"""
_JAVA: Final = """\
var settings = new Properties();
settings.put("bootstrap.servers", "{servers}");
settings.put("group.id", "my-group");
settings.put("auto.offset.reset", "earliest");
settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
settings.put("value.deserializer", "io.confluent.kafka.serializers.KafkaAvroDeserializer");
settings.put("schema.registry.url", "{registry}");
try (var consumer = new KafkaConsumer<String, GenericRecord>(settings)) {{
  consumer.subscribe(List.of("{topic}"));
  while (true) {{
    for (var each : consumer.poll(Duration.ofSeconds(1))) {{
      System.out.println(each.key() + " " + each.value());
    }}
  }}
}}
"""
_JAVASCRIPT: Final = """\
const {{ Kafka }} = require("kafkajs");
const {{ AvroDeserializer, SchemaRegistryClient, SerdeType }} = require("@confluentinc/schemaregistry");

const registry = new SchemaRegistryClient({{ baseURLs: ["{registry}"] }});
const values = new AvroDeserializer(registry, SerdeType.VALUE, {{}});
const consumer = new Kafka({{ brokers: {servers} }}).consumer({{ groupId: "my-group" }});

(async () => {{
  await consumer.connect();
  await consumer.subscribe({{ topic: "{topic}", fromBeginning: true }});
  await consumer.run({{
    eachMessage: async ({{ topic, message }}) => console.log(await values.deserialize(topic, message.value)),
  }});
}})();
"""


def _flink(binding: Binding, servers: str, registry: str) -> str:
    form = json.loads(binding.schema_text)
    named = named_types(form)
    columns = [
        f"  `{each['name']}` {_flink_type(each.get('type'), named)}"
        for each in (form.get("fields", ()) if isinstance(form, dict) else ())
    ][:_MOST_COLUMNS]
    table = f"{binding.address.domain}_{binding.address.product}".replace("-", "_")
    return (
        f"CREATE TABLE {table} (\n"
        + ",\n".join(columns)
        + "\n) WITH (\n"
        + ",\n".join(
            f"  '{name}' = '{value}'"
            for name, value in {
                "connector": "kafka",
                "topic": binding.topic,
                "properties.bootstrap.servers": servers,
                "properties.group.id": "my-group",
                "scan.startup.mode": "earliest-offset",
                "value.format": "avro-confluent",
                "value.avro-confluent.url": registry,
            }.items()
        )
        + f"\n);\nSELECT * FROM {table};\n"
    )


def _flink_type(form: Any, named: dict[str, Any], depth: int = 0) -> str:
    if depth > 8:
        return "STRING"
    if isinstance(form, list):
        return next((_flink_type(each, named, depth + 1) for each in form if each != "null"), "STRING")
    if isinstance(form, str):
        return _FLINK.get(form) or (_flink_type(named[form], named, depth + 1) if form in named else "STRING")
    kind, logical = form.get("type"), form.get("logicalType")
    if logical == "decimal":
        return f"DECIMAL({int(form.get('precision', 38))}, {int(form.get('scale', 0))})"
    if kind == "record":
        inner = ", ".join(
            f"`{each['name']}` {_flink_type(each.get('type'), named, depth + 1)}" for each in form["fields"]
        )
        return f"ROW<{inner}>"
    if kind == "array":
        return f"ARRAY<{_flink_type(form.get('items'), named, depth + 1)}>"
    if kind == "map":
        return f"MAP<STRING, {_flink_type(form.get('values'), named, depth + 1)}>"
    return _FLINK_LOGICAL.get(str(logical)) or (
        _FLINK.get(kind, "STRING") if isinstance(kind, str) else _flink_type(kind, named, depth + 1)
    )
