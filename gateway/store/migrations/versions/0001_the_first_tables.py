"""The first tables"""

import sqlalchemy as sa
from alembic import op

import gateway.store.models

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_row",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("time", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("leaf", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("audit_row", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_row_action"), ["action"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_row_leaf"), ["leaf"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_row_object"), ["object"], unique=False)

    op.create_table(
        "board",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "campaign",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("enrol_until", sa.Date(), nullable=False),
        sa.Column("objections_from", sa.Date(), nullable=False),
        sa.Column("objections_until", sa.Date(), nullable=False),
        sa.Column("deliver_until", sa.Date(), nullable=False),
        sa.Column("publish_from", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("created_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "register_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference_date", sa.Date(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("imported_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("register_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_register_version_kind"), ["kind"], unique=False)

    op.create_table(
        "school",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("street", sa.String(), nullable=False),
        sa.Column("house_number", sa.String(), nullable=False),
        sa.Column("postcode", sa.String(), nullable=False),
        sa.Column("city", sa.String(), nullable=False),
        sa.Column("municipality", sa.String(), nullable=False),
        sa.Column("province", sa.String(), nullable=False),
        sa.Column("denomination", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
    )
    op.create_table(
        "vendor",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("removed_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "bundle",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("contents", sa.JSON(), nullable=False),
        sa.Column("visible_from", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("created_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("withdrawn_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["board"],
            ["board.number"],
        ),
        sa.ForeignKeyConstraint(
            ["campaign"],
            ["campaign.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("campaign", "board", "version"),
    )
    with op.batch_alter_table("bundle", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bundle_board"), ["board"], unique=False)
        batch_op.create_index(batch_op.f("ix_bundle_campaign"), ["campaign"], unique=False)

    op.create_table(
        "credential",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("issued_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=False),
        sa.Column("revoked_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("last_login_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["board"],
            ["board.number"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("credential", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_credential_board"), ["board"], unique=False)

    op.create_table(
        "drop",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("raw", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("received_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("epoch", sa.Date(), nullable=False),
        sa.Column("erase_before", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("campaign", sa.String(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("findings_total", sa.Integer(), nullable=False),
        sa.Column("waiting_for", sa.JSON(), nullable=False),
        sa.Column("linked_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("erased_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign"],
            ["campaign.name"],
        ),
        sa.ForeignKeyConstraint(
            ["vendor"],
            ["vendor.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("drop", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_drop_vendor"), ["vendor"], unique=False)

    op.create_table(
        "enrolment",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("contract_on", sa.Date(), nullable=True),
        sa.Column("form_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["board"],
            ["board.number"],
        ),
        sa.ForeignKeyConstraint(
            ["campaign"],
            ["campaign.name"],
        ),
        sa.ForeignKeyConstraint(
            ["vendor"],
            ["vendor.name"],
        ),
        sa.PrimaryKeyConstraint("campaign", "board"),
    )
    op.create_table(
        "mandate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("school", sa.String(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["board"],
            ["board.number"],
        ),
        sa.ForeignKeyConstraint(
            ["school"],
            ["school.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("school", "valid_from"),
    )
    with op.batch_alter_table("mandate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mandate_board"), ["board"], unique=False)
        batch_op.create_index(batch_op.f("ix_mandate_school"), ["school"], unique=False)

    op.create_table(
        "objection_register",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("school", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("received_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("objections", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign"],
            ["campaign.name"],
        ),
        sa.ForeignKeyConstraint(
            ["school"],
            ["school.code"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("campaign", "school", "version"),
    )
    with op.batch_alter_table("objection_register", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_objection_register_campaign"), ["campaign"], unique=False)
        batch_op.create_index(batch_op.f("ix_objection_register_school"), ["school"], unique=False)

    op.create_table(
        "portal_session",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        sa.Column("created_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("last_seen_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["board"],
            ["board.number"],
        ),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    with op.batch_alter_table("portal_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_portal_session_board"), ["board"], unique=False)

    op.create_table(
        "report",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("school", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("built_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign"],
            ["campaign.name"],
        ),
        sa.ForeignKeyConstraint(
            ["school"],
            ["school.code"],
        ),
        sa.PrimaryKeyConstraint("campaign", "school", "kind"),
    )
    op.create_table(
        "vendor_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("added_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("revoked_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["vendor"],
            ["vendor.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("vendor_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vendor_key_fingerprint"), ["fingerprint"], unique=False)
        batch_op.create_index(batch_op.f("ix_vendor_key_vendor"), ["vendor"], unique=False)

    op.create_table(
        "download",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["board"],
            ["board.number"],
        ),
        sa.ForeignKeyConstraint(
            ["bundle"],
            ["bundle.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("download", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_download_board"), ["board"], unique=False)
        batch_op.create_index(batch_op.f("ix_download_bundle"), ["bundle"], unique=False)

    op.create_table(
        "drop_school",
        sa.Column("drop", sa.String(), nullable=False),
        sa.Column("school", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("pupils", sa.Integer(), nullable=False),
        sa.Column("objected_pupils", sa.Integer(), nullable=False),
        sa.Column("objection_register", sa.Integer(), nullable=True),
        sa.Column("linked_pupils", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["drop"],
            ["drop.id"],
        ),
        sa.ForeignKeyConstraint(
            ["school"],
            ["school.code"],
        ),
        sa.PrimaryKeyConstraint("drop", "school"),
    )
    op.create_table(
        "effect",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("drop", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("due_at", gateway.store.models.Utc(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("done_at", gateway.store.models.Utc(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["drop"],
            ["drop.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("effect", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_effect_drop"), ["drop"], unique=False)
        batch_op.create_index(batch_op.f("ix_effect_due_at"), ["due_at"], unique=False)

    op.create_table(
        "objection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("register_id", sa.Integer(), nullable=False),
        sa.Column("bsn_mac", sa.LargeBinary(length=16), nullable=True),
        sa.Column("onderwijsnummer_mac", sa.LargeBinary(length=16), nullable=True),
        sa.Column("filed_on", sa.Date(), nullable=False),
        sa.Column("withdrawn_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["register_id"],
            ["objection_register.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("objection", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_objection_register_id"), ["register_id"], unique=False)

    op.create_table(
        "part",
        sa.Column("drop", sa.String(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign"],
            ["campaign.name"],
        ),
        sa.ForeignKeyConstraint(
            ["drop"],
            ["drop.id"],
        ),
        sa.PrimaryKeyConstraint("drop"),
    )
    with op.batch_alter_table("part", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_part_campaign"), ["campaign"], unique=False)


TABLES = (
    "part", "objection", "effect", "drop_school", "download", "vendor_key", "report",
    "portal_session", "objection_register", "mandate", "enrolment", "drop", "credential", "bundle",
    "vendor", "school", "register_version", "campaign", "board", "audit_row",
)  # fmt: skip


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
