"""The outbox in a migration of Django's: `operations = [CreateOutbox()]`. The only importer of Django."""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

from meshport.errors import PublishError
from meshport.outbox.table import RELAYS, TABLE, creation

__all__ = ["CreateOutbox"]


class CreateOutbox(Operation):  # type: ignore[misc]  # Django has no types
    """Creates the tables of an outbox in the migrated database, PostgreSQL or SQLite; backwards it removes them."""

    reduces_to_sql: Final = True
    reversible: Final = True

    def state_forwards(self, _label: str, _state: Any) -> None:
        """Change nothing: the tables belong to no model."""

    def database_forwards(self, _label: str, schema_editor: Any, _before: Any, _after: Any) -> None:
        """Create the tables.

        Raises:
            PublishError: the database is neither PostgreSQL nor SQLite.
        """
        vendor = schema_editor.connection.vendor
        if vendor not in {"postgresql", "sqlite"}:
            raise PublishError(f"an outbox cannot be in {vendor}", hint="PostgreSQL or SQLite")
        for statement in creation(vendor):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, _label: str, schema_editor: Any, _before: Any, _after: Any) -> None:
        """Remove the tables."""
        for name in (TABLE, RELAYS):
            schema_editor.execute(f"DROP TABLE IF EXISTS {name}", params=None)
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {TABLE}_notify()", params=None)

    def describe(self) -> str:
        """Return what the operation does."""
        return f"Create the outbox {TABLE}"
