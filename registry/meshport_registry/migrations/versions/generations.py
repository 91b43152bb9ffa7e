"""Generations: topics built beside the one that an address is bound to, and topics it was bound to before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "generation",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("phase", sa.String(length=20), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("successor", sa.Integer(), nullable=True),
        sa.Column("ends", sa.Text(), nullable=True),
        sa.Column("begins", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_generation_guid")),
        sa.PrimaryKeyConstraint("guid", "port", "major", "number", name=op.f("pk_generation")),
        sa.UniqueConstraint("topic", name=op.f("uq_generation_topic")),
    )
