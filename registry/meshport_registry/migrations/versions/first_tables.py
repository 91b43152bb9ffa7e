"""The first tables: subjects and schemas, products and bindings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "product",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("archetype", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("descriptor", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("guid", name=op.f("pk_product")),
        sa.UniqueConstraint("domain", "name", name=op.f("uq_product_domain_name")),
    )
    op.create_index(op.f("ix_product_archetype"), "product", ["archetype"], unique=False)
    op.create_index(op.f("ix_product_revision"), "product", ["revision"], unique=False)
    op.create_index(op.f("ix_product_status"), "product", ["status"], unique=False)
    op.create_table(
        "schema",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("resolved", sa.Text(), nullable=True),
        sa.Column("references", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schema")),
        sa.UniqueConstraint("identity", name=op.f("uq_schema_identity")),
    )
    op.create_index(op.f("ix_schema_fingerprint"), "schema", ["fingerprint"], unique=False)
    op.create_index(op.f("ix_schema_guid"), "schema", ["guid"], unique=False)
    setting = op.create_table(
        "setting",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_setting")),
    )
    op.create_table(
        "subject",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=True),
        sa.Column("mode", sa.String(length=20), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject")),
        sa.UniqueConstraint("name", name=op.f("uq_subject_name")),
    )
    op.create_table(
        "binding",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("bootstrap_servers", sa.Text(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("time", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("cleanup", sa.String(length=20), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("schema_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_binding_guid")),
        sa.ForeignKeyConstraint(["schema_id"], ["schema.id"], name=op.f("fk_binding_schema_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_binding_subject_id")),
        sa.PrimaryKeyConstraint("guid", "port", "major", name=op.f("pk_binding")),
        sa.UniqueConstraint("subject_id", name=op.f("uq_binding_subject_id")),
        sa.UniqueConstraint("topic", name=op.f("uq_binding_topic")),
    )
    op.create_table(
        "input_port",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_guid", sa.String(length=36), nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.Column("major", sa.Integer(), nullable=True),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_input_port_guid")),
        sa.ForeignKeyConstraint(["source_guid"], ["product.guid"], name=op.f("fk_input_port_source_guid")),
        sa.PrimaryKeyConstraint("guid", "position", name=op.f("pk_input_port")),
    )
    op.create_index(op.f("ix_input_port_source_guid"), "input_port", ["source_guid"], unique=False)
    op.create_table(
        "reference",
        sa.Column("schema_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["schema_id"], ["schema.id"], name=op.f("fk_reference_schema_id")),
        sa.PrimaryKeyConstraint("schema_id", "name", name=op.f("pk_reference")),
    )
    op.create_index(op.f("ix_reference_subject_version"), "reference", ["subject", "version"], unique=False)
    op.create_table(
        "tag",
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["guid"], ["product.guid"], name=op.f("fk_tag_guid")),
        sa.PrimaryKeyConstraint("guid", "tag", name=op.f("pk_tag")),
    )
    op.create_index(op.f("ix_tag_tag"), "tag", ["tag"], unique=False)
    op.create_table(
        "version",
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("schema_id", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["schema_id"], ["schema.id"], name=op.f("fk_version_schema_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_version_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", "version", name=op.f("pk_version")),
        sa.UniqueConstraint("subject_id", "schema_id", name=op.f("uq_version_subject_id_schema_id")),
    )
    op.create_index(op.f("ix_version_schema_id"), "version", ["schema_id"], unique=False)
    # The change counter of all products exists from the start, so that one statement increments it.
    op.bulk_insert(setting, [{"name": "revision", "value": "0"}])
