"""Who gets which reports after schools changed hands, closed or got another number: of each round the board whose school it was then, and
no board ever sees what was before its time. From the register's import to what the portal lets a board download."""

import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.cli.publishing import publish_campaign
from gateway.store import publication
from gateway.store.campaigns import boards_that_delivered, campaign_of, create_campaign, enrol, standings
from gateway.store.models import DropSchool
from gateway.store.registry import import_schools
from policies.calendar import start_of_day
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, add_report, browser, log_in, make_boards
from tests.support.ledgers import a_drop

OLD, NEW, STRANGER = "11111", "22222", "33333"
BEFORE = {"01AA00": OLD, "01AA01": OLD, "01AB00": OLD, "05EE00": OLD, "02BB00": NEW}
#: the round before the changes, its reference date, the changes, and the reference date of CAMPAIGN after them
EARLIER, THEN, CHANGED, NOW = "2025-E", date(2025, 6, 15), date(2025, 12, 1), date(2026, 2, 15)


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    """Two rounds; both boards take part in both."""
    found = make_boards(tmp_path / "home", {board: [code for code, of in BEFORE.items() if of == board] for board in (OLD, NEW)})
    with found.home.ledger.change("test") as change:
        days = [THEN - timedelta(days=30), THEN - timedelta(days=20), THEN, THEN + timedelta(days=30)]
        create_campaign(change, EARLIER, *days, datetime(2025, 9, 1, tzinfo=UTC))
        for board in (OLD, NEW):
            enrol(change, board, EARLIER, "volgsysteem", date(2025, 5, 1), date(2025, 5, 1))
    for code in BEFORE:
        add_report(found, EARLIER, code)
    return found


def register(boards: Boards, schools: dict[str, str], as_of: date = CHANGED) -> None:
    with boards.home.ledger.change("test") as change:
        rows = [({"code": code, "name": f"Basisschool {code}"}, board) for code, board in schools.items()]
        import_schools(change, {board: f"Stichting {board}" for board in schools.values()}, rows, as_of, "00" * 32)


def given(boards: Boards, campaign: str) -> dict[str, set[str]]:
    """The schools of whose reports each board is the owner."""
    with boards.home.ledger.view() as session:
        found = publication.entitlement(session, campaign_of(session, campaign))
    return {board: {item.report.school for item in items} for board, items in found.boards.items()}


def left_out(boards: Boards, campaign: str) -> dict[str, str]:
    with boards.home.ledger.view() as session:
        found = publication.entitlement(session, campaign_of(session, campaign)).left_out
    return {row["school"]: row["reason"] for row in found}


def downloads(boards: Boards, board: str, campaign: str) -> set[str] | None:
    """The schools in what this board gets from the portal; None: it gets nothing."""
    boards.clock.now = max(boards.clock.now, PUBLISH_FROM)
    client: TestClient = browser(boards)
    if board not in boards.passwords:
        boards.give_credentials(board)
    log_in(client, board, boards.passwords[board])
    answer = client.get(f"/rapporten/{board}/{campaign}/Rapportages.zip")
    if answer.status_code != 200:
        assert answer.status_code == 404
        return None
    return {name.partition("/")[2][:6] for name in zipfile.ZipFile(io.BytesIO(answer.content)).namelist() if name.startswith("Leergroei/")}


def publish(boards: Boards) -> None:
    for campaign in (EARLIER, CAMPAIGN):
        publish_campaign(boards.home, campaign)


def test_after_a_merger_the_new_board_gets_what_comes_and_nothing_of_before(boards: Boards) -> None:
    register(boards, dict.fromkeys(BEFORE, NEW))
    publish(boards)
    everything, its_own = set(BEFORE), {"02BB00"}
    assert downloads(boards, NEW, CAMPAIGN) == everything and downloads(boards, NEW, EARLIER) == its_own
    assert downloads(boards, OLD, CAMPAIGN) is None and downloads(boards, OLD, EARLIER) == everything - its_own


def test_a_school_that_is_taken_over_by_a_board_that_did_not_enrol(boards: Boards) -> None:
    """The consent of its former board does not count for the new one; regular reports need none."""
    register(boards, {**BEFORE, "01AA01": STRANGER})
    add_report(boards, CAMPAIGN, "01AA01", "regular")
    assert left_out(boards, CAMPAIGN) == {"01AA01": "the board has no final enrolment"}
    assert given(boards, CAMPAIGN)[STRANGER] == {"01AA01"}
    with boards.home.ledger.view() as session:
        campaign = campaign_of(session, CAMPAIGN)
        before, after = (standings(session, campaign, day)["01AA01"] for day in (CHANGED - timedelta(days=1), NOW))
    assert (before.board, before.vendor) == (OLD, "volgsysteem") and (after.board, after.vendor, after.enrolled) == (STRANGER, None, False)
    publish(boards)
    assert downloads(boards, STRANGER, CAMPAIGN) == set() and downloads(boards, STRANGER, EARLIER) is None
    assert downloads(boards, OLD, EARLIER) == {"01AA00", "01AA01", "01AB00", "05EE00"}


def test_a_board_that_splits_off_has_what_came_after(boards: Boards) -> None:
    register(boards, {**BEFORE, "01AA01": STRANGER, "01AB00": STRANGER})
    with boards.home.ledger.change("test") as change:
        enrol(change, STRANGER, CAMPAIGN, "volgsysteem", date(2026, 1, 5), date(2026, 1, 5))
    publish(boards)
    assert downloads(boards, STRANGER, CAMPAIGN) == {"01AA01", "01AB00"} and downloads(boards, STRANGER, EARLIER) is None
    assert downloads(boards, OLD, CAMPAIGN) == {"01AA00", "05EE00"}


