"""The names of the Kafka clusters of bindings."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Bindings made before are on a cluster without a name until their product names one."""
    op.add_column("binding", sa.Column("cluster", sa.String(length=64), nullable=True))
