"""The archive that a port declares, by its address."""

from __future__ import annotations

from dataclasses import dataclass

from meshport.address import Address
from meshport.archive.place import ArchivePlace
from meshport.archive.table import ArchiveTable
from meshport.archiving.columns import ArchiveColumns
from meshport.archiving.follow import Archiver, CommitSize
from meshport.binding import Binding
from meshport.errors import ArchiveError
from meshport.kafka.clusters import KafkaAccess
from meshport.registry import Registry
from meshport.schema import parse_schema

__all__ = ["PortArchive"]


@dataclass(frozen=True, slots=True)
class PortArchive:
    """A port and where its archive lies.

    Attributes:
        binding: of the port.
        place: of the archive.
    """

    binding: Binding
    place: ArchivePlace

    @classmethod
    def of(cls, address: Address, registry: Registry) -> PortArchive:
        """Return the archive that a port declares.

        Args:
            address: of the port.
            registry: has the product.

        Raises:
            ArchiveError: the port declares no archive, or no store is known.
            NotRegistered: no product is registered at the address.
        """
        binding = registry.resolve(address)
        if binding.archive is None:
            raise ArchiveError(
                f"{binding.address} declares no archive",
                hint="`archive: {store: URL}` in its output port, then `meshport apply`",
                address=str(binding.address),
            )
        return cls(binding, ArchivePlace.of(binding.archive))

    def open(self) -> ArchiveTable:
        """Return its table.

        Raises:
            ArchiveError: there is none yet, or it cannot be opened.
        """
        return ArchiveTable.open(self.place, self.binding)

    def archiver(self, registry: Registry, kafka: KafkaAccess, size: CommitSize | None = None) -> Archiver:
        """Return what appends the port's topic to its table, which is made where there is none.

        Args:
            registry: has the schemas.
            kafka: the connections to Kafka.
            size: of a commit.

        Raises:
            ArchiveError: the table cannot be opened or made.
            HistoryMissing: retention has removed messages before they were archived.
            BrokerUnavailable: no broker answers.
        """
        columns = ArchiveColumns(self.binding, registry, parse_schema(self.binding.schema_text))
        table = ArchiveTable.ensure(self.place, self.binding, columns.schema)
        return Archiver(self.binding, columns, table, kafka.to(self.binding), size)
