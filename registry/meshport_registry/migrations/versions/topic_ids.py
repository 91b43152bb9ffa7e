"""Kafka's ids of the topics of bindings."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Bindings made before name no id until their product is applied again."""
    op.add_column("binding", sa.Column("topic_id", sa.String(length=22), nullable=True))
