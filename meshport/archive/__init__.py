"""Archives: the events of a port as an Apache Iceberg table, which has the whole log and the contract's columns beside it.

    declared   the archive that a port declares, by its address
    place      where it lies: a store for the files, a catalog for the table
    columns    messages to rows
    table      rows and offsets in one commit
    upkeep     few files for each day, none that no reader needs
    follow     from the topic to the table
    record     one record of the log, and its digest
    verify     the table against the topic
    restore    from the table to a topic

It needs the extra `meshport[archive]`.
"""

from __future__ import annotations

from meshport.archive.declared import PortArchive
from meshport.archive.follow import Archiver, CommitSize
from meshport.archive.place import ArchivePlace
from meshport.archive.restore import OffsetMap, move_groups, restore
from meshport.archive.table import ArchiveTable
from meshport.archive.verify import PartitionComparison, compare

__all__ = [
    "ArchivePlace",
    "ArchiveTable",
    "Archiver",
    "CommitSize",
    "OffsetMap",
    "PartitionComparison",
    "PortArchive",
    "compare",
    "move_groups",
    "restore",
]
