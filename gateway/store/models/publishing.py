"""What is made for boards, and how they come to it."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column
from sqlmodel import Field, SQLModel, UniqueConstraint

from gateway.store.models.time import Utc


class Report(SQLModel, table=True):
    """A school's PDF of a campaign: `growth` (made here) or `regular` (made elsewhere); the file lies below reports/."""

    campaign: str = Field(foreign_key="campaign.name", primary_key=True)
    school: str = Field(foreign_key="school.code", primary_key=True)
    kind: str = Field(primary_key=True)
    file: str
    sha256: str
    bytes: int
    built_at: datetime = Field(sa_type=Utc)
    objection_register: int | None = None  # the version that its results were held against
    #: since when it holds results that were withdrawn after it was built; null: it may be published
    touched_at: datetime | None = Field(default=None, sa_type=Utc)


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
