"""Who may come in: validity of keys, certificate authorities, revocations, limits of one vendor; what a delivery was delivered with"""

import sqlalchemy as sa
from alembic import op

import gateway.store.models

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: what every row has a value for
NEW_COLUMNS = {"vendor": ("limits",), "drop": ("request", "notices"), "vendor_key": ("verify_required",)}
#: PostgreSQL's plain integer ends there
BEYOND_2_GIB = ("drop", "bundle", "download")


def upgrade() -> None:
    op.add_column("vendor", sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("drop", sa.Column("request", sa.String(), nullable=False, server_default=""))
    op.add_column("drop", sa.Column("notices", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("vendor_key", sa.Column("verify_required", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table, columns in NEW_COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for column in columns:  # the default was for the rows there are
                batch.alter_column(column, server_default=None)
    for table in BEYOND_2_GIB:
        with op.batch_alter_table(table) as batch:
            batch.alter_column("bytes", existing_type=sa.Integer(), type_=sa.BigInteger())
    op.add_column("vendor_key", sa.Column("valid_from", gateway.store.models.Utc(timezone=True), nullable=True))
    op.add_column("vendor_key", sa.Column("valid_until", gateway.store.models.Utc(timezone=True), nullable=True))
    op.create_index("ix_drop_name", "drop", ["vendor", "folder", "file_name"])
    op.create_table(
        "vendor_ca",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("principals", sa.JSON(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("added_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("valid_from", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("valid_until", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("revoked_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["vendor"], ["vendor.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_vendor_ca_vendor", "vendor_ca", ["vendor"])
    op.create_index("ix_vendor_ca_fingerprint", "vendor_ca", ["fingerprint"])
    op.create_table(
        "revocation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("ca", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("last", sa.String(), nullable=False),
        sa.Column("added_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["vendor"], ["vendor.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_revocation_looked_up", "revocation", ["vendor", "kind", "value"])
    op.create_table(
        "vendor_login",
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("last_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("logins", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["vendor"], ["vendor.name"]),
        sa.PrimaryKeyConstraint("vendor", "fingerprint"),
    )


def downgrade() -> None:
    for table in ("vendor_login", "revocation", "vendor_ca"):
        op.drop_table(table)
    op.drop_index("ix_drop_name", "drop")
    op.drop_column("vendor_key", "valid_until")
    op.drop_column("vendor_key", "valid_from")
    for table in BEYOND_2_GIB:
        with op.batch_alter_table(table) as batch:
            batch.alter_column("bytes", existing_type=sa.BigInteger(), type_=sa.Integer())
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.drop_column(table, column)
