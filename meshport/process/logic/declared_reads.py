"""The fields of a port that a product reads: what its descriptor declares, and what its declared steps show.

The gate protects a reader in these fields. None of the product's code runs, so that they can be found in any state of a
project, and in a registry. A declaration that leaves out what a process is known to read protects it all the same, and is
refused where it is written: by `meshport check`, `gate check` and `apply`, and by the registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshport.address import Address, nearest
from meshport.compat.projection import has_path
from meshport.errors import ProcessError
from meshport.process.logic.fields_read import FieldsRead, InputContract, fields_read, within
from meshport.process.logic.load import declared_pipeline
from meshport.process.logic.one_cluster import DEFAULT_CLUSTER, PortCluster
from meshport.process.logic.pipeline import Pipeline
from meshport.product import InputPort, Product
from meshport.schema import Schema


@dataclass(frozen=True)
class ReadPort:
    """A port as its readers know it.

    Attributes:
        address: with port and major.
        schema: of the events' values.
        key: the fields of the record key.
        time: the field of the event time; None where the publisher gives it.
        compacted: whether a later record of a key replaces the earlier one.
        is_default: whether the address of its product, without a port, leads to it.
        cluster: the Kafka cluster of its topic.
    """

    address: Address
    schema: Schema
    key: tuple[str, ...] = ()
    time: str | None = None
    compacted: bool = False
    is_default: bool = True
    cluster: PortCluster = DEFAULT_CLUSTER

    @property
    def contract(self) -> InputContract:
        """What a pipeline that reads the port relies on."""
        return InputContract(self.schema.field_names, self.key, self.time, self.compacted)

    def is_at(self, address: Address) -> bool:
        """Whether an address, with or without port and major, leads to the port; one without a major to each major."""
        return (
            address.of_product == self.address.of_product
            and (address.port == self.address.port if address.port else self.is_default)
            and address.major in {None, self.address.major}
        )


@dataclass(frozen=True)
class WrongDeclaration:
    """An entry of `inputPorts` that does not declare what is read.

    Attributes:
        index: of the entry; None where no entry names the port.
        message: what is wrong.
        hint: what would be right.
        unknown: the declared field that the port does not have; "" where that is not what is wrong.
    """

    index: int | None
    message: str
    hint: str
    unknown: str = ""

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}"


def addresses_read(product: Product) -> tuple[Address, ...]:
    """Return the addresses that a product's process declares to read; those in Python are unknown."""
    process = product.process
    if process is None:
        return ()
    return tuple(process.addresses) if process.input else (product.input_ports[0].address, *process.addresses)


def read_by(product: Product, port: ReadPort) -> tuple[tuple[str, ...], bool] | None:
    """Return the fields of a port that a product's declared steps read, and whether they read no other field.

    Returns:
        The fields; None where no declared step reads the port: Python returns the steps, or there is no process.

    Raises:
        ProcessError: a declared step cannot be run.
    """
    pipeline = declared_pipeline(product)
    return None if pipeline is None else _read_by(pipeline, port)


def fields_of_reader(product: Product, entries: Iterable[InputPort], port: ReadPort) -> tuple[str, ...]:
    """Return the fields of a port in which a product is protected; empty for every field.

    These are the declared ones together with those that declared steps read. Where `fields` is left out, the latter alone
    count, since nothing else is read: protecting more would stop the port's owner for no reader's sake.

    Args:
        product: the reader.
        entries: of its `inputPorts`, those that lead to the port.
        port: as the reader knows it, before any change.
    """
    entries = list(entries)
    declared = tuple(dict.fromkeys(name for entry in entries for name in entry.fields))
    if any(entry.reads_all for entry in entries):
        return ()
    try:
        found = read_by(product, port)
    except ProcessError:
        return ()  # steps that cannot be understood may read anything
    if found is None:
        return declared if all(entry.fields for entry in entries) else ()
    paths, complete = found
    if not complete and not (entries and all(entry.fields for entry in entries)):
        return ()
    return (*declared, *(path for path in paths if not any(within(path, name) for name in declared)))


def wrong_declarations(product: Product, ports: Sequence[ReadPort]) -> Iterator[WrongDeclaration]:
    """Yield the entries of `inputPorts` that name a field which a port does not have, or leave out one that is read.

    Args:
        product: the reader.
        ports: those of its inputs whose contracts are known.

    Raises:
        ProcessError: a declared step cannot be run.
    """
    pipeline = declared_pipeline(product)
    for port in ports:
        found = None if pipeline is None else _read_by(pipeline, port)
        yield from wrong_entries(product, port, None if found is None else found[0])


def wrong_entries(product: Product, port: ReadPort, read: Sequence[str] | None) -> Iterator[WrongDeclaration]:
    """Yield what is wrong in a product's declaration of one port.

    Args:
        product: the reader.
        port: that it reads.
        read: the fields that its process is known to read; None where the process does not read the port, or cannot be
            known.
    """
    entries = [(index, each) for index, each in enumerate(product.input_ports) if port.is_at(each.address)]
    known = list(port.schema.field_names)
    for index, entry in entries:
        for name in entry.fields:
            if entry.reads_all or has_path(port.schema, name):
                continue
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"its fields: {', '.join(known)}"
            yield WrongDeclaration(index, f"{entry.address} has no field {name!r}", hint, name)
    if read is None:
        return
    if not entries:
        yield WrongDeclaration(
            None,
            f"the process reads {port.address}, which no entry of inputPorts names",
            f"add it: {{address: {port.address}, fields: [{', '.join(read)}]}}",
        )
    elif all(each.fields and not each.reads_all for _, each in entries):
        declared = list(dict.fromkeys(name for _, each in entries for name in each.fields))
        if missing := [path for path in read if not any(within(path, name) for name in declared)]:
            index, entry = entries[0]
            yield WrongDeclaration(
                index,
                f"the process reads {', '.join(map(repr, missing))} of {entry.address}, which its `fields` do not name",
                f"fields: [{', '.join([*declared, *missing])}]; the gate protects a reader in what it declares",
            )


def _read_by(pipeline: Pipeline, port: ReadPort) -> tuple[tuple[str, ...], bool] | None:
    addresses = [each for each in dict.fromkeys((pipeline.input, *pipeline.joined)) if port.is_at(each)]
    if not addresses:
        return None
    found: FieldsRead = fields_read(pipeline, dict.fromkeys(addresses, port.contract))
    paths = tuple(dict.fromkeys(path for each in addresses for path in found.paths.get(each, ())))
    return paths, found.complete or pipeline.input not in addresses
