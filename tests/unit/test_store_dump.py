"""The ledger as lines of JSON: every row comes back as it was, on either database, from a moment that stands still."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, SQLModel, select

from gateway.store.database import open_database, upgrade
from gateway.store.dump import PIECE_BYTES, dump, is_empty, load, revision_of, snapshot
from gateway.store.ledger import Ledger
from gateway.store.models import (
    AuditRow,
    Board,
    Bundle,
    Campaign,
    Credential,
    Drop,
    Objection,
    ObjectionRegister,
    PortalSession,
    Vendor,
)
from tests.support.ledgers import CAMPAIGN, START, populate, received


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """A row of every type that a column can have, and of every awkward value."""
    with ledger.change("test") as change:
        populate(change)
        change.session.flush()
        register = ObjectionRegister(campaign=CAMPAIGN, school="01AA00", version=1, source="cli", received_at=START, objections=1)
        change.session.add(register)
        change.session.add(Credential(board="10001", password_hash="$argon2id$…", issued_at=START, valid_until=date(2027, 1, 1)))
        change.session.add(
            Bundle(
                id="10001-a-1",
                campaign=CAMPAIGN,
                board="10001",
                version=1,
                reason="“é”\n\u2028",
                file="b",
                bytes=1 << 40,
                sha256="0",
                contents=[{"school": "01AA00", "none": None, "list": [1, "x"]}],
                visible_from=START,
                created_at=START,
            )
        )
        change.session.flush()
        change.session.add(Objection(register_id=register.id, bsn_mac=bytes(range(16)), filed_on=date(2026, 2, 1)))
        change.session.add(PortalSession(token_sha256="t", board="10001", csrf="secret-csrf", created_at=START, last_seen_at=START))
        change.audit("test", "nothing", detail={"deep": [None, True, -1]}, at="…")
    received(ledger, 1, bytes=3 << 33)
    return ledger


def rows_of(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """Everything in the ledger as the product sees it."""
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(table.select().order_by(*table.primary_key.columns)).mappings()]
            for table in SQLModel.metadata.sorted_tables
            if table.name != "portal_session"
        }


def pieces(engine: Engine) -> list[tuple[str, bytes]]:
    with snapshot(engine) as connection:
        return list(dump(connection))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def target(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = open_database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    if request.param == "sqlite":  # beside the ledger's own
        engine = open_database(str(engine.url).replace("sluis.sqlite", "target.sqlite"))
    upgrade(engine)
    yield engine
    engine.dispose()


def test_every_row_comes_back_on_either_database(filled: Ledger, target: Engine) -> None:
    before = rows_of(filled.engine)
    assert sum(map(len, before.values())) > 15
    with target.begin() as connection:
        assert is_empty(connection)
        assert load(connection, pieces(filled.engine)) == sum(map(len, before.values()))
        assert not is_empty(connection)
    assert rows_of(target) == before
    with Session(target) as session:
        assert session.exec(select(PortalSession)).all() == []
        assert session.exec(select(Objection)).one().bsn_mac == bytes(range(16))
        assert session.exec(select(Drop)).one().received_at == START and session.exec(select(Drop)).one().bytes == 3 << 33


def test_rows_that_come_later_get_numbers_of_their_own(filled: Ledger, target: Engine) -> None:
    with target.begin() as connection:
        load(connection, pieces(filled.engine))
    with Ledger(target, lambda: datetime(2026, 3, 1, tzinfo=UTC)).change("test") as change:
        change.session.add(Credential(board="10001", password_hash="x", issued_at=change.now, valid_until=date(2027, 1, 1)))
        change.session.flush()
        first, second = (row.id for row in change.session.exec(select(Credential).order_by(Credential.id)))  # type: ignore[arg-type]
        assert first and second == first + 1


def test_who_is_logged_in_and_what_was_deleted_is_not_in_it(filled: Ledger) -> None:
    with filled.change("test") as change:
        change.session.delete(change.session.get_one(Vendor, "parnassys"))
    everything = b"".join(data for _, data in pieces(filled.engine))
    assert b"secret-csrf" not in everything and b"parnassys" not in everything and b'"cito"' in everything


def test_it_is_of_one_moment_while_others_go_on(filled: Ledger) -> None:
    with snapshot(filled.engine) as connection:
        found = dump(connection)
        name, _ = next(found)
        with filled.change("test") as change:
            change.session.add(Board(number="99999", name="Later"))
            change.session.add(AuditRow(id="z", time=START, actor="a", origin="o", action="later", object="o", result="ok"))
        rest = b"".join(data for _, data in found)
    assert name and b"Later" not in rest and b'"later"' not in rest
    assert b"Later" in b"".join(data for _, data in pieces(filled.engine))


def test_pieces_stay_small_whatever_a_table_holds(lite: Ledger) -> None:
    rows = [{"number": f"{number:05}", "name": "x" * 50_000} for number in range(200)]
    with lite.change("test") as change:
        change.session.execute(Board.__table__.insert(), rows)  # type: ignore[attr-defined]
    of_boards = [data for name, data in pieces(lite.engine) if name == "board"]
    assert len(of_boards) == 3 and max(map(len, of_boards)) < PIECE_BYTES + 100_000
    assert sum(data.count(b"\n") for data in of_boards) == 200


#: made by 0003 and 0004, and what 0004 added to older ones
LATER_TABLES = {"recipient_key", "vendor_signing_key", "objection_person", "pending_withdrawal", "replacement"}
LATER_COLUMNS = {"campaign": ("objections_ended_at",), "report": ("objection_register", "touched_at")}


def before_0003(table: str, data: bytes) -> bytes:
    rows = [json.loads(line) for line in data.splitlines()]
    older = [{name: value for name, value in row.items() if name not in LATER_COLUMNS.get(table, ())} for row in rows]
    return b"".join(json.dumps(row).encode() + b"\n" for row in older)


def test_an_older_dump_goes_into_tables_of_its_own_revision_first(lite: Ledger, sqlite_url: str) -> None:
    with lite.change("test") as change:
        populate(change)
    old = open_database(sqlite_url)
    upgrade(old, "0002")
    kept = [(name, before_0003(name, data)) for name, data in pieces(lite.engine) if name not in LATER_TABLES]
    with old.begin() as connection:
        assert revision_of(connection) == "0002"
        load(connection, kept)
    upgrade(old)
    assert inspect(old).has_table("recipient_key")
    with Session(old) as session:
        assert session.get_one(Campaign, CAMPAIGN).created_at == START


@pytest.mark.parametrize("line", [b'{"nothing":1}\n', b"[]\n", b'{"number":"1","name":"a"}\n{', b'{"number":"1"}\n'])
def test_what_is_no_row_of_the_table_is_not_loaded(lite: Ledger, line: bytes) -> None:
    with pytest.raises((KeyError, ValueError, TypeError, SQLAlchemyError)), lite.engine.begin() as connection:
        load(connection, [("board", line)])
    with lite.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM board")).scalar_one() == 0