def test_a_closed_schools_earlier_report_stays_and_a_later_one_is_nobodys(boards: Boards) -> None:
    register(boards, {code: board for code, board in BEFORE.items() if code != "01AB00"})
    assert left_out(boards, CAMPAIGN) == {"01AB00": "no board on the reference date"}
    publish(boards)
    assert "01AB00" in (downloads(boards, OLD, EARLIER) or set()) and "01AB00" not in (downloads(boards, OLD, CAMPAIGN) or set())


def test_a_renumbered_school_is_another_school(boards: Boards) -> None:
    """Each number has the reports that were made under it, in the hands of the board of its time."""
    renumbered = {"06FF00" if code == "05EE00" else code: board for code, board in BEFORE.items()}
    register(boards, renumbered)
    add_report(boards, CAMPAIGN, "06FF00")
    add_report(boards, EARLIER, "06FF00")  # somebody joined them by hand
    assert left_out(boards, CAMPAIGN) == {"05EE00": "no board on the reference date"}
    assert left_out(boards, EARLIER) == {"06FF00": "no board on the reference date"}
    assert "06FF00" in given(boards, CAMPAIGN)[OLD] and "05EE00" in given(boards, EARLIER)[OLD]
    pseudonyms = boards.home.pseudonyms("school").many(["05EE00", "06FF00"])
    assert pseudonyms[0] != pseudonyms[1], "their results are never added up"


def test_a_school_that_became_an_so_school_gets_no_report(boards: Boards) -> None:
    with boards.home.ledger.change("test") as change:
        rows = [({"code": code, "name": code, "kind": "so" if code == "01AB00" else "bo"}, board) for code, board in BEFORE.items()]
        import_schools(change, dict.fromkeys(BEFORE.values(), ""), rows, CHANGED, "00" * 32)
    add_report(boards, CAMPAIGN, "01AB00", "regular")
    assert left_out(boards, CAMPAIGN) == {"01AB00": "so and vso schools take no part"}


def test_a_late_sign_up_gets_regular_reports_only(boards: Boards) -> None:
    with boards.home.ledger.change("test") as change:
        enrol(change, NEW, CAMPAIGN, "volgsysteem", date(2026, 1, 16), date(2026, 1, 6))
    add_report(boards, CAMPAIGN, "02BB00", "regular")
    assert left_out(boards, CAMPAIGN) == {"02BB00": "the board enrolled after the deadline: regular reports only"}
    with boards.home.ledger.view() as session:
        (item,) = publication.entitlement(session, campaign_of(session, CAMPAIGN)).boards[NEW]
    assert item.report.kind == "regular"


def test_a_correction_after_publication_takes_the_report_back(boards: Boards) -> None:
    """The register says later that the school had moved before the reference date: the wrong board loses it, the right one gets it."""
    publish(boards)
    register(boards, {**BEFORE, "01AA01": NEW}, CHANGED)
    publish_campaign(boards.home, CAMPAIGN, "register verbeterd")
    assert "01AA01" not in (downloads(boards, OLD, CAMPAIGN) or set())
    assert downloads(boards, NEW, CAMPAIGN) == {"01AA01", "02BB00"}
    assert downloads(boards, NEW, EARLIER) == {"02BB00"}


def linked(boards: Boards, number: int, at: datetime, *schools: str, state: str = "linked", pupils: int = 12) -> None:
    """A delivery for CAMPAIGN that was received then, of these schools."""
    with boards.home.ledger.change("test") as change:
        drop = a_drop(at, number, vendor="volgsysteem", campaign=CAMPAIGN, state=state, raw="erased")
        change.session.add(drop)
        change.session.flush()
        for school in schools:
            change.session.add(DropSchool(drop=drop.id, school=school, rows=pupils, pupils=pupils, linked_pupils=pupils))


def test_what_was_delivered_in_the_old_boards_time_makes_no_report_for_the_new_one(boards: Boards) -> None:
    """Both boards enrolled; the school changed hands between the delivery and the reference date. Delivered again, it is the new one's."""
    moved = date(2026, 2, 10)
    last_of_old = start_of_day(moved) - timedelta(seconds=1)
    linked(boards, 1, last_of_old, "01AA00", "01AA01")
    register(boards, {**BEFORE, "01AA01": NEW}, moved)
    assert left_out(boards, CAMPAIGN) == {"01AA01": "delivered while the school was another board's"}
    assert "01AA00" in given(boards, CAMPAIGN)[OLD]
    linked(boards, 2, start_of_day(moved), "01AA01", pupils=0)
    linked(boards, 3, start_of_day(moved), "01AA01", state="expired")
    assert set(left_out(boards, CAMPAIGN)) == {"01AA01"}, "nothing of those counts"
    linked(boards, 4, start_of_day(moved), "01AA01")
    assert left_out(boards, CAMPAIGN) == {} and "01AA01" in given(boards, CAMPAIGN)[NEW]


def test_a_round_reports_on_schools_of_which_something_was_delivered_in_it(boards: Boards) -> None:
    linked(boards, 1, start_of_day(date(2026, 2, 10)), "01AA00")
    linked(boards, 2, start_of_day(date(2026, 2, 10)), "01AA01", state="expired")
    with boards.home.ledger.view() as session:
        assert boards_that_delivered(session, CAMPAIGN) == {"01AA00": {OLD}}
        assert boards_that_delivered(session, EARLIER) == {}
