"""Which products a change affects, and which products read them, found in the text of files before any of them is parsed.

A descriptor takes milliseconds to parse as YAML, and a project has a thousand. A file whose text rules it out is not parsed. A
word that only looks like a reference costs time, and does not change the result.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

from meshport.address import Address
from meshport.catalog import Reader
from meshport.compat.contract import Contract
from meshport.process.logic.declared_reads import ReadPort, addresses_read, fields_of_reader
from meshport.product import InputPort, Product, Status
from meshport.product.yaml_file import load
from meshport.project.project import Project
from meshport.schema.canonical import qualified
from meshport.schema.text import read_json

_PRODUCT: Final = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")
_SCHEMA_KEY: Final = re.compile(r"""["']?\b(?:schema|state)["']?\s*:""")
_OUTSIDE: Final = re.compile(r"""["']?\b(?:schema|state)["']?\s*:\s*["']?(?:/|[^\s"']*\.\.)""")
_ID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_PORTS: Final = re.compile(r"outputPorts:\s*(?:#.*)?")
_COMMON: Final = "schemas/common/"

Reading = tuple[Product, InputPort]
"""A product, and one of the ports that it reads."""


def touched(changed: Collection[str], before: Project, after: Project) -> set[str]:
    """Return the products, `<domain>/<product>`, whose contract may differ between two states of a project.

    Args:
        changed: the paths of the files that differ.
        before: the project before the change.
        after: the project after the change.
    """
    users = _users(changed, before, after)
    paths = {*changed, *users}
    keys = {_key(path) for path in paths} & (before.descriptors.keys() | after.descriptors.keys())
    # A descriptor may name the file of its contract, which is found by that name; a file outside the project may always differ.
    names = {posixpath.basename(path) for path in paths}
    shared = any(_is_common(path) for path in changed)
    for path, text in after.texts.items():
        if _SCHEMA_KEY.search(text) and (shared or _OUTSIDE.search(text) or any(name in text for name in names)):
            keys.add(_key(path))
    return keys


def readings(
    products: Collection[str], project: Project, texts: Mapping[str, str] | None = None
) -> dict[str, list[Reading]]:
    """Return the readers of some products: the project's own products that name them among their inputs.

    Args:
        products: `<domain>/<product>` of each.
        project: the project whose products read.
        texts: its descriptors by path, if the caller has them already.

    Raises:
        DescriptorError: a descriptor that names one of the products cannot be parsed.
    """
    found: dict[str, list[Reading]] = {each: [] for each in products}
    for path, text in (project.texts if texts is None else texts).items():
        if "inputPorts" not in text and "input_ports" not in text:
            continue
        named = found.keys() & set(_PRODUCT.findall(text))
        if named and named != {_key(path)}:
            reader = project.descriptor(path)
            if reader.status is Status.RETIRED:
                continue
            for reads in reader.input_ports:
                if (key := reads.address.of_product.key) in found:
                    found[key].append((reader, reads))
    return found


def read_port(contract: Contract) -> ReadPort:
    """Return a contract in the form that what a reader reads is derived from."""
    product, port = contract.product, contract.port
    compacted, is_default = port.cleanup == "compact", port.name == product.default_port.name
    return ReadPort(contract.address, contract.schema, port.key_fields, port.time, compacted, is_default)


def readers_of(contract: Contract, readings: Iterable[Reading]) -> tuple[Reader, ...]:
    """Return the readers of one port. A reader without a port reads the default port, one without a major reads every major.

    If a product reads a port by two entries, or differently before and after a change, it reads the fields of both. The
    fields are those that it declares and those that its declared steps read; see
    `meshport.process.logic.declared_reads`.

    Args:
        contract: of the port, as its readers know it.
        readings: of the port's product.
    """
    port = read_port(contract)
    by_reader: dict[int, tuple[Product, list[InputPort]]] = {}
    for reader, reads in readings:
        by_reader.setdefault(id(reader), (reader, []))[1].append(reads)
    merged: dict[Address, Reader] = {}
    for reader, every in by_reader.values():
        entries = [each for each in every if port.is_at(each.address)]
        addresses = [each.address for each in entries] or list(filter(port.is_at, addresses_read(reader)))
        if not addresses:
            continue
        entry = Reader(
            address=reader.address,
            reads=replace(port.address, major=addresses[0].major),
            fields=fields_of_reader(reader, entries, port),
            archetype=reader.archetype,
            owner=reader.owner,
            contact=reader.contact,
            status=reader.status,
        )
        if known := merged.get(reader.address):
            both = known.fields and entry.fields
            fields = tuple(dict.fromkeys((*known.fields, *entry.fields))) if both else ()
            entry = known.model_copy(update={"fields": fields})
        merged[reader.address] = entry
    return tuple(merged[address] for address in sorted(merged))


def paths_by_id(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the descriptors that contain each id, by its 32 hex digits; a descriptor may contain the id of another product."""
    found: dict[str, list[str]] = {}
    for path, text in texts.items():
        for id_ in set(_ID.findall(text)):
            found.setdefault(id_.replace("-", "").lower(), []).append(path)
    return found


def product_with_id_in(project: Project, id_: UUID, paths: Mapping[str, list[str]]) -> str | None:
    """Return the project's product, `<domain>/<product>`, that has an id; the first in order if there are several.

    Args:
        project: the project to search.
        id_: of the product.
        paths: `paths_by_id` of its descriptors.
    """
    return next((_key(path) for path in paths.get(id_.hex, ()) if project.descriptor(path).id == id_), None)


def port_count(text: str) -> int:
    """Return the number of output ports that a valid descriptor declares, counted by lines unless they are in flow style."""
    lines = iter(text.splitlines())
    if not any(_PORTS.fullmatch(line) for line in lines):
        return len((load(text) or {}).get("outputPorts", ()))
    indent, count = None, 0
    for line in lines:
        bare = line.lstrip(" ")
        if not bare or bare.startswith("#"):
            continue
        depth = len(line) - len(bare)
        indent = depth if indent is None else indent
        if depth < indent or (depth == indent and not bare.startswith("-")):
            break
        count += depth == indent
    return count


def names_of(text: str) -> set[str]:
    """Return the names by which a file of `schemas/common/` can be referred to; empty if it declares none."""
    try:
        data, _ = read_json(text)
    except (ValueError, OverflowError, RecursionError):
        return set()
    if not isinstance(data, dict):
        return set()
    full = str(data["polyseme"]) if "polyseme" in data else qualified(data)
    return {full.rpartition(".")[2]} if full else set()


def _users(changed: Collection[str], before: Project, after: Project) -> set[str]:
    """Return the schema files that refer to a changed file of `schemas/common/`, also through other common types."""
    common = {path for path in changed if _is_common(path)}
    if not common:
        return set()
    names: set[str] = set()
    for project in (before, after):
        names |= {name for path in common if (text := _text(project, path)) for name in names_of(text)}
    schemas = {path: text for path in after.files.matching("schemas/*/*.avsc") if (text := _text(after, path))}
    found: set[str] = set()
    while names:
        # A reference ends with the short name: "Country" in its namespace, "common.Country" anywhere.
        refers = re.compile(r'["\'.](?:' + "|".join(map(re.escape, sorted(names))) + r')"|\\u')
        users = {path for path, text in schemas.items() if path not in found and refers.search(text)}
        found |= users
        names = {name for path in users if path.startswith(_COMMON) for name in names_of(schemas[path])}
    return found


def _is_common(path: str) -> bool:
    return path.startswith(_COMMON) and path.endswith(".avsc")


def _text(project: Project, path: str) -> str:
    try:
        return project.files.text(path)
    except (OSError, UnicodeDecodeError):
        return ""


def _key(path: str) -> str:
    """Return the product of a descriptor's or a schema's path; "" for any other file."""
    parts = path.split("/")
    if parts[0] in {"producers", "processors"} and len(parts) == 4 and parts[3] == "product.yaml":
        return f"{parts[1]}/{parts[2]}"
    if parts[0] == "schemas" and len(parts) == 3 and parts[1] != "common":
        return f"{parts[1]}/{parts[2].partition('.')[0]}"
    return ""
