"""Which key vendors are given, for which campaign, and until when the ones before are taken"""

import sqlalchemy as sa
from alembic import op

import gateway.store.models

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recipient_key",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=True),
        sa.Column("made_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("retired_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("taken_until", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("destroyed_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["campaign"], ["campaign.name"]),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("recipient_key")
