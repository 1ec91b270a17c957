"""Collection rounds, who takes part in them, and which pupils may not."""

from datetime import date, datetime

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel, UniqueConstraint

from gateway.store.models.time import Utc


class Campaign(SQLModel, table=True):
    name: str = Field(primary_key=True)
    enrol_until: date  # all days are inclusive, in Europe/Amsterdam
    objections_from: date
    objections_until: date
    deliver_until: date
    publish_from: datetime = Field(sa_type=Utc)
    created_at: datetime = Field(sa_type=Utc)
    #: when its objection registers ended: their key, MACs and persons are gone
    objections_ended_at: datetime | None = Field(default=None, sa_type=Utc)


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


class ObjectionPerson(SQLModel, table=True):
    """Whom an objection is about, as far as the population register in use knows its number: a pseudonym of the results store."""

    __tablename__ = "objection_person"

    objection_id: int = Field(foreign_key="objection.id", primary_key=True)
    person: str = Field(primary_key=True, index=True)


class PendingWithdrawal(SQLModel, table=True):
    """A person whose results are still to be taken out of the store; the row ends when they are out."""

    __tablename__ = "pending_withdrawal"

    person: str = Field(primary_key=True)  # pseudonym
    campaign: str = Field(foreign_key="campaign.name")  # whose register told of it
    asked_at: datetime = Field(sa_type=Utc)
