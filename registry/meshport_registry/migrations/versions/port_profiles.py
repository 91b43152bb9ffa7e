"""Profiles of ports, as the observer reports them; and an index for the newest entries of the audit about a product."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the index."""
    op.create_table(
        "port_profile",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_port_profile_guid")),
        sa.PrimaryKeyConstraint("guid", "port", "major", name=op.f("pk_port_profile")),
    )
    op.create_index(op.f("ix_audit_resource"), "audit", ["resource"], unique=False)
