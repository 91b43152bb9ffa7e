"""The rules' fixtures: for each rule a folder of changes, some of which break.

They are the examples of `meshport gate explain`, the tests of the rules, and the corpus that the command line, the registry
and the library have to judge alike. A fixture is a YAML file:

    title: The scale of a decimal grows
    verdict: breaks             # or `keeps`
    level: FULL                 # of compatibility; FULL by default
    earlier: [...]              # schemas before `before`, oldest first; none by default
    before: {schema: {...}, port: {...}, product: {...}}
    after: {schema: {...}}      # what is missing is as before
    finds: [DECIMAL_SCALE]      # every rule with a finding, warnings included

`port` and `product` are merged into the product below; a null removes a key. A fixture is about the port `events@1`, or about the
line that has a `migration`; all lines have the schema. With `gone: port` in `after`, the product lacks that port; with
`gone: product`, the whole product is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, Final

from meshport.compat.contract import Contract, Version
from meshport.product import Product
from meshport.product.yaml_file import load
from meshport.schema import Schema, parse_schema

_PRODUCT: Final[dict[str, Any]] = {
    "address": "mesh://shop/orders",
    "id": "5a1e0c3e-2f0c-4d0e-9d57-6f1f7d9b4a10",
    "archetype": "source-aligned",
    "description": "Orders as they are placed.",
    "owner": "shop",
    "contact": "shop-team@example.com",
    "classification": "confidential",
}
_PORT: Final[dict[str, Any]] = {
    "name": "events",
    "key": "customer",
    "time": "ordered_at",
    "partitions": 4,
    "retention": "365d",
}
_SCHEMA: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "doc": "One order.",
    "fields": [
        {"name": "customer", "type": "string", "doc": "Who ordered."},
        {"name": "cents", "type": "long", "doc": "What it comes to."},
        {"name": "ordered_at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When, UTC."},
    ],
}


@dataclass(frozen=True)
class Fixture:
    """One change, and what the gate has to find.

    Attributes:
        rule: the rule whose folder contains it.
        name: of its file.
        document: the content of the file.
    """

    rule: str
    name: str
    document: dict[str, Any]

    @property
    def title(self) -> str:
        """The change in one sentence."""
        return str(self.document["title"])

    @property
    def breaks(self) -> bool:
        """Whether the rule has a finding."""
        return bool(self.document["verdict"] == "breaks")

    @property
    def finds(self) -> frozenset[str]:
        """Every rule that has a finding."""
        return frozenset(self.document["finds"])

    @cached_property
    def before(self) -> tuple[dict[str, Any], Any]:
        """The descriptor and the schema that readers know, as JSON data."""
        return self._laid_over({}, self.document.get("before") or {})

    @cached_property
    def after(self) -> tuple[dict[str, Any], Any]:
        """The descriptor and the schema of the candidate, as JSON data."""
        return self._laid_over(self.document.get("before") or {}, self.document.get("after") or {})

    @property
    def gone(self) -> str | None:
        """What the candidate lacks: `port`, `product`, or None. For `product`, `after` is as before."""
        gone = (self.document.get("after") or {}).get("gone")
        return None if gone is None else str(gone)

    @property
    def earlier(self) -> list[Any]:
        """Schemas before `before`, oldest first, as JSON data."""
        return list(self.document.get("earlier", ()))

    @property
    def versions(self) -> tuple[Version, ...]:
        """The history that the candidate is compared with."""
        forms = [*self.earlier, self.before[1]]
        return tuple(Version(number, _schema(form)) for number, form in enumerate(forms, 1))

    def _laid_over(self, lower: dict[str, Any], upper: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        level = {"compatibility": self.document.get("level", "FULL")}
        port = _over(_PORT, level, lower.get("port"), upper.get("port"))
        product = _over(_PRODUCT, {"outputPorts": [port]}, lower.get("product"), upper.get("product"))
        return product, upper.get("schema") or lower.get("schema") or _SCHEMA


def fixtures(rule: str) -> list[Fixture]:
    """Return the fixtures of a rule, by name; empty if it has none."""
    folder = resources.files("meshport.compat").joinpath("fixtures", rule)
    if not folder.is_dir():
        return []
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=lambda each: each.name)
    return [Fixture(rule, each.name.removesuffix(".yaml"), load(each.read_text("utf-8"))) for each in files]


def contract_of(document: tuple[dict[str, Any], Any]) -> Contract:
    """Return the contract of one side of a fixture: of the line that has a migration, or else of `events@1` or the first port."""
    product, schema = Product.model_validate(document[0]), _schema(document[1])
    port = product.port("events", 1) or product.default_port
    migrating = next((each for each in product.output_ports if each.migration is not None), None)
    if migrating is None:
        return Contract(product, port, schema)
    return Contract(product, migrating, schema, Contract(product, port, schema))


def _schema(form: Any) -> Schema:
    return parse_schema(json.dumps(form))


def _over(*layers: dict[str, Any] | None) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= layer or {}
    return dict(_present(merged))


def _present(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in document.items() if value is not None)
