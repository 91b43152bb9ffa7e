"""Alembic's entry point. It runs on the connection, and inside the transaction, that `migrate` passes."""

from alembic import context

from meshport_registry.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite rolls DDL back too; Alembic's default for SQLite assumes that it does not.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
