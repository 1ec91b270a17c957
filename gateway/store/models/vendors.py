"""Who delivers: vendors, their keys, and what opened their accounts."""

from datetime import datetime

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from gateway.store.models.time import Utc


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


class VendorSigningKey(SQLModel, table=True):
    """An OpenPGP key with which a vendor signs its deliveries; while it has one, what is not signed is refused."""

    __tablename__ = "vendor_signing_key"

    id: int | None = Field(default=None, primary_key=True)
    vendor: str = Field(foreign_key="vendor.name", index=True)
    fingerprint: str = Field(index=True)  # of the primary key, hexadecimal
    public_key: str  # in armour; empty: lost before a restore, and what it signed is refused
    valid_until: datetime | None = Field(default=None, sa_type=Utc)  # the key's own end
    added_at: datetime = Field(sa_type=Utc)
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
