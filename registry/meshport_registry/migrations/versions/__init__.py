"""One module a change; Alembic reads them in the order of their `down_revision`."""
