"""ODCS contracts as a product: what an export wrote is read back as the same contract, and other houses' contracts as Meshport's.

Each element of `schema` is an output port. A contract of another house has no custom property `meshport`: its product is
source-aligned, its records get names of the product's, and its types are those of the logical types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meshport.address import Address
from meshport.errors import AddressError, SchemaError
from meshport.export.odcs import MESHPORT, RETENTION
from meshport.export.odcs_property import AVRO_TYPE, Named, custom_properties, field_of, property_of
from meshport.schema import Schema, parse_schema

_UNITS: Final = {
    "d": "d",
    "day": "d",
    "days": "d",
    "h": "h",
    "hours": "h",
    "m": "m",
    "s": "s",
    "seconds": "s",
    "ms": "ms",
}
_STATUS: Final = {
    "proposed": "draft",
    "draft": "draft",
    "active": "active",
    "deprecated": "deprecated",
    "retired": "retired",
}


class _Level(BaseModel):
    model_config = ConfigDict(extra="ignore")

    property: str
    value: Any = None
    unit: str | None = None
    element: str | None = None


class OdcsContract(BaseModel):
    """The keys of a contract that an import reads; see ODCS 3.1.0 for what they mean."""

    model_config = ConfigDict(extra="ignore")

    kind: str
    id: str
    version: str
    status: str = "active"
    name: str | None = None
    domain: str | None = None
    data_product: str | None = Field(default=None, alias="dataProduct")
    description: dict[str, Any] | None = None
    tags: list[str] | None = None
    team: Any = None
    support: list[dict[str, Any]] | None = None
    roles: list[dict[str, Any]] | None = None
    definitions: list[dict[str, Any]] | None = Field(default=None, alias="authoritativeDefinitions")
    elements: list[dict[str, Any]] = Field(alias="schema", min_length=1)
    levels: list[_Level] | None = Field(default=None, alias="slaProperties")
    custom: list[dict[str, Any]] | None = Field(default=None, alias="customProperties")

    @property
    def beside(self) -> dict[str, Any]:
        """What Meshport declares beside ODCS; empty for a contract of another house."""
        found = custom_properties({"customProperties": self.custom}).get(MESHPORT)
        return found if isinstance(found, dict) else {}


@dataclass
class ImportedProduct:
    """A product that contracts describe.

    Attributes:
        descriptor: its product.yaml as data.
        schemas: the contract of each port, by `<port>@<major>`.
    """

    descriptor: dict[str, Any]
    schemas: dict[str, Schema] = field(default_factory=dict)


def read_contract(data: Any, source: str) -> OdcsContract:
    """Check the form of a contract.

    Args:
        data: of its YAML or JSON.
        source: how errors name it.

    Raises:
        SchemaError: it is no contract of ODCS 3.
    """
    try:
        contract = OdcsContract.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise SchemaError(f"{source} is no ODCS contract: {where}: {first['msg']}", source=source) from None
    if contract.kind != "DataContract":
        raise SchemaError(f"{source} is no ODCS contract: its kind is {contract.kind!r}", source=source)
    return contract


def import_contracts(contracts: Mapping[str, OdcsContract], address: Address | None = None) -> ImportedProduct:
    """Return the product that contracts describe, each a part of its output ports.

    Args:
        contracts: by how errors name each; the first one says what the product is.
        address: of the product; by default the one that the first contract names.

    Raises:
        AddressError: the contracts name no address of a product.
        SchemaError: a contract cannot be read as Avro, or contradicts itself.
    """
    first = next(iter(contracts.values()))
    address = address or _address(first)
    product = ImportedProduct(_product(first, address))
    levels: list[dict[str, Any]] = []
    for source, contract in contracts.items():
        ports = list(_ports(contract, source, address))
        for entry, schema in ports:
            product.descriptor["outputPorts"].append(entry)
            product.schemas[f"{entry['name']}@{entry.get('major', 1)}"] = schema
        levels += [each for each in _levels(contract, ports) if each not in levels]
    if levels:
        product.descriptor["slaProperties"] = levels
    return product


def _address(contract: OdcsContract) -> Address:
    if "address" in contract.beside:
        return Address.parse(contract.beside["address"])
    domain, name = _word(contract.domain or ""), _word(contract.data_product or contract.name or "")
    if not domain or not name:
        missing = "domain" if not domain else "dataProduct"
        raise AddressError(f"the contract {contract.id} names no {missing}", hint="give the address of the product")
    return Address(domain, name)


def _word(text: str) -> str:
    """Return a name as a word of an address: lower-case, with hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _product(contract: OdcsContract, address: Address) -> dict[str, Any]:
    beside = contract.beside
    team = contract.team if isinstance(contract.team, dict) else {}
    found = {
        "address": str(address),
        "id": beside.get("id") or str(uuid4()),
        "archetype": beside.get("archetype", "source-aligned"),
        "displayName": beside.get("displayName") if beside else contract.name,
        "description": (contract.description or {}).get("purpose")
        or contract.name
        or f"{address.product} of {address.domain}",
        "owner": team.get("name") or address.domain,
        "contact": next((each.get("channel") for each in contract.support or ()), None),
        "sourceCodeLocation": _location(contract),
        "requiredSecurityGroup": next((each.get("role") for each in contract.roles or ()), None),
        "tags": contract.tags,
        "classification": beside.get("classification"),
        "status": beside.get("status") if beside else _STATUS.get(contract.status, "active"),
        "deprecatedOn": beside.get("deprecatedOn"),
        "successor": beside.get("successor"),
        "inputPorts": beside.get("inputPorts"),
    }
    return {key: value for key, value in found.items() if value not in (None, [])} | {"outputPorts": []}


