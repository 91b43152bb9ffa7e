"""`meshport resolve`, `search`, `readers`, `lineage`, `schema` and `json-schema`."""

from __future__ import annotations

import json as json_text
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.catalog import ProductSummary
from meshport.cli.observed import observed_of, reader_row, seen_facts, seen_text
from meshport.cli.output import as_json, emit, emit_text, say, table
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.product.json_schema import schema_text
from meshport.registry import Registry

_PAGE: Final = 1000


def resolve(address: AddressArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Show the binding of an address: its topic, cluster, key and schema.

    Its service levels are there once `meshport observe` has measured them; --json has what was measured, and why.

    Example: meshport resolve shop/orders --json
    """
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
        levels = _levels(mesh, binding)
    facts = binding.model_dump(mode="json") | {"service_levels": levels}
    if json:
        emit(facts)
        return
    if levels is not None:
        facts["service_levels"] = [
            f"{each['property']} {each['promised']}: {each['state']}" for each in levels["levels"]
        ]
    table([], [[name, _shown(value)] for name, value in facts.items() if value])


def _levels(mesh: Registry, binding: Binding) -> dict[str, Any] | None:
    """Return what was measured of a port, with its state; None where nothing was, or where the registry is an older one."""
    if binding.service_levels is None:
        return None
    found = mesh.service_levels.of(binding.address)
    return None if found.report is None else {"state": str(found.state), **found.report.model_dump(mode="json")}


def _shown(value: Any) -> str:
    """Return a JSON value as a cell for people."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else as_json(value)


def search(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Found in address, description, owner or tags.")] = "",
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """List the mesh's data products.

    Example: meshport search orders
    """
    with open_registry(registry) as mesh:
        found = list(_pages(mesh, text))
        meant = None if found else _meant(text, list(_pages(mesh, "")))
    if not found:
        say(f"no product has {text!r} in it" if text else "no product is registered")
        if meant:
            say(f"hint: did you mean {meant!r}?")
    if json:
        for each in found:
            emit(each.model_dump(mode="json"))
    if json or not found:
        return
    rows = [[each.address.key, str(each.archetype), str(each.status), each.owner, each.description] for each in found]
    table(["address", "archetype", "status", "owner", "description"], rows)


def _meant(text: str, products: Iterable[ProductSummary]) -> str | None:
    """Return `text` with each word that no product has replaced by the nearest one that they have; None without one."""
    words = sorted({
        word
        for each in products
        for part in (each.address.key, each.owner, each.description, *each.tags)
        for word in (part.lower(), *re.findall(r"[\w-]+", part.lower()))
    })  # fmt: skip
    asked = text.lower().split()
    known = [word if any(word in each for each in words) else nearest(word, words) for word in asked]
    meant = [each for each in known if each is not None]
    return " ".join(meant) if len(meant) == len(asked) and meant != asked else None


def _pages(mesh: Registry, text: str) -> Iterator[ProductSummary]:
    offset = 0
    while True:
        page = mesh.search(text, offset=offset, limit=_PAGE)
        yield from page.items
        offset += len(page.items)
        if offset >= page.total or not page.items:
            return


def json_schema() -> None:
    """Print the JSON Schema of product.yaml, for editors.

    `init` and `new` write it into a project, and `new` names it in the first line of a product.yaml, where editors with a
    YAML language server look for it.

    Example: meshport json-schema > schemas/product.schema.json
    """
    emit_text(schema_text().removesuffix("\n"))


def readers(
    address: AddressArgument,
    observed: Annotated[
        bool, typer.Option("--observed", help="Ask the brokers: list consumer groups, and whether they read.")
    ] = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List who reads a port, declared or not, and when it was seen last.

    Products that declare to read it come first, with the fields that they read, then readers that are not declared. The
    registry knows how each was seen: its consumer group read (as `meshport observe` reports), it subscribed, or it only
    resolved the address or fetched the schema. A declared reader that was not seen for 30 days is named too.

    With --observed, the brokers are asked for the consumer groups of now: those of the products that declare to read the port,
    those that no product declares, and products that have no group, which have read nothing for a week.

    Examples:
        meshport readers shop/orders
        meshport readers shop/orders --observed
    """
    with open_registry(registry) as mesh:
        if observed:
            found = mesh.readers(Address.parse(address))
            kafka = open_clusters(kafka_config, registry=registry)
            seen = list(observed_of(mesh, [mesh.resolve(Address.parse(address))], found, kafka))
            if json:
                for reader in seen:
                    emit(reader.as_dict())
            elif seen:
                table(["product", "group", "", "unread", "clients"], [reader_row(reader) for reader in seen])
            else:
                say(f"no consumer group reads {address}")
            return
        lines = mesh.seen_readers(Address.parse(address))
    if not json and not any(each.readers for each in lines):
        say(f"nobody reads {address}")
    for line in lines:
        for one in line.readers:
            if json:
                emit(seen_facts(line, one))
            else:
                of = f"  {line.address.port}@{line.address.major}" if len(lines) > 1 else ""
                emit_text(f"{seen_text(one)}{of}")


def lineage(address: AddressArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """List the products upstream and downstream of a product.

    A negative step is upstream, a positive one downstream. `reads` names, for each input, the fields that are read.

    Example: meshport lineage shop/orders
    """
    with open_registry(registry) as mesh:
        found = mesh.lineage(Address.parse(address))
    if json:
        emit(found.model_dump(mode="json"))
        return
    inputs: dict[Address, list[str]] = {}
    for edge in found.edges:
        inputs.setdefault(edge.reader, []).append(f"{edge.source.key} ({', '.join(edge.fields) or 'everything'})")
    rows = []
    for each in found.nodes:
        reads = "; ".join(inputs.get(each.address, ())) or "-"
        step = f"{each.distance:+d}" if each.distance else "0"
        rows.append([step, each.address.key, str(each.archetype), str(each.status), each.owner, reads])
    table(["step", "address", "archetype", "status", "owner", "reads"], rows)


def schema(address: AddressArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Print the Avro schema of a port's contract, complete: shared types are spelled out.

    --json prints one line with the subject, the id and the fingerprint beside it.

    Example: meshport schema shop/orders > orders.avsc
    """
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
    form = json_text.loads(binding.schema_text)
    if json:
        emit(
            {"address": str(binding.address), "subject": binding.subject, "schemaId": binding.schema_id}
            | {"fingerprint": binding.fingerprint, "schema": form}
        )
    else:
        emit_text(json_text.dumps(form, indent=2, ensure_ascii=False))
