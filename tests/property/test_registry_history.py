"""Whatever registers are imported one after another: on each day a school is whose it was in the last register of that day or before it."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import delete, select

from gateway.store.campaigns import standings
from gateway.store.database import open_database, upgrade
from gateway.store.ledger import Ledger
from gateway.store.models import Board, Campaign, Mandate, RegisterVersion, School
from gateway.store.registry import What, import_schools
from policies.calendar import start_of_day

DAY = date(2026, 1, 1)
CODES, BOARDS = ("01AA00", "01AB00", "02BB00", "03CC00"), ("10001", "10002", "10003")

registers = st.dictionaries(st.sampled_from(CODES), st.sampled_from(BOARDS), min_size=1)
#: days since the one before (0: a correction of the same day), and the register
imports = st.lists(st.tuples(st.integers(0, 2), registers), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('history') / 'sluis.sqlite'}")
    upgrade(engine)
    yield Ledger(engine)
    engine.dispose()


def bring_in(ledger: Ledger, register: dict[str, str], as_of: date) -> dict[str, tuple[str | None, str | None]]:
    """What the import says it did to schools: code → board before and after."""
    with ledger.change("test") as change:
        rows = [({"code": code, "name": code}, board) for code, board in register.items()]
        found = import_schools(change, dict.fromkeys(register.values(), ""), rows, as_of, "00" * 32)
    told = (What.ADDED, What.RETURNED, What.MOVED, What.ENDED)
    return {one.object: (one.before, one.after) for one in found.all if one.what in told}


def boards_on(ledger: Ledger, day: date) -> dict[str, str]:
    campaign = Campaign(
        name="x", enrol_until=DAY, objections_from=DAY, objections_until=DAY, deliver_until=DAY, publish_from=start_of_day(DAY),
        created_at=start_of_day(DAY),
    )  # fmt: skip
    with ledger.view() as session:
        return {code: standing.board for code, standing in standings(session, campaign, day).items()}


@settings(max_examples=60, deadline=None)
@given(imports)
def test_a_school_is_always_the_boards_of_the_newest_register(ledger: Ledger, given_registers: list[tuple[int, dict[str, str]]]) -> None:
    with ledger.change("test") as change:
        for table in (Mandate, School, Board, RegisterVersion):
            change.session.execute(delete(table))
    as_of, in_force, known = DAY, {}, {}
    for days, register in given_registers:
        as_of += timedelta(days=days)
        told = bring_in(ledger, register, as_of)
        assert told == {
            code: (known.get(code), register.get(code)) for code in known.keys() | register.keys() if known.get(code) != register.get(code)
        }
        known = in_force[as_of] = register
    for ahead in range(-1, (as_of - DAY).days + 2):
        day = DAY + timedelta(days=ahead)
        before = [of for of in in_force if of <= day]
        assert boards_on(ledger, day) == (in_force[max(before)] if before else {}), day
    with ledger.view() as session:
        mandates = session.exec(select(Mandate)).all()
    assert all(mandate.valid_until is None or mandate.valid_from < mandate.valid_until for mandate in mandates)
    for code in CODES:
        its = sorted((mandate for mandate in mandates if mandate.school == code), key=lambda mandate: mandate.valid_from)
        for one, following in pairwise(its):
            assert one.valid_until is not None and one.valid_until <= following.valid_from
            assert one.valid_until < following.valid_from or one.board != following.board, "one stay is told as one"
