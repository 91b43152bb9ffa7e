"""Who was seen to read a line, and since when its consumer groups are observed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "line_observation",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_line_observation_guid")),
        sa.PrimaryKeyConstraint("guid", "port", "major", name=op.f("pk_line_observation")),
    )
    op.create_table(
        "seen_reader",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("members_at", sa.BigInteger(), nullable=True),
        sa.Column("subscribed_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("schema_at", sa.BigInteger(), nullable=True),
        sa.Column("committed", sa.BigInteger(), nullable=True),
        sa.Column("fields", sa.Text(), nullable=True),
        sa.Column("caller", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_seen_reader_guid")),
        sa.PrimaryKeyConstraint("guid", "port", "major", "kind", "name", name=op.f("pk_seen_reader")),
    )
