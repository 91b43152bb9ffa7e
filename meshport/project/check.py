"""Check a process against the contracts that it reads and writes, before topics are created or products registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.errors import DescriptorError, NotRegistered, ProcessError
from meshport.process.logic.fields_read import FieldsRead, InputContract, fields_read
from meshport.process.logic.load import load_pipeline
from meshport.process.logic.shape import check_pipeline
from meshport.product import InputPort
from meshport.product.load import line_in
from meshport.project.project import ProjectProduct
from meshport.schema import Schema, parse_schema

Resolve = Callable[[Address], Binding]
"""Returns the binding of an address; raises NotRegistered or RegistryUnavailable."""


@dataclass(frozen=True)
class PortContract:
    """A port's contract, from the project or from the registry.

    Attributes:
        address: the full address.
        schema: of the events' values.
        key: the fields of the record key.
        time: the field of the event time; None where the publisher gives it.
        cleanup: `delete` or `compact`.
    """

    address: Address
    schema: Schema
    key: tuple[str, ...]
    time: str | None
    cleanup: str

    @property
    def as_input(self) -> InputContract:
        """What a pipeline that reads the port relies on."""
        return InputContract(self.schema.field_names, self.key, self.time, self.cleanup == "compact")


class Contracts:
    """Finds the contract of an address among the products of a project, then in a registry.

    Args:
        products: of the project; theirs come first, since they are about to be registered.
        resolve: asks the registry.
    """

    def __init__(self, products: Iterable[ProjectProduct], resolve: Resolve) -> None:
        self._products = {each.product.address: each for each in products}
        self._resolve = resolve

    def find(self, address: Address) -> PortContract:
        """Return the contract that an address leads to now.

        Raises:
            NotRegistered: neither the project nor the registry has the port.
            RegistryUnavailable: the project does not have the product, and the registry did not answer.
        """
        found = self._products.get(address.of_product)
        if found is None:
            binding = self._resolve(address)
            return PortContract(
                binding.address, parse_schema(binding.schema_text), binding.key, binding.time, binding.cleanup
            )
        product = found.product
        port = product.port(address.port, address.major)
        if port is None:
            known = ", ".join(product.port_address(each).key for each in product.output_ports)
            raise NotRegistered(f"{product.address} has no port {address.key}", hint=f"it has {known}")
        return PortContract(product.port_address(port), found.schema(port), port.key_fields, port.time, port.cleanup)


def check_process(product: ProjectProduct, contracts: Contracts) -> None:
    """Check that a product's process can run on its inputs, fits its output, and reads no more than is declared.

    The fields that declared steps read are derived (`meshport.process.logic.fields_read`): `inputPorts` has to name them
    all, since the gate protects a reader in the fields that it declares. A Python function's input counts as what
    `inputPorts` declares; where that names no fields, as all of them.

    Args:
        product: of the project; one without a process passes.
        contracts: of its inputs.

    Raises:
        ProcessError: the process cannot be loaded, reads a field that an input does not have, or does not make the
            record of its port.
        DescriptorError: `inputPorts` names a field that an input does not have, or leaves out one that is read.
        NotRegistered, RegistryUnavailable: the contract of an input cannot be found.
    """
    descriptor = product.product
    if descriptor.process is None:
        return
    pipeline = load_pipeline(descriptor, product.folder)
    inputs = {each: contracts.find(each) for each in (pipeline.input, *pipeline.joined)}
    output = product.schema(descriptor.port() or descriptor.default_port)
    try:
        check_pipeline(
            pipeline, inputs[pipeline.input].schema, {each: inputs[each].schema for each in pipeline.joined}, output
        )
    except ProcessError as error:
        raise ProcessError(f"{product.descriptor_file}: {error.message}", hint=error.hint) from error
    read = fields_read(pipeline, {address: contract.as_input for address, contract in inputs.items()})
    _check_declared(product, inputs, read)


def _check_declared(product: ProjectProduct, inputs: Mapping[Address, PortContract], read: FieldsRead) -> None:
    for address, contract in inputs.items():
        entries = [
            (index, port)
            for index, port in enumerate(product.product.input_ports)
            if _means(port, address, contract.address)
        ]
        if not entries or any(not port.fields for _, port in entries):
            continue  # every field is declared; an address that no entry means is refused when the descriptor is read
        index, port = entries[0]
        declared = [name for _, each in entries for name in each.fields]
        for name in declared:
            if (first := name.partition(".")[0]) not in contract.schema.field_names:
                near = nearest(first, list(contract.schema.field_names))
                raise _refused(
                    product,
                    index,
                    f"{port.address} has no field {name!r}",
                    f"did you mean {near!r}?" if near else f"its fields: {', '.join(contract.schema.field_names)}",
                )
        if missing := read.missing(address, declared):
            raise _refused(
                product,
                index,
                f"the process reads {', '.join(map(repr, missing))} of {port.address}, which its `fields` do not name",
                f"fields: [{', '.join([*declared, *missing])}]; the gate protects a reader in what it declares",
            )


def _means(port: InputPort, address: Address, full: Address) -> bool:
    """Whether an entry of inputPorts declares a read address: ports and majors may be left out on either side."""
    declared = port.address
    return (
        declared.of_product == address.of_product
        and declared.port in {None, address.port, full.port}
        and declared.major in {None, address.major, full.major}
    )


def _refused(product: ProjectProduct, index: int, message: str, hint: str) -> DescriptorError:
    file = product.descriptor_file
    try:
        line = line_in(file.read_text(encoding="utf-8"), "inputPorts", index, "fields")
    except OSError:
        line = None
    return DescriptorError(message, file=str(file), line=line, hint=hint)
