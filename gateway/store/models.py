"""The ledger's tables. Facts about drops, schools and boards; nothing in them identifies a pupil.

Objections stand here as keyed MACs (16 bytes), results and registers outside the database as Parquet under pseudonyms and
keyed MACs. Every change of a table is an alembic migration (gateway/store/migrations).
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, LargeBinary
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel, UniqueConstraint


class Utc(TypeDecorator[datetime]):
    """A point in time: UTC in the database, aware in Python (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        from datetime import UTC

        if value is not None and value.tzinfo is None:
            raise ValueError("a point in time needs a zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        from datetime import UTC

        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# ---------------------------------------------------------------- who delivers


class Vendor(SQLModel, table=True):
    name: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Utc)
    removed_at: datetime | None = Field(default=None, sa_type=Utc)
    #: what differs from `[intake]`, under the key's full name there: {"day_bytes_per_vendor": 1000}
    limits: dict[str, int] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class VendorKey(SQLModel, table=True):
    __tablename__ = "vendor_key"

    id: int | None = Field(default=None, primary_key=True)
    vendor: str = Field(foreign_key="vendor.name", index=True)
    fingerprint: str = Field(index=True)  # SHA256:…
    public_key: str  # OpenSSH one-line public key, without its comment
    sources: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # CIDR; empty: any
    verify_required: bool = False  # a security key must have asked for its PIN or finger, not for a touch alone
    added_at: datetime = Field(sa_type=Utc)
    valid_from: datetime | None = Field(default=None, sa_type=Utc)  # null: since ever
    valid_until: datetime | None = Field(default=None, sa_type=Utc)  # exclusive; null: for ever
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)


class VendorCa(SQLModel, table=True):
    """A key that signs OpenSSH user certificates for one vendor's people."""

    __tablename__ = "vendor_ca"

    id: int | None = Field(default=None, primary_key=True)
    vendor: str = Field(foreign_key="vendor.name", index=True)
    fingerprint: str = Field(index=True)  # SHA256:…
    public_key: str  # OpenSSH one-line public key, without its comment
    principals: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # a certificate names one of them
    sources: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # CIDR; empty: any
    added_at: datetime = Field(sa_type=Utc)
    valid_from: datetime | None = Field(default=None, sa_type=Utc)
    valid_until: datetime | None = Field(default=None, sa_type=Utc)  # exclusive
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)


class Revocation(SQLModel, table=True):
    """What a vendor withdrew of its keys and certificates: the content of its OpenSSH KRLs (PROTOCOL.krl), and single entries."""

    __table_args__ = (Index("ix_revocation_looked_up", "vendor", "kind", "value"),)

    id: int | None = Field(default=None, primary_key=True)
    vendor: str = Field(foreign_key="vendor.name")
    kind: str  # serial, key-id, sha256 or sha1 (of a key's blob)
    ca: str = ""  # fingerprint of the CA whose serials and key ids are meant; empty: every CA of the vendor
    value: str  # a key id, a digest in hex, or a range's first serial as 16 hex digits (64 bits fit in no database's integer)
    last: str = ""  # of serials: the range's last one, inclusive
    added_at: datetime = Field(sa_type=Utc)


class VendorLogin(SQLModel, table=True):
    """When a key, or a CA's certificate, last opened a vendor's account."""

    __tablename__ = "vendor_login"

    vendor: str = Field(foreign_key="vendor.name", primary_key=True)
    fingerprint: str = Field(primary_key=True)  # of the key, or of the CA
    last_at: datetime = Field(sa_type=Utc)
    origin: str  # the address it came from then
    logins: int


# ---------------------------------------------------------------- registers


class Board(SQLModel, table=True):
    number: str = Field(primary_key=True)  # 5 digits
    name: str = ""


class School(SQLModel, table=True):
    code: str = Field(primary_key=True)  # BRIN + vestiging, 99AA99
    name: str
    kind: str = "bo"  # bo, sbo, so, vso
    street: str = ""
    house_number: str = ""
    postcode: str = ""
    city: str = ""
    municipality: str = ""
    province: str = ""
    denomination: str = ""


