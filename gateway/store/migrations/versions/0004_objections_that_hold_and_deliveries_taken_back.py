"""Vendors' signing keys; whom an objection is about, and what it is still to take out; which delivery's results replace which"""

import sqlalchemy as sa
from alembic import op

from gateway.store.models import Utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vendor_signing_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("valid_until", Utc(timezone=True), nullable=True),
        sa.Column("added_at", Utc(timezone=True), nullable=False),
        sa.Column("revoked_at", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["vendor"], ["vendor.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_vendor_signing_key_vendor", "vendor_signing_key", ["vendor"])
    op.create_index("ix_vendor_signing_key_fingerprint", "vendor_signing_key", ["fingerprint"])
    op.create_table(
        "objection_person",
        sa.Column("objection_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["objection_id"], ["objection.id"]),
        sa.PrimaryKeyConstraint("objection_id", "person"),
    )
    op.create_index("ix_objection_person_person", "objection_person", ["person"])
    op.create_table(
        "pending_withdrawal",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("asked_at", Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.name"]),
        sa.PrimaryKeyConstraint("person"),
    )
    op.create_table(
        "replacement",
        sa.Column("later", sa.String(), nullable=False),
        sa.Column("earlier", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["later"], ["drop.id"]),
        sa.ForeignKeyConstraint(["earlier"], ["drop.id"]),
        sa.PrimaryKeyConstraint("later", "earlier"),
    )
    with op.batch_alter_table("campaign") as table:
        table.add_column(sa.Column("objections_ended_at", Utc(timezone=True), nullable=True))
    with op.batch_alter_table("report") as table:
        table.add_column(sa.Column("objection_register", sa.Integer(), nullable=True))
        table.add_column(sa.Column("touched_at", Utc(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("report") as table:
        table.drop_column("touched_at")
        table.drop_column("objection_register")
    with op.batch_alter_table("campaign") as table:
        table.drop_column("objections_ended_at")
    op.drop_table("replacement")
    op.drop_table("pending_withdrawal")
    op.drop_index("ix_objection_person_person", "objection_person")
    op.drop_table("objection_person")
    op.drop_index("ix_vendor_signing_key_fingerprint", "vendor_signing_key")
    op.drop_index("ix_vendor_signing_key_vendor", "vendor_signing_key")
    op.drop_table("vendor_signing_key")
