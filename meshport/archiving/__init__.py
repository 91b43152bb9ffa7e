"""Archiving: the events of a port into its Iceberg table, compared with the topic, and restored to one.

    declared   the archive that a port declares, by its address
    columns    messages to rows: the log, and the contract's columns beside it
    follow     from the topic to the table
    verify     the table against the topic
    restore    from the table to a topic

It needs the extra `meshport[archive]`; `meshport.archive` has the tables, and reads them.
"""

from __future__ import annotations

from meshport.archiving.declared import PortArchive
from meshport.archiving.follow import Archiver, CommitSize
from meshport.archiving.restore import OffsetMap, move_groups, restore
from meshport.archiving.verify import PartitionComparison, compare

__all__ = [
    "Archiver",
    "CommitSize",
    "OffsetMap",
    "PartitionComparison",
    "PortArchive",
    "compare",
    "move_groups",
    "restore",
]
