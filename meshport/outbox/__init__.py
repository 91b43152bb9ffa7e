"""The outbox: events that commit with the rows of a service's own database, and are published afterwards.

`Outbox` adds events to a transaction. `table` has the table and its statements, `row` an event of it, as it
waits and as it is sent. `Relay` publishes them: `shard_relay` those of one shard, over the connection to its database
(`shard`, `postgres_shard`, `sqlite_shard`), through `row_sender`.
"""

from __future__ import annotations

from meshport.outbox.creating import create_table
from meshport.outbox.outbox import Outbox
from meshport.outbox.relay import Relay
from meshport.outbox.row import OutboxRow
from meshport.outbox.table import COLUMNS, TABLE, creation

__all__ = ["COLUMNS", "TABLE", "Outbox", "OutboxRow", "Relay", "create_table", "creation"]
