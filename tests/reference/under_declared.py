"""Readers that declare less than their processes read, each with a wrong edit of an input that only this reader forbids.

All ports protect their declared readers only, so that a field which no reader reads may go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

Form = dict[str, Any]
Edit = Callable[[Form], None]

_SPACE: Final = UUID("0d1c46a2-71d5-4a0e-9a52-4d0f6f3a6f01")
MILLIS: Final = {"type": "long", "logicalType": "timestamp-millis"}
LOGIC: Final = "def pipeline():\n    raise RuntimeError('the code of a product was run')\n\n\nkeep = pipeline\n"


def of(name: str, kind: Any, **more: Any) -> Form:
    """Return a field."""
    return {"name": name, "type": kind, **more}


def record(name: str, *fields: Form) -> Form:
    """Return a record."""
    return {"type": "record", "name": name, "fields": list(fields)}


def schemas() -> dict[str, Form]:
    """Return the contracts of the inputs, by product."""
    geo = record("Geo", of("lat", "double"), of("lon", "double"))
    card = record("Card", of("brand", "string"), of("digits", "string"))
    return {
        "orders": record(
            "Order",
            of("id", "string"),
            of("customer", "string"),
            of("cents", "long"),
            of("currency", {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD", "CHF"]}),
            of("placed_at", MILLIS),
            of("address", record("Address", of("city", "string"), of("zip", "string"), of("geo", geo))),
            of(
                "items",
                {
                    "type": "array",
                    "items": record("Item", of("sku", "string"), of("price", "long"), of("gift", "boolean")),
                },
            ),
            of("payment", ["null", card, record("Transfer", of("iban", "string"))]),
            of("note", "string"),
            of("channel", "string"),
            of("unread", "string"),
        ),
        "customers": record(
            "Customer",
            of("id", "string"),
            of("since", MILLIS),
            of("tier", "string"),
            of("region", "string"),
            of("unread", "string"),
        ),
        "refunds": record(
            "Refund", of("order", "string"), of("at", MILLIS), of("amount", "long"), of("unread", "string")
        ),
    }


PORTS: Final[Mapping[str, Form]] = {
    "orders": {"key": "id", "time": "placed_at"},
    "customers": {"key": "id", "time": "since", "cleanup": "compact"},
    "refunds": {"key": "order", "time": "at"},
}
COUNT: Final[Form] = {"aggregate": {"by": ["id"], "values": {"n": "count()"}}}


def records_of(form: Any) -> dict[str, Form]:
    """Return every record in a schema by its name."""
    if isinstance(form, list):
        return {name: each for branch in form for name, each in records_of(branch).items()}
    if not isinstance(form, dict):
        return {}
    inner = [form[key] for key in ("items", "values") if key in form] + [
        each["type"] for each in form.get("fields", ())
    ]
    own = {form["name"]: form} if form["type"] == "record" else {}
    return own | records_of(inner)


def without(name: str, of_record: str = "") -> Edit:
    """Take a field out of the schema, or out of a record within it."""

    def edit(form: Form) -> None:
        target = records_of(form)[of_record] if of_record else form
        kept = [each for each in target["fields"] if each["name"] != name]
        assert len(kept) == len(target["fields"]) - 1
        target["fields"] = kept

    return edit


def typed(name: str, kind: Any) -> Edit:
    """Give a field another type."""

    def edit(form: Form) -> None:
        (found,) = (each for each in form["fields"] if each["name"] == name)
        found["type"] = kind(found["type"]) if callable(kind) else kind

    return edit


MICROS: Final = {"type": "long", "logicalType": "timestamp-micros"}


@dataclass(frozen=True)
class Reader:
    """A derived product that declares less than it reads, and the edit that breaks it.

    Attributes:
        name: of the case.
        edited: the input that is edited.
        edit: the wrong edit of its schema.
        steps: the process; "python" where Python returns its steps.
        fields: the fields that it declares of each input; None where it leaves them out.
        input: the product that the process reads; `orders` unless it says another.
        honest: whether the declaration is right, and only the gate has to derive what it means.
        all: whether it reads every field, so that no field may go.
    """

    name: str
    edited: str
    edit: Edit
    steps: list[Form] | str
    fields: Mapping[str, list[str] | None] = field(default_factory=lambda: {"orders": ["id", "placed_at"]})
    input: str = "orders"
    honest: bool = False
    all: bool = False

    def descriptor(self, domain: str = "shop") -> Form:
        """Return its product.yaml."""
        process: Form = {"python": "logic.py:pipeline"} if self.steps == "python" else {"steps": self.steps}
        ports: list[Form] = [
            {"address": f"mesh://{domain}/{product}"} | ({} if names is None else {"fields": names})
            for product, names in self.fields.items()
        ]
        text = json.dumps(process | {"input": f"mesh://shop/{self.input}"}).replace("mesh://shop/", f"mesh://{domain}/")
        return {
            "address": f"mesh://{domain}/reader",
            "id": str(uuid5(_SPACE, f"{domain}/reader")),
            "archetype": "aggregate",
            "description": "Reads more than it says.",
            "owner": "readers",
            "inputPorts": ports,
            "outputPorts": [{"name": "events", "key": "id"}],
            "process": json.loads(text),
        }


def source(product: str, domain: str = "shop") -> Form:
    """Return the product.yaml of an input."""
    return {
        "address": f"mesh://{domain}/{product}",
        "id": str(uuid5(_SPACE, f"{domain}/{product}")),
        "archetype": "source-aligned",
        "description": "An input.",
        "owner": "writers",
        "contact": "writers@example.com",
        "outputPorts": [{"name": "events", "protects": "declared-readers", **PORTS[product]}],
    }


OUTPUT: Final = record("Out", of("id", "string"))


def write(root: Path, reader: Reader) -> None:
    """Write the project of a reader and the inputs."""
    for kind in ("producers", "processors", "schemas/shop"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for product, form in schemas().items():
        put(root / "producers" / "shop" / product / "product.yaml", source(product))
        put(root / "schemas" / "shop" / f"{product}.events.avsc", form)
    put(root / "processors" / "shop" / "reader" / "product.yaml", reader.descriptor())
    put(root / "schemas" / "shop" / "reader.events.avsc", OUTPUT)
    (root / "processors" / "shop" / "reader" / "logic.py").write_text(LOGIC)


def put(file: Path, data: Form) -> None:
    """Write a file as JSON, which YAML is too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=2))


