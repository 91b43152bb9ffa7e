"""Whether the candidates declare what they read: their `inputPorts` against their declared steps and their inputs' contracts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from meshport.address import Address
from meshport.compat.contract import Contract
from meshport.compat.projection import has_path
from meshport.errors import DescriptorError, MeshError, ProcessError, SchemaError
from meshport.gate.before import Before, PastSource
from meshport.gate.touched import read_port
from meshport.process.logic.declared_reads import ReadPort, addresses_read, wrong_declarations
from meshport.product import Product
from meshport.project.check import wrong_declaration
from meshport.project.project import Project


def wrong_inputs(
    project: Project, keys: Collection[str], before: Mapping[str, Before], source: PastSource
) -> Iterator[MeshError]:
    """Yield an error for each product that declares less than its steps read, or a field that an input does not have.

    The contract of an input is the project's, or else the source's; an input that neither has is passed over. A field
    that a candidate takes away from its readers is no wrong declaration but a finding of the gate.

    Args:
        project: the candidates.
        keys: the products to check, `<domain>/<product>`.
        before: what is known of the source already.
        source: what the candidates are compared with.
    """
    for key in keys:
        path = project.descriptors.get(key)
        if path is None:
            continue
        product = project.descriptor(path)
        addresses = dict.fromkeys([*(each.address for each in product.input_ports), *addresses_read(product)])
        ports: dict[Address, tuple[ReadPort, ReadPort | None]] = {}
        for address in addresses:
            found = _contracts(project, address, before, source)
            if found is not None:
                ports[found[0].address] = found
        called = project.files.called(path)
        try:
            for now, was in ports.values():
                for wrong in wrong_declarations(product, [now]):
                    if not (wrong.unknown and was is not None and has_path(was.schema, wrong.unknown)):
                        yield wrong_declaration(wrong, called, project.texts[path])
        except ProcessError as error:
            yield ProcessError(f"{called}: {error.message}", address=error.address, hint=error.hint)


def _contracts(
    project: Project, address: Address, before: Mapping[str, Before], source: PastSource
) -> tuple[ReadPort, ReadPort | None] | None:
    """Return the port that an address leads to, and as its readers know it; None where neither side has it."""
    key = address.of_product.key
    path = project.descriptors.get(key)
    known = before.get(key)
    if known is None and path is None:
        known = source.before([address.of_product]).get(key)
    past = None
    if known is not None:
        contracts = [each.contract for each in known.pasts.values()]
        past = next((each for each in contracts if _leads_to(address, each.product, each)), None)
    if path is None:
        return None if past is None else (read_port(past), None)
    try:
        product = project.descriptor(path)
        port = product.port(address.port, address.major)
        if port is None:
            return None  # the gate refuses a port that is taken away
        now = Contract(product, port, project.contract(product, port, path))
    except (DescriptorError, SchemaError):
        return None  # an error of that product
    return read_port(now), None if past is None else read_port(past)


def _leads_to(address: Address, product: Product, contract: Contract) -> bool:
    port = product.port(address.port, address.major)
    return port is not None and (port.name, port.major) == (contract.port.name, contract.port.major)
