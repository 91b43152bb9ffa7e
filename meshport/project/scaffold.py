"""Write new projects, products and major lines: files that work as they are, for people to edit further."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from meshport.address import Address
from meshport.compat import Contract
from meshport.errors import ProjectError
from meshport.files.inference import MOMENT, record_name
from meshport.product import Archetype, OutputPort, Processing, Product, Status, parse_product
from meshport.product.edit import add_line
from meshport.product.json_schema import SCHEMA_FILE
from meshport.product.yaml_file import dump, dump_flow
from meshport.project.project import FOLDERS, Project
from meshport.schema import Schema, parse_schema

_GITIGNORE: Final = "# the mesh that `meshport up` runs here: its events, its registry\n.meshport/\n"
# By default a new line goes live after a month, and the old one has two more months.
_NOTICE: Final = timedelta(days=30)
_OVERLAP: Final = timedelta(days=60)
# What a line may change without breaking a reader, or is its own.
_OF_LINE: Final = {"schema_file", "live_from", "deprecated_on", "protects"}
_COMMON: Final = """# Shared types

One `.avsc` each: a named type that contracts refer to by its full name, or a polyseme, a global identifier that
contracts link to by `"polyseme"`:

    {"type": "string", "polyseme": "customer_id", "doc": "The customer, in every domain."}
