"""Check a process against the contracts that it reads and writes, before topics are created or products registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from meshport.address import Address, nearest
from meshport.binding import Binding
from meshport.errors import DescriptorError, NotRegistered, ProcessError, RegistryUnavailable
from meshport.kafka.clusters import KafkaAccess
from meshport.process.logic.declared_reads import ReadPort, WrongDeclaration, wrong_entries
from meshport.process.logic.fields_read import fields_read
from meshport.process.logic.load import load_pipeline
from meshport.process.logic.one_cluster import PortCluster, refuse_other_clusters
from meshport.process.logic.shape import check_pipeline
from meshport.product import OutputPort
from meshport.product.load import line_in
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema

_STEP: Final = re.compile(r"process\.steps\[([0-9]+)\]\.([a-z]+)")
Resolve = Callable[[Address], Binding]
"""Returns the binding of an address; raises NotRegistered or RegistryUnavailable."""


class Contracts:
    """Finds the contract of an address among the products of a project, then in a registry.

    Args:
        products: of the project; theirs come first, since they are about to be registered.
        resolve: asks the registry.
        kafka: the connections to Kafka; they show whether a port that names its cluster and one that names none are on one
            cluster. Without them, ports are on different clusters only if both name one.
    """

    def __init__(self, products: Iterable[ProjectProduct], resolve: Resolve, kafka: KafkaAccess | None = None) -> None:
        self._products = {each.product.address: each for each in products}
        self._resolve = resolve
        self._kafka = kafka

    def find(self, address: Address) -> ReadPort:
        """Return the contract that an address leads to now.

        Raises:
            NotRegistered: neither the project nor the registry has the port.
            RegistryUnavailable: the project does not have the product, and the registry did not answer.
            UnknownCluster: no connection is known to the cluster of the port.
        """
        found = self._products.get(address.of_product)
        if found is None:
            binding = self._resolve(address)
            return ReadPort(
                binding.address,
                parse_schema(binding.schema_text),
                binding.key,
                binding.time,
                binding.cleanup == "compact",
                address.port is None or self._is_default(binding),
                self.cluster(binding.cluster, binding.bootstrap_servers),
            )
        product = found.product
        port = product.port(address.port, address.major)
        if port is None:
            known = ", ".join(product.port_address(each).key for each in product.output_ports)
            raise NotRegistered(f"{product.address} has no port {address.key}", hint=f"it has {known}")
        return ReadPort(
            product.port_address(port),
            found.schema(port),
            port.key_fields,
            port.time,
            port.cleanup == "compact",
            port.name == product.default_port.name,
            self.cluster(port.cluster),
        )

    def cluster(self, name: str | None, bootstrap_servers: str = "") -> PortCluster:
        """Return the cluster of a port.

        Raises:
            UnknownCluster: no connection to it is known.
        """
        if self._kafka is None:
            return PortCluster(name)
        return PortCluster(name, self._kafka.cluster(name, bootstrap_servers).bootstrap_servers)

    def is_registered(self, address: Address) -> bool:
        """Return whether a port is known to be registered; not where no registry answers."""
        try:
            self._resolve(address)
        except (NotRegistered, RegistryUnavailable):
            return False
        return True

    def nearest(self, address: Address) -> Address | None:
        """Return the port of the project whose address is most similar to one that is not found; None without one.

        Of a product of the project it is one of its ports, however they are named.
        """
        known = {each.key: found for each, found in self._products.items()}
        near = nearest(address.of_product.key, [*known])
        if near is None:
            return None
        product = known[near].product
        ports = {each.name: product.port_address(each) for each in product.output_ports}
        port = nearest(address.port, [*ports]) if address.port else None
        return ports[port] if port else product.port_address(product.default_port)

    def _is_default(self, binding: Binding) -> bool:
        try:
            return self._resolve(binding.address.of_product).address.port == binding.address.port
        except NotRegistered:
            return False  # its default port is retired


def check_process(product: ProjectProduct, contracts: Contracts) -> None:
    """Check that a product's process can run on its inputs, fits its output, and reads no more than is declared.

    The fields that declared steps read are derived (`meshport.process.logic.fields_read`): `inputPorts` has to name them
    all, since the gate protects a reader in the fields that it declares. A Python function's input counts as what
    `inputPorts` declares; where that names no fields, as all of them. What `inputPorts` names has to exist, also where the
    product has no process.

    Args:
        product: of the project; a source-aligned one passes.
        contracts: of its inputs.

    Raises:
        ProcessError: the process cannot be loaded, reads a field that an input does not have, or does not make the
            record of its port, or an input is on another Kafka cluster.
        DescriptorError: `inputPorts` names a field that an input does not have, or leaves out one that is read.
        NotRegistered, RegistryUnavailable: the contract of an input cannot be found.
    """
    descriptor = product.product
    ports: Mapping[Address, ReadPort] = {}
    if descriptor.process is not None:
        pipeline = load_pipeline(descriptor, product.folder)
        ports = {each: contracts.find(each) for each in (pipeline.input, *pipeline.joined)}
        built = descriptor.port() or descriptor.default_port
        _refuse_other_clusters(product, built, contracts.cluster(built.cluster), ports.values())
        output = product.schema(built)
        try:
            check_pipeline(
                pipeline, ports[pipeline.input].schema, {each: ports[each].schema for each in pipeline.joined}, output
            )
        except ProcessError as error:
            raise ProcessError(f"{_where(product, error.message)}: {error.message}", hint=error.hint) from error
        read = fields_read(pipeline, {address: port.contract for address, port in ports.items()})
        for address, port in ports.items():
            _refuse(product, wrong_entries(descriptor, port, read.paths[address]))
    for entry in descriptor.input_ports:
        if not any(port.is_at(entry.address) for port in ports.values()):
            _refuse(product, wrong_entries(descriptor, contracts.find(entry.address), None))


def _refuse_other_clusters(
    product: ProjectProduct, built: OutputPort, cluster: PortCluster, read: Iterable[ReadPort]
) -> None:
    descriptor, file = product.product, product.descriptor_file
    try:
        refuse_other_clusters(descriptor.port_address(built), cluster, {each.address: each.cluster for each in read})
    except ProcessError as error:
        line = line_in(file.read_text("utf-8"), "outputPorts", descriptor.output_ports.index(built), "cluster")
        raise ProcessError(f"{file}:{line}: {error.message}", address=error.address, hint=error.hint) from error


def _where(product: ProjectProduct, message: str) -> str:
    """Return the file of the descriptor, and the line of the step that a message names (`process.steps[1].filter`)."""
    file = product.descriptor_file
    named = _STEP.match(message)
    return (
        f"{file}:{line_in(file.read_text('utf-8'), 'process', 'steps', int(named[1]), named[2])}"
        if named
        else str(file)
    )


def unknown_inputs(product: ProjectProduct, contracts: Contracts) -> list[Address]:
    """Return the inputs of a product that nothing known here has, where no registry can be asked for them.

    Raises:
        DescriptorError: an input is registered nowhere, or is so similar to a product of the project that a typo is likely.
    """
    unknown = []
    for index, entry in enumerate(product.product.input_ports):
        address = entry.address
        try:
            contracts.find(address)
        except NotRegistered as error:
            near = contracts.nearest(address)
            raise _no_input(product, index, f"did you mean {near}?" if near else error.hint) from error
        except RegistryUnavailable as error:
            if near := contracts.nearest(address):
                hint = f"did you mean {near}? If it belongs to another project, name the registry: --registry URL"
                raise _no_input(product, index, hint) from error
            unknown.append(address)
    return unknown


def _no_input(product: ProjectProduct, index: int, hint: str | None) -> DescriptorError:
    file, entry = product.descriptor_file, product.product.input_ports[index]
    line = line_in(file.read_text("utf-8"), "inputPorts", index, "address")
    return DescriptorError(f"reads {entry.address}, which no product has", file=str(file), line=line, hint=hint)


def _refuse(product: ProjectProduct, wrong: Iterable[WrongDeclaration]) -> None:
    for each in wrong:
        raise wrong_declaration(each, str(product.descriptor_file), product.descriptor_file.read_text("utf-8"))


def wrong_declaration(wrong: WrongDeclaration, file: str, text: str) -> DescriptorError:
    """Return the error of a wrong entry of `inputPorts`.

    Args:
        wrong: what is wrong.
        file: the name of the descriptor.
        text: its content.
    """
    path = ("inputPorts",) if wrong.index is None else ("inputPorts", wrong.index, "fields")
    return DescriptorError(wrong.message, file=file, line=line_in(text, *path), hint=wrong.hint)