def join(**more: Any) -> Form:
    """Return a join with the customers."""
    return {"join": {"with": "mesh://shop/customers", "on": "customer", "take": {"tier": "tier"}, **more}}


def refunds(**more: Any) -> Form:
    """Return a join with the stream of refunds."""
    return {"join": {"with": "mesh://shop/refunds", "on": "id", "within": "1h", "take": {"amount": "amount"}, **more}}


BOTH: Final = {"orders": ["id", "placed_at", "customer"], "customers": ["id"]}
STREAMS: Final = {"orders": ["id", "placed_at"], "refunds": ["order"]}
IDS: Final = {"select": ["id"]}

READERS: Final = [
    Reader("filter", "orders", without("cents"), [{"filter": "cents > 0"}, COUNT]),
    Reader("filter-nested", "orders", without("city", "Address"), [{"filter": "address.city == 'Bern'"}, COUNT]),
    Reader("filter-deep", "orders", without("lat", "Geo"), [{"filter": "address.geo.lat > 46"}, COUNT]),
    Reader("derive", "orders", without("cents"), [{"derive": {"euros": "cents / 100"}}, COUNT]),
    Reader("function", "orders", without("note"), [{"derive": {"text": "coalesce(note, '')"}}, COUNT]),
    Reader("condition", "orders", without("channel"), [{"derive": {"x": "1 if channel == 'web' else 2"}}, COUNT]),
    Reader("list", "orders", without("channel"), [{"filter": "'web' in (channel, note)"}, COUNT]),
    Reader("select", "orders", without("channel"), [{"select": ["id", "channel"]}]),
    Reader("selected-and-dropped", "orders", without("channel"), [{"select": ["id", "channel"]}, IDS]),
    Reader(
        "renamed", "orders", without("zip", "Address"), [{"rename": {"address": "a"}}, {"filter": "a.zip > ''"}, COUNT]
    ),
    Reader(
        "renamed-key",
        "orders",
        without("customer"),
        [{"rename": {"customer": "buyer"}}, {"aggregate": {"by": ["buyer"], "values": {"n": "count()"}}}],
    ),
    Reader("flatten", "orders", without("items"), [{"flatten": "items"}, COUNT]),
    Reader(
        "flattened-item",
        "orders",
        without("price", "Item"),
        [{"flatten": "items"}, {"filter": "items.price > 0"}, COUNT],
    ),
    Reader("by", "orders", without("customer"), [{"aggregate": {"by": ["customer"], "values": {"n": "count()"}}}]),
    Reader("sum", "orders", typed("cents", "string"), [{"aggregate": {"by": ["id"], "values": {"s": "sum(cents)"}}}]),
    Reader(
        "collect", "orders", without("channel"), [{"aggregate": {"by": ["id"], "values": {"c": "collect(channel)"}}}]
    ),
    Reader("overwritten", "orders", without("cents"), [{"derive": {"cents": "cents * 2"}}, COUNT]),
    Reader(
        "event-time",
        "orders",
        typed("placed_at", MICROS),
        [{"aggregate": {"by": ["id"], "values": {"n": "count()"}, "window": {"tumbling": "1h"}}}],
        {"orders": ["id"]},
    ),
    Reader("deduplicate", "orders", without("note"), [{"deduplicate": {"within": "1h", "by": ["id", "note"]}}, COUNT]),
    Reader(
        "join-on",
        "orders",
        without("customer"),
        [join(), COUNT],
        {"orders": ["id", "placed_at"], "customers": ["id", "since", "tier"]},
    ),
    Reader("join-take", "customers", without("tier"), [join(), COUNT], {**BOTH, "customers": ["id", "since"]}),
    Reader("join-key", "customers", typed("id", "long"), [join(), COUNT], {**BOTH, "customers": ["tier", "since"]}),
    Reader("join-time", "customers", typed("since", MICROS), [join(), COUNT], {**BOTH, "customers": ["id", "tier"]}),
    Reader("join-no-fields", "customers", without("tier"), [join(), COUNT], {**BOTH, "customers": None}, honest=True),
    Reader("stream-on", "orders", without("note"), [refunds(on="note"), IDS], {**STREAMS, "refunds": None}),
    Reader("stream-take", "refunds", without("amount"), [refunds(), IDS], {**STREAMS, "refunds": ["order", "at"]}),
    Reader("stream-key", "refunds", typed("order", "long"), [refunds(), IDS], {**STREAMS, "refunds": ["amount", "at"]}),
    Reader(
        "stream-time", "refunds", typed("at", MICROS), [refunds(), IDS], {**STREAMS, "refunds": ["order", "amount"]}
    ),
    Reader("union-field", "orders", without("brand", "Card"), [{"filter": "payment.brand == 'V'"}, COUNT]),
    Reader(
        "union-branch", "orders", typed("payment", lambda kind: kind[:-1]), [{"filter": "payment is not None"}, COUNT]
    ),
    Reader(
        "enum-symbol",
        "orders",
        typed("currency", lambda kind: {**kind, "symbols": ["EUR", "USD"]}),
        [{"filter": "currency == 'EUR'"}, COUNT],
    ),
    Reader("passed-on", "orders", without("channel"), [{"filter": "id > ''"}], all=True),
    Reader("no-fields", "orders", without("cents"), [{"filter": "cents > 0"}, COUNT], {"orders": None}, honest=True),
    Reader("every-field", "orders", without("cents"), [COUNT], {"orders": ["*"]}, honest=True, all=True),
    Reader("apply-by", "orders", without("customer"), [{"apply": {"function": "logic.py:keep", "by": ["customer"]}}]),
    Reader(
        "apply-sees-all",
        "orders",
        without("note"),
        [{"apply": {"function": "logic.py:keep", "by": ["id"]}}],
        {"orders": None},
        honest=True,
        all=True,
    ),
    Reader("python", "orders", without("note"), "python", {"orders": None}, honest=True, all=True),
    Reader(
        "row-key",
        "customers",
        typed("id", "long"),
        [{"aggregate": {"by": ["region"], "values": {"n": "count()"}}}],
        {"customers": ["region", "since"]},
        input="customers",
    ),
    Reader(
        "rows",
        "customers",
        without("region"),
        [{"aggregate": {"by": ["region"], "values": {"n": "count()"}}}],
        {"customers": ["id", "since"]},
        input="customers",
    ),
]
