"""Boards, schools and whose they were when; which version of a register is in use."""

from datetime import date, datetime

from sqlmodel import Field, SQLModel, UniqueConstraint

from gateway.store.models.time import Utc


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
