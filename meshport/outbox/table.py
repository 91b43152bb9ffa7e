"""The table of an outbox, `meshport_outbox`: a row is one event, in the database of the service that emits it.

A row is written in the transaction of the change that it reports (`meshport.outbox.Outbox`), and published after that
transaction has committed (`meshport relay`).

| column | what it holds |
|---|---|
| `number` | grows with each row that is added |
| `id`, `type` | CloudEvents' id and type |
| `aggregatetype` | the topic that the address led to when the event was added |
| `aggregateid` | the record key as text; of an event without a key its id, so that it waits for no other |
| `payload` | the record value in Confluent's wire format; null for a tombstone |
| `timestamp` | when the row was added, UTC without a zone, by the database's clock |
| `address` | the full address of the port; CloudEvents' source |
| `key` | the record key; null for a port without one |
| `dataschema`, `time`, `subject` | CloudEvents' attributes in wire form; `time` is null if the port has no envelope |
| `extensions` | CloudEvents' extension attributes, a JSON object of texts; null where there are none |
| `shard` | a hash of `aggregateid` in 0 to 2**31 - 1: of N relays, number K takes the rows of `shard % N = K` |
| `published_at` | when a relay marked the row, after the broker had acknowledged the event; null until then |
| `fence` | the fencing token of the relay that marked it |
| `error` | why the event cannot be sent; the later rows of its aggregate wait for it |

The columns `id`, `aggregatetype`, `aggregateid`, `type` and `payload` are those that Debezium's outbox event router reads by
default.

**The order of an aggregate is that of `number` among the rows that are visible.** A change of an aggregate holds the lock of its
row until it commits, and the event is added while it does. So the row of a later change has a higher number, and wherever it is
visible, that of the earlier change is visible too. Numbers of different aggregates may become visible in any order; therefore
a row is found by its missing mark, never by a number that was read last.

The order of PostgreSQL's transaction ids (`xid8`) is another one. A transaction has its id from its first write: one that has
written elsewhere before it waits for the lock of an aggregate has a lower id than the transaction that holds it, and the later
event. For the same reason `pg_snapshot_xmin` is no bound: of these two rows it may let the later one by alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal
from zlib import crc32

__all__ = ["CHANNEL", "COLUMNS", "RELAYS", "TABLE", "Database", "creation", "insertion", "shard_of"]

TABLE: Final = "meshport_outbox"
"""The table of events."""

RELAYS: Final = "meshport_outbox_relay"
"""The table of the relays: by shard, the newest fencing token, who holds it, and until when."""

CHANNEL: Final = "meshport_outbox"
"""The channel on which PostgreSQL notifies of committed rows (`LISTEN meshport_outbox`); the payload is empty."""

COLUMNS: Final = (
    "id",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "address",
    "key",
    "dataschema",
    "time",
    "subject",
    "extensions",
    "shard",
)
"""The columns that `Outbox` gives, in this order; the others have their default."""

Database = Literal["postgresql", "sqlite"]

# Each row is in one index: of those that wait, those that are blocked, or those that are published and to be removed.
# PostgreSQL would vacuum the table once a fifth of it is dead; of a table that is emptied all day, an earlier vacuum keeps
# it small.
_POSTGRESQL: Final = (
    f"""CREATE TABLE IF NOT EXISTS {TABLE} (
  "number" bigserial PRIMARY KEY,
  "id" text NOT NULL,
  "aggregatetype" text NOT NULL,
  "aggregateid" text NOT NULL,
  "type" text NOT NULL,
  "payload" bytea,
  "timestamp" timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
  "address" text NOT NULL,
  "key" bytea,
  "dataschema" text,
  "time" text,
  "subject" text,
  "extensions" text,
  "shard" integer NOT NULL,
  "published_at" timestamp,
  "fence" bigint,
  "error" text
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)""",
    f'CREATE INDEX IF NOT EXISTS {TABLE}_waiting ON {TABLE} ("number", "shard")'
    ' WHERE "published_at" IS NULL AND "error" IS NULL',
    f'CREATE INDEX IF NOT EXISTS {TABLE}_blocked ON {TABLE} ("address", "aggregateid")'
    ' WHERE "published_at" IS NULL AND "error" IS NOT NULL',
    f'CREATE INDEX IF NOT EXISTS {TABLE}_published ON {TABLE} ("published_at") WHERE "published_at" IS NOT NULL',
    f"""CREATE TABLE IF NOT EXISTS {RELAYS} (
  "shard" integer PRIMARY KEY,
  "fence" bigint NOT NULL,
  "holder" text,
  "expires_at" timestamp
)""",
    f"""CREATE OR REPLACE FUNCTION {TABLE}_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{CHANNEL}', '');
  RETURN NULL;
END $$""",
    f"CREATE OR REPLACE TRIGGER {TABLE}_added AFTER INSERT ON {TABLE} FOR EACH STATEMENT"
    f" EXECUTE FUNCTION {TABLE}_notify()",
)
_SQLITE: Final = (
    f"""CREATE TABLE IF NOT EXISTS {TABLE} (
  "number" INTEGER PRIMARY KEY AUTOINCREMENT,
  "id" TEXT NOT NULL,
  "aggregatetype" TEXT NOT NULL,
  "aggregateid" TEXT NOT NULL,
  "type" TEXT NOT NULL,
  "payload" BLOB,
  "timestamp" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  "address" TEXT NOT NULL,
  "key" BLOB,
  "dataschema" TEXT,
  "time" TEXT,
  "subject" TEXT,
  "extensions" TEXT,
  "shard" INTEGER NOT NULL,
  "published_at" TEXT,
  "fence" INTEGER,
  "error" TEXT
)""",
    f'CREATE INDEX IF NOT EXISTS {TABLE}_waiting ON {TABLE} ("number", "shard")'
    ' WHERE "published_at" IS NULL AND "error" IS NULL',
    f'CREATE INDEX IF NOT EXISTS {TABLE}_blocked ON {TABLE} ("address", "aggregateid")'
    ' WHERE "published_at" IS NULL AND "error" IS NOT NULL',
    f'CREATE INDEX IF NOT EXISTS {TABLE}_published ON {TABLE} ("published_at") WHERE "published_at" IS NOT NULL',
    f"""CREATE TABLE IF NOT EXISTS {RELAYS} (
  "shard" INTEGER PRIMARY KEY,
  "fence" INTEGER NOT NULL,
  "holder" TEXT,
  "expires_at" TEXT
)""",
)
_CREATION: Final[dict[Database, tuple[str, ...]]] = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}


def creation(database: Database) -> tuple[str, ...]:
    """Return the statements that create the tables of an outbox where they are missing (PostgreSQL 14 or newer; SQLite)."""
    return _CREATION[database]


def insertion(placeholder: Callable[[str], str]) -> str:
    """Return the statement that adds an event.

    Args:
        placeholder: of a column's value, such as `":{}".format` or `lambda _: "?"`.
    """
    names, values = ", ".join(f'"{each}"' for each in COLUMNS), ", ".join(map(placeholder, COLUMNS))
    return f"INSERT INTO {TABLE} ({names}) VALUES ({values})"  # noqa: S608 - all of it is constant


def shard_of(aggregateid: str) -> int:
    """Return the hash of an aggregate by which relays share the rows; it never changes."""
    return crc32(aggregateid.encode()) & 0x7FFF_FFFF
