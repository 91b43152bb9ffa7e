"""The outbox: events that commit with the rows of a service's own database, and are published afterwards.

`Outbox` adds events to a transaction. `table` has the table and its statements, `row` an event of it, as it
waits and as it is sent.
"""

from __future__ import annotations

from meshport.outbox.creating import create_table
from meshport.outbox.outbox import Outbox
from meshport.outbox.row import OutboxRow
from meshport.outbox.table import COLUMNS, TABLE, creation

__all__ = ["COLUMNS", "TABLE", "Outbox", "OutboxRow", "create_table", "creation"]
