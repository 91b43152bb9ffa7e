"""A registry in memory: bindings, schemas, and the gate before every change of a contract."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from uuid import UUID

from meshport.address import Address, nearest
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import PortVersion, Reader, Registration, RegistrationChange, declaring
from meshport.compat import Case, Contract, Past, Verdict, Version, with_migrated
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.gate.touched import read_port, readers_of
from meshport.process.logic.declared_reads import ReadPort, addresses_read, wrong_declarations
from meshport.product import InputPort, OutputPort, Product, Status
from meshport.product.lines import next_major
from meshport.schema import Schema

BOOTSTRAP_SERVERS = "memory.invalid:9092"
"""The bootstrap servers of every binding: a client that is not the mesh's own finds no broker there."""

_Line = tuple[str, int]


@dataclass
class _Registered:
    """A product as it is registered, with every version of each of its ports' schemas, oldest first."""

    product: Product
    versions: dict[_Line, list[Schema]]


class MemoryRegistry:
    """The registry of a mesh in memory.

    It resolves addresses and finds schemas as `meshport.Registry` does, and judges each registration as the registry
    service does: by `meshport.compat`, against every version that a port has had and everybody known to read it.
    Waivers, retirement and rebuilt generations are the service's alone.

    Args:
        today: returns the current day (UTC), which decides which major line is live.
    """

    def __init__(self, today: Callable[[], date]) -> None:
        self._today = today
        self._products: dict[Address, _Registered] = {}
        self._bindings: dict[Address, Binding] = {}
        self._topic_ids: dict[str, str] = {}
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}

    def resolve(self, address: Address | str) -> Binding:
        """Return the binding of a port; without a major, that of the line which is live on the mesh's day.

        Raises:
            NotRegistered: no such product, port or line is registered.
        """
        asked = Address.parse(address) if isinstance(address, str) else address
        found = self._products.get(asked.of_product)
        if found is None:
            near = nearest(asked.of_product.key, [each.key for each in self._products])
            raise NotRegistered(f"{asked.of_product} is not registered", hint=f"did you mean {near}?" if near else None)
        product = found.product
        port = product.port(asked.port, asked.major, today=self._today())
        if port is None:
            known = ", ".join(f"{each.name}@{each.major}" for each in product.output_ports)
            raise NotRegistered(f"{asked} is not registered", hint=f"{asked.of_product} has {known}")
        return self._binding(found, port)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The binding of every line of every product, in the order of registration."""
        return tuple(
            self._binding(each, port) for each in self._products.values() for port in each.product.output_ports
        )

    def product(self, address: Address | str) -> RegisteredProduct:
        """Return a product as it is registered.

        Raises:
            NotRegistered: no such product is registered.
        """
        binding = self.resolve(address)
        return self._answer(self._products[binding.address.of_product])

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema of a numeric id.

        Raises:
            NotRegistered: there is none.
        """
        if schema_id not in self._schemas:
            raise NotRegistered(f"no schema has the id {schema_id}")
        return self._schemas[schema_id]

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """Return the schema of a fingerprint.

        Raises:
            NotRegistered: there is none.
        """
        if fingerprint not in self._ids:
            raise NotRegistered(f"no schema has the fingerprint {fingerprint}")
        return self._schemas[self._ids[fingerprint]]

    def by_guid(self, guid: UUID) -> Schema:
        """Raise NotRegistered: only the registry service gives schemas a GUID.

        Raises:
            NotRegistered: always.
        """
        raise NotRegistered(f"no schema has the GUID {guid}")

    def readers(self, address: Address | str) -> tuple[Reader, ...]:
        """Return the products that declare a port among their inputs."""
        binding = self.resolve(address)
        known = self._products[binding.address.of_product]
        return self._past(known, (binding.address.port or "", binding.address.major or 0)).readers

    def judge(self, product: Product, schemas: Mapping[str, Schema]) -> list[Verdict]:
        """Return the gate's verdict on each port of a declaration, then on each that it drops.

        Args:
            product: the descriptor.
            schemas: by `<port>@<major>`.

        Raises:
            SchemaError: two schemas cannot be compared.
        """
        return self._judge(product, schemas, ())

    def _judge(self, product: Product, schemas: Mapping[str, Schema], unused: Collection[str]) -> list[Verdict]:
        topics = {product.port_address(port): product.topic(port) for port in product.output_ports}
        cases = (
            replace(each, past=replace(each.past, unused=topics.get(each.address) in unused)) if each.past else each
            for each in with_migrated(self._cases(product, schemas))
        )
        return [case.verdict(self._today()) for case in cases]

    def register(
        self,
        product: Product,
        schemas: Mapping[str, Schema],
        *,
        bootstrap_servers: str | None = None,  # noqa: ARG002 - as the registry's client has it
        clusters: Mapping[str, str] | None = None,  # noqa: ARG002 - as the registry's client has it
        topic_ids: Mapping[str, str] | None = None,
        unused: Collection[str] = (),
        dry_run: bool = False,
    ) -> Registration:
        """Register a product, or bring it up to date; as `meshport.Registry.register`.

        Raises:
            RegistrationRefused: the address has another id, an input is not registered or is not declared as it is read,
                or the gate refuses a change; `findings` holds the reasons.
            ProcessError: a declared step cannot be run.
            SchemaError: two schemas cannot be compared.
        """
        known = self._products.get(product.address)
        self._refuse_other_identity(product, known)
        unresolved = tuple(
            each.address for each in product.input_ports if each.address.of_product not in self._products
        )
        if unresolved and not dry_run:
            raise RegistrationRefused(
                f"the input port {unresolved[0]} is not registered; register it first", findings=()
            )
        self._refuse_wrong_inputs(product)
        self._heed(self._judge(product, schemas, unused))
        versions = {line: list(each) for line, each in known.versions.items()} if known else {}
        for port in product.output_ports:
            _add_version(versions.setdefault((port.name, port.major), []), schemas[_name(port)])
        after = _Registered(product, versions)
        changed = tuple(_changes(known, after))
        if not dry_run:
            self._products[product.address] = after
            self._topic_ids |= topic_ids or {}
            self._bindings.clear()
            for each in versions.values():
                for schema in each:
                    self._schemas.setdefault(self._id(schema), schema)
        return Registration(
            product=self._answer(after, bindings=not dry_run),
            ports=tuple(self._port_version(after, port, dry_run) for port in product.output_ports),
            changed=changed,
            unresolved=unresolved,
            dry_run=dry_run,
        )

    def _refuse_other_identity(self, product: Product, known: _Registered | None) -> None:
        if known is not None and known.product.id != product.id:
            raise RegistrationRefused(
                f"{product.address} has the id {known.product.id}: an id never changes, nor is it reused"
            )
        for each in self._products.values():
            if each.product.id == product.id and each.product.address != product.address:
                raise RegistrationRefused(
                    f"id {product.id} is {each.product.address}: an address is permanent, a new one needs a new id"
                )

    def _refuse_wrong_inputs(self, product: Product) -> None:
        """Refuse `inputPorts` that do not declare what is read; an input that is not registered yet is passed over."""
        ports: dict[Address, ReadPort] = {}
        for address in (*(each.address for each in product.input_ports), *addresses_read(product)):
            known = self._products.get(address.of_product)
            port = known.product.port(address.port, address.major, today=self._today()) if known else None
            if known is not None and port is not None:
                read = read_port(Contract(known.product, port, known.versions[port.name, port.major][-1]))
                ports[read.address] = read
        findings = tuple(map(str, wrong_declarations(product, list(ports.values()))))
        if findings:
            raise RegistrationRefused(f"{product.address} cannot be registered: {findings[0]}", findings=findings)

    def _heed(self, verdicts: Iterable[Verdict]) -> None:
        refusing = [(each, finding) for each in verdicts for finding in each.findings if finding.refuses]
        if refusing:
            findings = tuple(dict.fromkeys(str(finding) for _, finding in refusing))
            ports = ", ".join(dict.fromkeys(str(each.address) for each, _ in refusing))
            message = f"{ports} would not be what was promised"
            raise RegistrationRefused(
                f"{message}: {findings[0]}" if len(findings) == 1 else f"{message} in {len(findings)} ways",
                findings=findings,
                hint="`meshport gate check` says who breaks and what to do",
            )

    def _cases(self, product: Product, schemas: Mapping[str, Schema]) -> Iterator[Case]:
        known = self._products.get(product.address)
        pasts = {} if known is None else {line: self._past(known, line) for line in known.versions}
        declared = set()
        for port in product.output_ports:
            line = (port.name, port.major)
            declared.add(line)
            contract = Contract(product, port, schemas[_name(port)])
            readers = () if line in pasts else readers_of(contract, self._readings(product.address))
            yield Case.declared(product, port, contract.schema, pasts.get(line), readers)
        for line, past in pasts.items():
            if line not in declared:
                yield Case.removed(past, product)

    def _past(self, known: _Registered, line: _Line) -> Past:
        port = known.product.port(*line) or OutputPort(name=line[0], major=line[1])
        product = declaring(known.product, port)
        schemas = known.versions[line]
        contract = Contract(product, port, schemas[-1])
        return Past(
            contract,
            tuple(Version(number, schema) for number, schema in enumerate(schemas, start=1)),
            readers_of(contract, self._readings(product.address)),
        )

    def _readings(self, address: Address) -> list[tuple[Product, InputPort]]:
        return [
            (each.product, port)
            for each in self._products.values()
            for port in each.product.input_ports
            if port.address.of_product == address and each.product.status is not Status.RETIRED
        ]

    def _id(self, schema: Schema) -> int:
        return self._ids.setdefault(schema.fingerprint, len(self._ids) + 1)

    def _binding(self, found: _Registered, port: OutputPort) -> Binding:
        product, address = found.product, found.product.port_address(port)
        if (known := self._bindings.get(address)) and self._products.get(product.address) is found:
            return known
        schema = found.versions[port.name, port.major][-1]
        lines = product.lines(port.name)
        following = next_major(lines, port.major)
        ends = port.deprecated_on or product.deprecated_on
        binding = Binding(
            address=address,
            bootstrap_servers=BOOTSTRAP_SERVERS,
            cluster=port.cluster,
            topic=product.topic(port),
            topic_id=self._topic_ids.get(product.topic(port)),
            partitions=port.partitions,
            key=port.key_fields,
            time=port.time,
            type=product.event_type(port),
            envelope=port.envelope or "cloudevents",
            subject=product.subject(port),
            schema_id=self._id(schema),
            fingerprint=schema.fingerprint,
            schema_text=schema.text,
            cleanup=port.cleanup,
            live_from=port.live_from,
            status=Status.DEPRECATED if port.deprecated_on and product.status is Status.ACTIVE else product.status,
            deprecated_on=ends,
            successor=product.port_address(lines[following]) if following else product.successor,
            owner=product.owner,
        )
        if self._products.get(product.address) is found:
            self._bindings[address] = binding
        return binding

    def _port_version(self, found: _Registered, port: OutputPort, dry_run: bool) -> PortVersion:
        binding = self._binding(found, port) if not dry_run else None
        schemas, address = found.versions[port.name, port.major], found.product.port_address(port)
        return PortVersion(
            address=address,
            topic=found.product.topic(port),
            subject=found.product.subject(port),
            schema_id=binding.schema_id if binding else None,
            version=len(schemas),
            fingerprint=schemas[-1].fingerprint,
        )

    def _answer(self, found: _Registered, *, bindings: bool = True) -> RegisteredProduct:
        product, now = found.product, datetime.combine(self._today(), time(tzinfo=UTC))
        return RegisteredProduct(
            guid=str(product.id),
            create_date=now,
            update_date=now,
            owner=product.owner,
            display_name=product.display_name or product.address.product,
            source_code_location=product.source_code_location,
            description=product.description,
            readable_key=product.address.key,
            required_security_group=product.required_security_group,
            descriptor=product,
            bindings=tuple(self._binding(found, port) for port in product.output_ports) if bindings else (),
        )


def _name(port: OutputPort) -> str:
    return f"{port.name}@{port.major}"


def _add_version(versions: list[Schema], schema: Schema) -> None:
    """Make a schema the latest version; one that was there before is the latest again."""
    if schema in versions:
        versions.remove(schema)
    versions.append(schema)


def _changes(before: _Registered | None, after: _Registered) -> Iterator[RegistrationChange]:
    if before is None:
        yield RegistrationChange(item="product", after=str(after.product.address))
    elif before.product != after.product:
        yield RegistrationChange(
            item="descriptor", before=str(before.product.address), after=str(after.product.address)
        )
    for (name, major), schemas in after.versions.items():
        known = before.versions.get((name, major)) if before else None
        if not known or known[-1] != schemas[-1]:
            yield RegistrationChange(
                item=f"{name}@{major}.schema",
                before=known[-1].fingerprint if known else None,
                after=schemas[-1].fingerprint,
            )
