"""Another registry as the past in a comparison: the versions of the subjects that a project's ports have there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from meshport.address import Address
from meshport.compat.contract import Contract, Version
from meshport.compat.judge import Past
from meshport.errors import DescriptorError, SchemaError
from meshport.gate.before import Before, grouped, keys_of, known_readers
from meshport.gate.touched import readings
from meshport.product import Compatibility, OutputPort, Product
from meshport.project.project import Project
from meshport.registry import ConfluentSubjects
from meshport.registry.peer_schemas import PeerSchemas
from meshport.schema import Schema

_LIMITS = (
    "a registry of schemas says nothing of what is promised around a schema (key, partitions, cleanup), nor who reads it: "
    "the contract around it is the project's, and so are the readers (--registry URL adds those of a mesh)"
)


@dataclass
class PeerSource:
    """Another registry: the live versions of each port's subject. The contract around a schema is the candidate's own.

    A port's subject is `<topic>-value`; where there is none, that of another strategy, `<topic>-<record>` or `<record>`.

    Attributes:
        project: the project of the candidates.
        subjects: the registry.
        notes: see `meshport.gate.before.PastSource`.
    """

    project: Project
    subjects: ConfluentSubjects
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """See `meshport.gate.before.PastSource`."""
        return f"the registry at {self.subjects.url}"

    def known(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return ()

    def differing(self) -> None:
        """See `meshport.gate.before.PastSource`."""
        return

    def product_with_id(self, id_: UUID) -> str | None:  # noqa: ARG002 - schemas know no product
        """See `meshport.gate.before.PastSource`."""
        return None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `meshport.gate.before.PastSource`.

        Raises:
            SchemaError: a subject has a schema that is no Avro, or refers to one that is not there.
        """
        self.notes = [_LIMITS]
        keys = sorted(keys_of(addresses) & self.project.descriptors.keys())
        read = readings(keys, self.project)
        pasts = []
        for key in keys:
            path = self.project.descriptors[key]
            product = self.project.descriptor(path)
            for port in product.output_ports:
                if past := self._past(product, port, self._record(product, port, path)):
                    contract = past.contract
                    pasts.append(Past(contract, past.versions, known_readers(contract, read), levels=past.levels))
        return grouped(pasts)

    def _record(self, product: Product, port: OutputPort, descriptor: str) -> str | None:
        try:
            return self.project.contract(product, port, descriptor).name
        except (SchemaError, DescriptorError):
            return None  # the candidate is judged, and its error raised, beside this

    def _past(self, product: Product, port: OutputPort, record: str | None) -> Past | None:
        address = product.port_address(port)
        wanted = list(_subjects(product, port, record))
        subject = next((each for each in wanted if each in self._names), None)
        if subject is None:
            self.notes.append(f"{address.key} is new there: no subject {' or '.join(wanted)}")
            return None
        versions = tuple(Version(each.version, self._schemas.version(each)) for each in self.subjects.subject(subject))
        if not versions:
            return None  # deleted since the names were read
        level = self.subjects.level_in_force(subject)
        own = product.compatibility(port)
        also = "" if level in {own, Compatibility.NONE} else f", at the level {level}, which holds beside {own}"
        self.notes.append(f"{address.key} is the subject {subject} there{also}")
        newest: Schema = versions[-1].schema
        return Past(Contract(product, port, newest), versions, levels=frozenset({level}))

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.subjects.names())

    @cached_property
    def _schemas(self) -> PeerSchemas:
        return PeerSchemas(self.subjects)


def _subjects(product: Product, port: OutputPort, record: str | None) -> Iterator[str]:
    """Yield the subjects that Confluent's strategies give a port's values, the default one first."""
    subject = product.subject(port)
    yield subject
    if record is not None:
        yield f"{subject.removesuffix('-value')}-{record}"
        yield record