class Mandate(SQLModel, table=True):
    """Which board a school belonged to, and when: only the board of the time gets its reports."""

    __table_args__ = (UniqueConstraint("school", "valid_from"),)

    id: int | None = Field(default=None, primary_key=True)
    school: str = Field(foreign_key="school.code", index=True)
    board: str = Field(foreign_key="board.number", index=True)
    valid_from: date
    valid_until: date | None = None  # exclusive; null: still


class RegisterVersion(SQLModel, table=True):
    """One import of a register: `schools`, `persons` or `background`."""

    __tablename__ = "register_version"

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(index=True)
    reference_date: date | None = None
    rows: int
    sha256: str  # of the imported file
    file: str = ""  # below registers/, for persons and background
    key_name: str = ""  # of the MAC key in the store of keys that must die
    imported_at: datetime = Field(sa_type=Utc)
    live: bool = True  # the newest of its kind; an older one's key is destroyed


# ---------------------------------------------------------------- campaign


class Campaign(SQLModel, table=True):
    name: str = Field(primary_key=True)
    enrol_until: date  # all days are inclusive, in Europe/Amsterdam
    objections_from: date
    objections_until: date
    deliver_until: date
    publish_from: datetime = Field(sa_type=Utc)
    created_at: datetime = Field(sa_type=Utc)


class RecipientKey(SQLModel, table=True):
    """A key that vendors encrypt to; its private half lies in the store of keys that must die, under the same name."""

    __tablename__ = "recipient_key"

    name: str = Field(primary_key=True)
    campaign: str | None = Field(default=None, foreign_key="campaign.name")  # null: none has taken deliveries with it yet
    made_at: datetime = Field(sa_type=Utc)
    retired_at: datetime | None = Field(default=None, sa_type=Utc)  # handed out no more; null: the current one
    taken_until: datetime | None = Field(default=None, sa_type=Utc)  # exclusive: what is received before it is still opened
    destroyed_at: datetime | None = Field(default=None, sa_type=Utc)


class Enrolment(SQLModel, table=True):
    """A board's sign-up; final only when contract and form are in."""

    campaign: str = Field(foreign_key="campaign.name", primary_key=True)
    board: str = Field(foreign_key="board.number", primary_key=True)
    vendor: str = Field(foreign_key="vendor.name")  # through whom the board consented
    contract_on: date | None = None
    form_on: date | None = None


class ObjectionRegister(SQLModel, table=True):
    """One handed-in register of one school; the newest version counts whole."""

    __tablename__ = "objection_register"
    __table_args__ = (UniqueConstraint("campaign", "school", "version"),)

    id: int | None = Field(default=None, primary_key=True)
    campaign: str = Field(foreign_key="campaign.name", index=True)
    school: str = Field(foreign_key="school.code", index=True)
    version: int
    source: str  # the drop's id, or "cli"
    received_at: datetime = Field(sa_type=Utc)
    objections: int  # how many are in force


class Objection(SQLModel, table=True):
    """One objecting pupil: keyed MACs only."""

    id: int | None = Field(default=None, primary_key=True)
    register_id: int = Field(foreign_key="objection_register.id", index=True)
    bsn_mac: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    onderwijsnummer_mac: bytes | None = Field(default=None, sa_column=Column(LargeBinary(16)))
    filed_on: date
    withdrawn_on: date | None = None


# ---------------------------------------------------------------- drops


class Drop(SQLModel, table=True):
    __table_args__ = (Index("ix_drop_name", "vendor", "folder", "file_name"),)

    id: str = Field(primary_key=True)
    vendor: str = Field(foreign_key="vendor.name", index=True)
    folder: str  # leveringen or bezwaren
    file_name: str
    state: str  # gateway.drop.lifecycle.State
    raw: str  # gateway.drop.lifecycle.Raw
    bytes: int = Field(sa_type=BigInteger)
    sha256: str  # of the bytes received; empty when the vendor had not encrypted them
    received_at: datetime = Field(sa_type=Utc)
    epoch: date  # whose key the drop's key is sealed to
    erase_before: datetime = Field(sa_type=Utc)
    request: str = ""  # names the upload in the intake's log lines and in the receipt
    notices: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # codes: what it was delivered with
    campaign: str | None = Field(default=None, foreign_key="campaign.name")
    counts: dict[str, int] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    findings: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    findings_total: int = 0
    waiting_for: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # reasons it can't be linked yet
    linked_at: datetime | None = Field(default=None, sa_type=Utc)
    erased_at: datetime | None = Field(default=None, sa_type=Utc)