def _location(contract: OdcsContract) -> Any:
    found = (each for each in contract.definitions or () if each.get("type") == "implementation")
    return next((each.get("url") for each in found), None)


def _ports(contract: OdcsContract, source: str, address: Address) -> Iterator[tuple[dict[str, Any], Schema]]:
    """Yield the entry of product.yaml and the schema of each port of a contract."""
    given = contract.beside.get("port") or {}
    for element in contract.elements:
        name = given.get("name") or (_word(str(element.get("name", ""))) if len(contract.elements) > 1 else "events")
        properties = element.get("properties") or []
        # A contract does not decide where files are written.
        entry = {"name": name, **{key: value for key, value in given.items() if key not in {"name", "schema"}}}
        if entry.get("major") == 1:
            del entry["major"]
        if key := _key(properties):
            entry["key"] = key[0] if len(key) == 1 else key
        if not given and any(each.get("primaryKey") for each in properties):
            entry["cleanup"] = "compact"
        if retention := _retention(contract):
            entry["retention"] = retention
        try:
            schema = parse_schema(json.dumps(_record(element, address, name)), source=source)
        except ValueError as error:
            raise (
                error if isinstance(error, SchemaError) else SchemaError(f"{source}: {error}", source=source)
            ) from None
        _refuse_contradictions(properties, schema, source)
        yield entry, schema


def _record(element: Mapping[str, Any], address: Address, port: str) -> Any:
    own = custom_properties(element).get(AVRO_TYPE)
    if own is not None and not element.get("properties"):
        return own | {"fields": []} if isinstance(own, dict) and own.get("type") == "record" else own
    if not isinstance(own, dict):
        words = [*address.product.split("-"), *(port.split("-") if port != "events" else ())]
        name = "".join(each.capitalize() for each in words)
        own = {"type": "record", "name": f"{address.domain.replace('-', '_')}.{name}"}
        if element.get("description"):
            own["doc"] = element["description"]
    return own | {"fields": [field_of(each, str(own["name"])) for each in element.get("properties") or ()]}


def _key(properties: Sequence[Mapping[str, Any]], within: str = "") -> list[str]:
    """Return the paths of the fields of the record key: those that partition the events, else those of the primary key."""
    for mark, position in (("partitioned", "partitionKeyPosition"), ("primaryKey", "primaryKeyPosition")):
        found = sorted(_marked(properties, mark, position, within))
        if found:
            return [path for _, path in found]
    return []


def _marked(
    properties: Sequence[Mapping[str, Any]], mark: str, position: str, within: str
) -> Iterator[tuple[int, str]]:
    for each in properties:
        path = f"{within}{each['name']}"
        if each.get(mark):
            yield int(each.get(position, 0)), path
        yield from _marked(each.get("properties") or (), mark, position, f"{path}.")


def _retention(contract: OdcsContract) -> str | None:
    level = next((each for each in contract.levels or () if each.property == RETENTION), None)
    if level is None or not isinstance(level.value, int | float) or level.unit not in _UNITS:
        return None
    return f"{level.value:g}{_UNITS[level.unit]}" if level.value == int(level.value) else f"{int(level.value * 1000)}ms"


def _levels(contract: OdcsContract, ports: Sequence[tuple[Mapping[str, Any], Schema]]) -> list[dict[str, Any]]:
    """Return the service levels of a contract; objectives that are no number are left out."""
    found = []
    fields = {str(entry["name"]): frozenset(schema.field_names) for entry, schema in ports}
    # A contract of one table names its fields TABLE.FIELD; the name of the table is no port's then.
    tables = {str(each.get("name")) for each in contract.elements}
    for each in contract.levels or ():
        if each.property == RETENTION or isinstance(each.value, bool) or not isinstance(each.value, int | float):
            continue
        level = {"property": each.property, "value": each.value, "unit": each.unit}
        level |= _element(each.element or "", fields, tables)
        found.append({key: value for key, value in level.items() if value is not None})
    return found


def _element(text: str, fields: Mapping[str, frozenset[str]], tables: Collection[str]) -> dict[str, Any]:
    """Return the port and the fields of the contract that `element` of a level names: `port`, `port.field, port.field`, `field`.

    What the contract does not have is left out.
    """
    port, named = None, list[str]()
    for part in filter(None, (each.strip() for each in text.split(","))):
        before, dot, name = part.partition(".")
        if not dot and part in fields:
            port = part
        elif dot and name in fields.get(before, ()):
            port = before
            named.append(name)
        else:
            bare = name if dot and before in tables else part
            named += [bare] if any(bare in each for each in fields.values()) else []
    return {"port": port, "element": ", ".join(named) or None}


def _refuse_contradictions(properties: Sequence[Mapping[str, Any]], schema: Schema, source: str) -> None:
    """Refuse a property of which its Avro type and its other keys say different things, as after an edit of only one of them."""
    named: Named = {schema.name: schema.form}
    for given, made in zip(properties, schema.fields if properties else (), strict=True):
        expected = property_of(made, named)
        if custom_properties(given) and _facts(given) != _facts(expected):
            raise SchemaError(
                f"{source}: the property {given['name']!r} says {_told(given)}, and its Avro type {_told(expected)}",
                source=source,
                hint="remove its custom properties that begin with `avro`, or change them too",
            )


def _facts(written: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what of a property an Avro type determines."""
    items = written.get("items")
    return (
        written.get("logicalType"),
        bool(written.get("required")),
        [(each["name"], _facts(each)) for each in written.get("properties") or ()],
        _facts(items) if isinstance(items, dict) else None,
    )


def _told(written: Mapping[str, Any]) -> str:
    return f"{'required' if written.get('required') else 'optional'} {written.get('logicalType') or written.get('physicalType')}"
