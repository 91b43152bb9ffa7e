"""The sequence of schema ids."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Ids above it were imported; the sequence passes over them.
_IMPORT_CEILING = 2**30


def upgrade() -> None:
    """Begin the sequence after the highest id that leaves room for more."""
    schema = sa.table("schema", sa.column("id", sa.BigInteger))
    setting = sa.table("setting", sa.column("name", sa.String), sa.column("value", sa.Text))
    known = op.get_bind().execute(sa.select(sa.func.max(schema.c.id)).where(schema.c.id <= _IMPORT_CEILING)).scalar()
    op.bulk_insert(setting, [{"name": "schema_id", "value": str(known or 0)}])
