"""What somebody wants to register: read from a request, and checked by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshport.address import nearest
from meshport.catalog import ProductRegistration
from meshport.compat import RULES
from meshport.errors import SchemaError
from meshport.product import OutputPort, Product
from meshport.schema import parse_schema
from meshport_registry.contracts import Candidate, read_plain
from meshport_registry.errors import Refused
from meshport_registry.products import later

Line = tuple[str, int]
"""A port of a product: its name and its major."""


@dataclass(frozen=True)
class Declared:
    """What somebody wants to register.

    Attributes:
        product: the descriptor.
        contracts: the schema of each output port; or why it is none, where that is for the gate to say.
        bootstrap_servers: the cluster of its topics, where that is not the registry's own.
    """

    product: Product
    contracts: Mapping[Line, Candidate | SchemaError]
    bootstrap_servers: str | None = None


def line_of(port: OutputPort) -> Line:
    """The line that a port's entry declares."""
    return port.name, port.major


def declared(body: ProductRegistration) -> Declared:
    """A declaration as a request brings it.

    Raises:
        Refused: a schema is given under a name that is no port's.
        SchemaError: a schema is no valid Avro.
    """
    contracts: dict[Line, Candidate | SchemaError] = {}
    for called, text in body.schemas.items():
        port, at, major = called.partition("@")
        if not at or not major.isdecimal():
            raise Refused(f"{called!r} names no port and major", hint="name each schema <port>@<major>, as in events@1")
        try:
            contracts[port, int(major)] = read_plain(text)
        except SchemaError as error:
            if error.rule not in RULES:
                raise
            contracts[port, int(major)] = error
    return Declared(body.descriptor, contracts, body.bootstrap_servers)


def unmatched(wanted: Declared) -> Iterator[str]:
    """Ports without a schema, and schemas without a port."""
    lines = {line_of(port) for port in wanted.product.output_ports}
    for name, major in wanted.contracts.keys() - lines:
        yield f"a schema is given for {name}@{major}, which is no output port"
    for port in wanted.product.output_ports:
        if line_of(port) not in wanted.contracts:
            yield f"no schema is given for {port.name}@{port.major}"


def unfit(wanted: Declared) -> Iterator[str]:
    """Why ports and their schemas do not go together, and why the schema of a process's state is none."""
    yield from _unreadable_state(wanted.product)
    for port in wanted.product.output_ports:
        candidate, called = wanted.contracts.get(line_of(port)), f"{port.name}@{port.major}"
        if not isinstance(candidate, Candidate):
            continue
        schema = candidate.schema
        if not schema.field_names:
            yield f"the schema of {called} is {schema.name}; a port's events are records with fields"
        for role, name in [*(("key", each) for each in port.key_fields), *([("time", port.time)] if port.time else [])]:
            if name not in schema.field_names:
                near = nearest(name, list(schema.field_names))
                yield (
                    f"the {role} field {name!r} of {called} is not in {schema.name}"
                    + (f"; did you mean {near!r}?" if near else "")
                )


def _unreadable_state(product: Product) -> Iterator[str]:
    applied = product.process.applied if product.process else None
    if applied is None or applied.state is None:
        return
    try:
        parse_schema(applied.state, source="the schema of the state that `apply` keeps")
    except SchemaError as error:
        yield f"{error.message}; a registry has no files: `meshport apply` sends the schema in place of one"


def kept_on(product: Product, known: Product) -> Product:
    """A descriptor with the lifecycle that it cannot take back: none goes back by being declared again."""
    if later(known.status, product.status) is product.status:
        return product
    lifecycle = {"status": known.status, "deprecated_on": known.deprecated_on, "successor": known.successor}
    return product.model_copy(update=lifecycle)
