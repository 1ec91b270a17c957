"""Deliveries, what they held, and what is still to be done for them."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from gateway.store.models.time import Utc


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


class Replacement(SQLModel, table=True):
    """Results of a delivery that count no more, because a later one of the same campaign and school holds the same tests anew."""

    later: str = Field(foreign_key="drop.id", primary_key=True)
    earlier: str = Field(foreign_key="drop.id", primary_key=True)
    rows: int


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
