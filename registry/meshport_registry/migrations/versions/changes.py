"""The outbox of the registry's own changes, and the number of the newest change."""

from alembic import op
from sqlalchemy import column, table

from meshport.outbox.creating import create_table

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the outbox, and the counter."""
    create_table(op.get_bind())
    op.bulk_insert(table("setting", column("name"), column("value")), [{"name": "changes", "value": "0"}])