class DropSchool(SQLModel, table=True):
    """What a drop held of one school, and the objection register that was applied to it."""

    __tablename__ = "drop_school"

    drop: str = Field(foreign_key="drop.id", primary_key=True)
    school: str = Field(foreign_key="school.code", primary_key=True)
    rows: int
    pupils: int
    objected_pupils: int = 0
    objection_register: int | None = None  # version
    linked_pupils: int | None = None


class Part(SQLModel, table=True):
    """A live Parquet part of the results store: one per linked drop."""

    drop: str = Field(foreign_key="drop.id", primary_key=True)
    campaign: str = Field(foreign_key="campaign.name", index=True)
    file: str  # below results/
    rows: int
    sha256: str


class EffectRow(SQLModel, table=True):
    """What is still to be done for a drop (gateway.drop.lifecycle.Effect)."""

    __tablename__ = "effect"

    id: int | None = Field(default=None, primary_key=True)
    drop: str = Field(foreign_key="drop.id", index=True)
    kind: str
    due_at: datetime = Field(sa_type=Utc, index=True)
    attempts: int = 0
    claimed_at: datetime | None = Field(default=None, sa_type=Utc)  # somebody is at it, or died while at it
    done_at: datetime | None = Field(default=None, sa_type=Utc)
    last_error: str = ""  # an error's code, never its text


class AuditRow(SQLModel, table=True):
    """An audit entry on its way to the Merkle log; written in the same transaction as the change it tells of."""

    __tablename__ = "audit_row"

    id: str = Field(primary_key=True)  # sorts by time
    time: datetime = Field(sa_type=Utc)
    actor: str
    origin: str
    action: str = Field(index=True)
    object: str = Field(index=True)
    result: str
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    leaf: int | None = Field(default=None, index=True)  # its index in the log, once it is there


# ---------------------------------------------------------------- reports and boards


class Report(SQLModel, table=True):
    """A school's PDF of a campaign: `growth` (made here) or `regular` (made elsewhere); the file lies below reports/."""

    campaign: str = Field(foreign_key="campaign.name", primary_key=True)
    school: str = Field(foreign_key="school.code", primary_key=True)
    kind: str = Field(primary_key=True)
    file: str
    sha256: str
    bytes: int
    built_at: datetime = Field(sa_type=Utc)


class Bundle(SQLModel, table=True):
    """A board's zip of a campaign; encrypted at rest under a key of its own (named after `id`)."""

    __table_args__ = (UniqueConstraint("campaign", "board", "version"),)

    id: str = Field(primary_key=True)
    campaign: str = Field(foreign_key="campaign.name", index=True)
    board: str = Field(foreign_key="board.number", index=True)
    version: int
    reason: str = ""
    file: str  # below bundles/
    bytes: int = Field(sa_type=BigInteger)  # of the zip
    sha256: str  # of the zip; its strong ETag
    contents: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    visible_from: datetime = Field(sa_type=Utc)
    created_at: datetime = Field(sa_type=Utc)
    withdrawn_at: datetime | None = Field(default=None, sa_type=Utc)


class Credential(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    board: str = Field(foreign_key="board.number", index=True)
    password_hash: str  # Argon2id, PHC string
    issued_at: datetime = Field(sa_type=Utc)
    valid_until: date
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)
    last_login_at: datetime | None = Field(default=None, sa_type=Utc)


class PortalSession(SQLModel, table=True):
    __tablename__ = "portal_session"

    token_sha256: str = Field(primary_key=True)
    board: str = Field(foreign_key="board.number", index=True)
    csrf: str
    created_at: datetime = Field(sa_type=Utc)
    last_seen_at: datetime = Field(sa_type=Utc)


class Download(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    bundle: str = Field(foreign_key="bundle.id", index=True)
    board: str = Field(foreign_key="board.number", index=True)
    origin: str
    at: datetime = Field(sa_type=Utc)
    bytes: int = Field(sa_type=BigInteger)