"""


EDITOR_SCHEMA: Final = "schemas/product.schema.json"
"""The copy of the JSON Schema of product.yaml in a project, which editors read; each `new` writes that of its version."""


def init_project(folder: Path) -> list[Path]:
    """Make a folder a mesh project; files and folders that exist are kept.

    Returns:
        The files and folders that were created.

    Raises:
        ProjectError: the folder is within another project, or a file has the name of a folder of the project.
    """
    folder = folder.resolve()
    try:
        around = Project.find(folder)
    except ProjectError:
        around = None
    if around is not None and around.root != folder:
        raise ProjectError(
            f"{folder} stands in the project {around.root} already", hint="`meshport new` adds a product to it"
        )
    made = []
    for name in ("", *FOLDERS, "schemas/common"):
        if (folder / name).exists() and not (folder / name).is_dir():
            raise ProjectError(f"{folder / name} is a file; a project has a folder there")
    for name in (*FOLDERS, "schemas/common"):
        if not (folder / name).is_dir():
            (folder / name).mkdir(parents=True)
            made.append(folder / name)
    editor = SCHEMA_FILE.read_text(encoding="utf-8")
    for name, text in ((".gitignore", _GITIGNORE), ("schemas/common/README.md", _COMMON), (EDITOR_SCHEMA, editor)):
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")
            made.append(folder / name)
    return made


@dataclass(frozen=True)
class Draft:
    """A new product with one port, before it is written.

    Attributes:
        address: of the product.
        archetype: of the product.
        owner: the team that answers for it.
        description: one sentence.
        schema: the contract of its port.
        key: the fields of the record key.
        time: the field of the event time.
        compacted: whether the port is compacted.
        inputs: the fields that are read, by the address of the input; an empty list is all of them.
        processing: its process; None for a source-aligned product.
        port: further keys of its port's entry in product.yaml, which win over those above.
    """

    address: Address
    archetype: Archetype
    owner: str
    description: str
    schema: Schema
    key: tuple[str, ...] = ()
    time: str | None = None
    compacted: bool = False
    inputs: Mapping[Address, Sequence[str]] | None = None
    processing: Processing | None = None
    port: Mapping[str, Any] = field(default_factory=dict)


def write_product(project: Project, draft: Draft) -> list[Path]:
    """Write a product's descriptor and contract into a project.

    Returns:
        The files that were created.

    Raises:
        ProjectError: one of them exists; nothing is overwritten.
        DescriptorError: the draft is no valid product.
    """
    # An editor with a YAML language server completes and explains the keys by it.
    text = f"# yaml-language-server: $schema=../../../{EDITOR_SCHEMA}\n" + dump(_descriptor(draft), width=110)
    product = parse_product(text, file="the new product.yaml")
    port = product.default_port
    descriptor = project.product_folder(product) / "product.yaml"
    contract = project.schema_file(product, port)
    for file in (descriptor, contract):
        if file.exists():
            raise ProjectError(f"{file} exists already", hint="nothing is overwritten; remove it first, or edit it")
    editor = SCHEMA_FILE.read_text(encoding="utf-8")
    for file, content in (
        (contract, _pretty(draft.schema)), (descriptor, text), (project.root / EDITOR_SCHEMA, editor),
    ):  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return [descriptor, contract]


@dataclass(frozen=True)
class NewLine:
    """A major line that was written beside the previous one.

    Attributes:
        address: of the new line.
        old: the address of the previous line.
        contract: the new line's Avro file, a copy of the previous one's.
        descriptor: the product.yaml.
        live_from: the day (UTC) from which an address without a major resolves to the new line.
        deprecated_on: the day after which readers should have left the previous line.
        type: the CloudEvents type of the new line's events, if the previous line declares one; else None.
        restored: the previous line's Avro file, if it was changed and is again as its readers know it; else None.
    """

    address: Address
    old: Address
    contract: Path
    descriptor: Path
    live_from: date
    deprecated_on: date
    type: str | None
    restored: Path | None


def write_line(
    project: Project,
    address: Address,
    *,
    today: date,
    live_from: date | None = None,
    deprecated_on: date | None = None,
    known: Mapping[tuple[str, int], Contract] | None = None,
) -> NewLine:
    """Write a port's next major line into a project: a copy of its contract, and its entry in product.yaml.

    If the contract was changed since its readers know it, the new line takes the change, and the previous one is set back.

    Args:
        project: of the product.
        address: of the product, or of one of its ports.
        today: the day (UTC) from which the defaults are counted.
        live_from: the day on which the new line goes live; by default in 30 days.
        deprecated_on: the day after which readers should have left the previous line; by default 60 days after that.
        known: the lines of the product as their readers know them; None where that is not known.

    Raises:
        ProjectError: the product or port does not exist, the whole product is deprecated, a day is not in the future, the
            file of the new contract exists, product.yaml has a form that cannot be edited, the highest line was written for
            the same purpose and no reader knows it yet, or its entry in product.yaml is not as its readers know it.
    """
    if address.major is not None:
        raise ProjectError(
            f"{address} names a major; the next one is told by the product",
            hint=f"leave out @{address.major}",
        )
    found = project.product(address)
    product = found.product
    lines = product.lines(address.port)
    if not lines:
        ports = ", ".join(dict.fromkeys(port.name for port in product.output_ports))
        raise ProjectError(f"{product.address} has no port {address.port!r}", hint=f"it has {ports}")
    if product.status in {Status.DEPRECATED, Status.RETIRED}:
        raise ProjectError(
            f"{product.address} is {product.status} as a whole; its readers are leaving",
            hint=f"they move to {product.successor}" if product.successor else None,
        )
    old = lines[max(lines)]
    was = None if known is None else known.get((old.name, old.major))
    _refuse_pending(project, product, old, known, today)
    if was is not None:
        _refuse_changed_entry(product, old, was.port)
    live = live_from or max(today, old.live_from or today) + _NOTICE
    if live <= today:
        raise ProjectError(
            f"from {live} on would move every reader that names no major at once",
            hint="give them notice: a day to come",
        )
    end = deprecated_on or live + _OVERLAP
    new = OutputPort(name=old.name, major=old.major + 1)
    contract, descriptor = project.schema_file(product, new), found.descriptor_file
    if contract.exists():
        raise ProjectError(f"{contract} exists already", hint="nothing is overwritten; remove it first, or edit it")
    copied = project.schema_file(product, old).read_bytes()
    text = descriptor.read_bytes().decode("utf-8")
    written = add_line(text, old, live_from=live, deprecated_on=end, file=str(descriptor))
    contract.parent.mkdir(parents=True, exist_ok=True)
    contract.write_bytes(copied)
    restored = None
    if was is not None and was.schema.fingerprint != found.schema(old).fingerprint:
        restored = project.schema_file(product, old)
        restored.write_text(_pretty(was.schema), encoding="utf-8")
    descriptor.write_bytes(written.encode("utf-8"))
    return NewLine(
        address=product.port_address(new),
        old=product.port_address(old),
        contract=contract,
        descriptor=descriptor,
        live_from=live,
        deprecated_on=end,
        type=product.event_type(new) if old.type else None,
        restored=restored,
    )


def _refuse_pending(
    project: Project,
    product: Product,
    newest: OutputPort,
    known: Mapping[tuple[str, int], Contract] | None,
    today: date,
) -> None:
    """Refuse another line while the newest one is still being prepared: it is what the change goes into."""
    below = product.port(newest.name, newest.major - 1)
    if below is None:
        return
    if known is not None:
        pending = (newest.name, newest.major) not in known and (below.name, below.major) in known
    else:
        files = [project.schema_file(product, each) for each in (newest, below)]
        copies = {each.read_bytes() for each in files if each.exists()}
        pending = len(copies) == 1 and newest.live_from is not None and newest.live_from > today
    if pending:
        address = product.port_address(newest)
        raise ProjectError(
            f"{address} is written already, and no reader knows it yet",
            hint=f"its contract is {project.schema_file(product, newest).relative_to(project.root)}: change it there, and leave "
            f"{product.port_address(below).key} as it was",
        )


def _refuse_changed_entry(product: Product, port: OutputPort, known: OutputPort) -> None:
    now, was = (each.model_dump(mode="json", by_alias=True, exclude=_OF_LINE) for each in (port, known))
    changed = [key for key in now if now[key] != was[key]]
    if changed:
        address = product.port_address(port)
        back, taken = (", ".join(_entry(key, each[key]) for key in changed) for each in (was, now))
        raise ProjectError(
            f"{address} is not declared as its readers know it, in {', '.join(changed)}",
            hint=f"set it back first, with {back}; the new line is a copy, in which you write {taken}",
        )


def _entry(key: str, value: Any) -> str:
    """Return a key of product.yaml with its value on one line, as a message shows it."""
    return f"`{dump_flow({key: value})[1:-1]}`"


def template_schema(address: Address) -> Schema:
    """Return the contract of a product without a sample: an identifier and a time."""
    name, namespace = record_name(address)
    fields = [
        {"name": "id", "type": "string", "doc": "What the fact is about."},
        {"name": "happened_at", "type": MOMENT, "doc": "When it happened."},
    ]
    form = {"type": "record", "name": name, "namespace": namespace, "fields": fields}
    return parse_schema(json.dumps(form))


def _descriptor(draft: Draft) -> dict[str, Any]:
    port: dict[str, Any] = {"name": OutputPort().name}
    if draft.key:
        port["key"] = draft.key[0] if len(draft.key) == 1 else list(draft.key)
    if draft.time:
        port["time"] = draft.time
    if draft.compacted:
        port["cleanup"] = "compact"
    port |= draft.port
    document: dict[str, Any] = {
        "address": str(draft.address),
        "id": str(uuid4()),
        "archetype": str(draft.archetype),
        "displayName": draft.address.product.replace("-", " ").capitalize(),
        "description": draft.description,
        "owner": draft.owner,
    }
    if draft.inputs:
        document["inputPorts"] = [
            {"address": str(address)} | ({"fields": list(fields)} if fields else {})
            for address, fields in draft.inputs.items()
        ]
    document["outputPorts"] = [port]
    if draft.processing:
        document["process"] = draft.processing.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
    return document


def _pretty(schema: Schema) -> str:
    return json.dumps(schema.form, indent=2, ensure_ascii=False) + "\n"
