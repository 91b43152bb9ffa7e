"""The registry's tables, the same on SQLite and PostgreSQL.

Rows of `schema` are never deleted and ids are never reused, because a record on Kafka names its schema by id for as
long as it is retained. Instants are stored as UTC microseconds since the epoch, which both databases keep exactly.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

schema = Table(
    "schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The hash of fingerprint and references: Confluent's registry gives schemas that differ in either different ids.
    Column("identity", String(64), nullable=False, unique=True),
    Column("fingerprint", String(64), nullable=False, index=True),
    Column("guid", String(36), nullable=False, index=True),
    Column("text", Text, nullable=False),
    # The canonical form with references inlined, where `text` is not already that.
    Column("resolved", Text),
    Column("references", Text),
    Column("created_at", BigInteger, nullable=False),
)

reference = Table(
    "reference",
    metadata,
    Column("schema_id", Integer, ForeignKey("schema.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index(None, "subject", "version"),
)

subject = Table(
    "subject",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("level", String(20)),
    Column("mode", String(20)),
)

version = Table(
    "version",
    metadata,
    Column("subject_id", Integer, ForeignKey("subject.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("schema_id", Integer, ForeignKey("schema.id"), nullable=False, index=True),
    Column("deleted", Boolean, nullable=False, default=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("subject_id", "schema_id"),
)

setting = Table(
    "setting",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", Text, nullable=False),
)

product = Table(
    "product",
    metadata,
    Column("guid", String(36), primary_key=True),
    Column("domain", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("archetype", String(20), nullable=False, index=True),
    Column("owner", Text, nullable=False),
    Column("status", String(20), nullable=False, index=True),
    # Lower-cased words of address, name, description, owner and tags, for search.
    Column("words", Text, nullable=False),
    Column("descriptor", Text, nullable=False),
    # The value of the change counter when the product last changed; see `response_cache`.
    Column("revision", BigInteger, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("domain", "name"),
)

tag = Table(
    "tag",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("tag", Text, primary_key=True),
    Index(None, "tag"),
)

binding = Table(
    "binding",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, nullable=False),
    # NULL means the registry's default cluster, so that its address is configured in one place.
    Column("bootstrap_servers", Text),
    # NULL for a cluster that has no name.
    Column("cluster", String(64)),
    Column("topic", Text, nullable=False, unique=True),
    # The id that Kafka gave the topic when it was made; NULL where none is known.
    Column("topic_id", String(22)),
    Column("generation", Integer, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("time", Text),
    Column("type", Text, nullable=False),
    Column("cleanup", String(20), nullable=False),
    Column("subject_id", Integer, ForeignKey("subject.id"), nullable=False, unique=True),
    Column("schema_id", Integer, ForeignKey("schema.id"), nullable=False),
    Column("status", String(20), nullable=False),
)

# The generations of a line. `binding` names the bound one; a first generation gets a row only once it is replaced.
generation = Table(
    "generation",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False, unique=True),
    Column("state", String(20), nullable=False),
    Column("made_by", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # Of a generation that is being built: its holder, what the holder does, and when the hold expires.
    Column("holder", String(64)),
    Column("phase", String(20)),
    Column("held_until", BigInteger),
    # Of a replaced generation: its successor, its own end offsets, and the offsets at which readers continue there
    # (JSON by partition).
    Column("successor", Integer),
    Column("ends", Text),
    Column("begins", Text),
)

# What the observer measured last of a line. `summary` is the part that bindings carry; see `service_levels`.
service_level = Table(
    "service_level",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
    Column("summary", Text, nullable=False),
)

# Earlier reports of a line: one of each five minutes, and every change of a state. The oldest are deleted.
service_level_history = Table(
    "service_level_history",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("report", Text, nullable=False),
)

# How many events the source of a line has of an interval of event time, by its own count. The oldest are deleted.
source_count = Table(
    "source_count",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("begins_at", BigInteger, primary_key=True, autoincrement=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
)

# What the events of a line looked like last: a profile by field and a few masked events, as JSON.
port_profile = Table(
    "port_profile",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("profile", Text, nullable=False),
)

# Since when, and when last, an observer reported the consumer groups of a line.
line_observation = Table(
    "line_observation",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# Who was seen to read a line, or to ask for it, and when last in each way.
seen_reader = Table(
    "seen_reader",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(20), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("read_at", BigInteger),
    Column("members_at", BigInteger),
    Column("subscribed_at", BigInteger),
    Column("resolved_at", BigInteger),
    Column("schema_at", BigInteger),
    # Of a group: the sum of the offsets that it had committed when it was reported last.
    Column("committed", BigInteger),
    # JSON: those of the schema with which it subscribed last.
    Column("fields", Text),
    # The known caller that subscribed with this group last.
    Column("caller", Text),
)

# What an observer found last of the processor that builds a line, as JSON; since when it is in that state.
processor = Table(
    "processor",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
)

# The newest events that the processor of a line quarantined, and the newest late ones, as JSON.
quarantine = Table(
    "quarantine",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("port", Text, primary_key=True),
    Column("major", Integer, primary_key=True, autoincrement=False),
    Column("report", Text, nullable=False),
)

input_port = Table(
    "input_port",
    metadata,
    Column("guid", String(36), ForeignKey("product.guid"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("source_guid", String(36), ForeignKey("product.guid"), nullable=False, index=True),
    Column("port", Text, nullable=False),
    # NULL reads the live major.
    Column("major", Integer),
    Column("fields", Text, nullable=False),
)

waiver = Table(
    "waiver",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("guid", String(36), ForeignKey("product.guid"), nullable=False, index=True),
    Column("port", Text, nullable=False),
    Column("major", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # A day, not an instant: `YYYY-MM-DD` in UTC.
    Column("until", String(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# Append-only: the database refuses to change or delete a row. `meshport.audit` says what the hash covers.
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", String(64), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("caller", Text, nullable=False, index=True),
    Column("by", String(20), nullable=False),
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False, index=True),
    Column("outcome", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("policies", Text),
    Column("hash", String(64), nullable=False),
)

# One row: the number and the hash of the newest entry, so that the removal of the newest entries is found too.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

# A key that ended or was revoked keeps its row: it says whose it was, and its id is never used again.
api_key = Table(
    "api_key",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", Text, nullable=False),
    Column("groups", Text, nullable=False),
    # The hex SHA-256 of the secret. The secret is 256 random bits, so no slow hash is needed.
    Column("hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# A login of a browser at the OpenID provider; see `identity.sessions`. A backup leaves it out.
browser_session = Table(
    "browser_session",
    metadata,
    # The hex SHA-256 of the secret in the browser's cookie.
    Column("hash", String(64), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("groups", Text, nullable=False),
    # Encrypted by a key that only the cookie has.
    Column("id_token", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
)

# Never changed: the newest row of each domain decides, and of the mesh, whose domain is "".
policies = Table(
    "policies",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("domain", Text, nullable=False, index=True),
    # JSON: the text of each file by its name.
    Column("texts", Text, nullable=False),
    # Of the whole set with these policies in it.
    Column("version", String(12), nullable=False),
    Column("applied_by", Text, nullable=False),
    Column("applied_at", BigInteger, nullable=False),
)

# A request for access and what became of it; never deleted while its product is registered. A grant ends at `ends_at`.
access_grant = Table(
    "access_grant",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("guid", String(36), ForeignKey("product.guid"), nullable=False, index=True),
    Column("port", Text, nullable=False),
    # NULL is every line of the port.
    Column("major", Integer),
    Column("reader", Text, nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    # `ended` is never stored: time alone makes it so.
    Column("state", String(20), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("wanted_until", BigInteger),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("ends_at", BigInteger, index=True),
    Column("revoked_by", Text),
    Column("revoked_at", BigInteger),
    Column("reason", Text),
)

glossary_term = Table(
    "glossary_term",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("definition", Text, nullable=False),
    # NULL is the owners of the domain.
    Column("owner", Text),
    Column("polyseme", Boolean, nullable=False),
    # JSON: a list of addresses.
    Column("used_in", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

# What a reader reports of a product; never deleted while its product is registered.
problem_report = Table(
    "problem_report",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("guid", String(36), ForeignKey("product.guid"), nullable=False),
    # NULL is the whole product, or every line of the port.
    Column("port", Text),
    Column("major", Integer),
    Column("title", Text, nullable=False),
    Column("text", Text),
    Column("state", String(20), nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_by", Text),
    Column("closed_at", BigInteger),
    Column("reason", Text),
    Index(None, "guid", "state"),
)

replay_job = Table(
    "replay_job",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("guid", String(36), ForeignKey("product.guid"), nullable=False),
    Column("port", Text, nullable=False),
    Column("major", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("topic_id", String(22)),
    Column("since", BigInteger),
    Column("until", BigInteger),
    # JSON: offsets by partition, and lists of texts.
    Column("begins", Text, nullable=False),
    Column("ends", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("where", Text),
    Column("reader", Text),
    Column("rate", Integer),
    Column("purpose", Text, nullable=False),
    Column("output", String(20), nullable=False),
    Column("file", Text),
    Column("readers", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("approved_by", Text),
    Column("approved_at", BigInteger),
    Column("ended_by", Text),
    Column("ended_at", BigInteger),
    Column("reason", Text),
    Column("positions", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("unreadable", BigInteger, nullable=False),
    Column("reported_at", BigInteger),
    Index(None, "guid", "state"),
)
problem_answer = Table(
    "problem_answer",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("report", Integer, ForeignKey("problem_report.id"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("answered_at", BigInteger, nullable=False),
)

# The ACLs that were created for grants, on any cluster; "" is the default one.
granted_acl = Table(
    "granted_acl",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cluster", String(64), nullable=False),
    Column("principal", Text, nullable=False),
    Column("operation", String(32), nullable=False),
    Column("resource", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("pattern", String(32), nullable=False),
)
