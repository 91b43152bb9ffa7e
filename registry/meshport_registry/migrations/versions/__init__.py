"""One module for each migration. Alembic orders them by their `down_revision`."""
