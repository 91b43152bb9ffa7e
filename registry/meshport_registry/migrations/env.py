"""Alembic's entry point: runs on the connection, and inside the transaction, that `migrate` hands over."""

from alembic import context

from meshport_registry.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite rolls DDL back like anything else; Alembic assumes it does not.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
