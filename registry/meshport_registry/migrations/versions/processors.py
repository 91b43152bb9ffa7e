"""The processors of ports, and their quarantined events, as observers report them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "processor",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_processor_guid")),
        sa.PrimaryKeyConstraint("guid", "port", "major", name=op.f("pk_processor")),
    )
    op.create_table(
        "quarantine",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_quarantine_guid")),
        sa.PrimaryKeyConstraint("guid", "port", "major", name=op.f("pk_quarantine")),
    )
