"""Publishing and withdrawing: who gets what, when it is visible, what replaces what, and what a crash leaves."""

import io
import zipfile
from datetime import date
from pathlib import Path

import pytest
from sqlmodel import select

from gateway.cli.publishing import publish_campaign, withdraw_campaign
from gateway.store import publication
from gateway.store.models import Bundle, Mandate, Report
from keys.chunked import Reader
from policies.errors import NotFound, Refused, Unsound, WrongUsage
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, add_report, add_school, make_boards

SCHOOLS = {"11111": ["01AA00", "01AA01"], "22222": ["02BB00"]}


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    return make_boards(tmp_path / "home", SCHOOLS)


def names(boards: Boards, board: str) -> list[str]:
    bundle = boards.bundle(board)
    with (boards.home.bundles / bundle.file).open("rb") as file:
        reader = Reader(boards.home.mortal.read("bundles", bundle.id), bundle.id, file)
        return zipfile.ZipFile(io.BytesIO(b"".join(reader.read_range(0, reader.size)))).namelist()


def test_every_board_gets_its_own_schools(boards: Boards) -> None:
    done = publish_campaign(boards.home, CAMPAIGN)
    assert (done.published, done.reports, done.left_out) == (2, 3, [])
    assert names(boards, "11111")[2:] == ["Leergroei/01AA00 Basisschool 01AA00.pdf", "Leergroei/01AA01 Basisschool 01AA01.pdf"]
    assert names(boards, "22222")[2:] == ["Leergroei/02BB00 Basisschool 02BB00.pdf"]
    assert {row.object for row in boards.audit("bundle.published")} == {"11111", "22222"}


def test_nothing_is_visible_before_the_campaign_says_so(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    with boards.home.ledger.view() as session:
        before = publication.periods(session, "11111", boards.clock())
        assert publication.visible_bundle(session, "11111", CAMPAIGN, boards.clock()) is None
        after = publication.periods(session, "11111", PUBLISH_FROM)
        assert publication.visible_bundle(session, "11111", CAMPAIGN, PUBLISH_FROM) is not None
    assert [(period.visible_from, period.bundle) for period in before] == [(PUBLISH_FROM, None)]
    assert after[0].bundle is not None


def test_the_board_of_the_reference_date_gets_the_report(boards: Boards) -> None:
    """A school that moved after that date stays with its old board; one that moved before it is the new board's."""
    with boards.home.ledger.change("test") as change:
        for code, moved in (("01AA00", date(2026, 3, 1)), ("01AA01", date(2026, 2, 1))):
            mandate = change.session.exec(select(Mandate).where(Mandate.school == code)).one()
            mandate.valid_until = moved
            change.session.add(mandate)
            add_school(change, code, "22222", moved)
    publish_campaign(boards.home, CAMPAIGN)
    assert names(boards, "11111")[2:] == ["Leergroei/01AA00 Basisschool 01AA00.pdf"]
    assert [name[10:16] for name in names(boards, "22222")[2:]] == ["01AA01", "02BB00"]


def test_a_board_without_final_enrolment_gets_regular_reports_only(boards: Boards) -> None:
    with boards.home.ledger.change("test") as change:
        from gateway.store.models import Board

        change.session.add(Board(number="33333", name=""))
        change.session.flush()
        add_school(change, "03CC00", "33333")
    add_report(boards, CAMPAIGN, "03CC00", "growth")
    add_report(boards, CAMPAIGN, "03CC00", "regular")
    done = publish_campaign(boards.home, CAMPAIGN)
    assert names(boards, "33333")[2:] == ["Regulier/03CC00 Basisschool 03CC00.pdf"]
    assert done.left_out == [{"school": "03CC00", "kind": "growth", "reason": "the board has no final enrolment"}]


def test_publishing_again_changes_nothing(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    first = boards.bundle("11111")
    again = publish_campaign(boards.home, CAMPAIGN)
    assert (again.published, again.replaced, again.unchanged) == (0, 0, 2)
    assert boards.bundle("11111").id == first.id


def test_a_new_version_needs_a_reason_and_ends_the_old_one(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    first = boards.bundle("11111")
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7 verbeterd")
    with pytest.raises(WrongUsage) as raised:
        publish_campaign(boards.home, CAMPAIGN)
    assert raised.value.code == "reason-missing"
    done = publish_campaign(boards.home, CAMPAIGN, "toetsen van groep 5 ontbraken")
    assert (done.published, done.replaced, done.unchanged) == (0, 1, 1)
    second = boards.bundle("11111")
    assert (second.version, second.reason, second.withdrawn_at) == (2, "toetsen van groep 5 ontbraken", None)
    assert not boards.home.mortal.exists("bundles", first.id) and not (boards.home.bundles / first.file).exists()
    assert [row.detail["version"] for row in boards.audit("bundle.key-destroyed")] == [1]


def test_withdrawal_destroys_key_and_file(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    kept, gone = boards.bundle("11111"), boards.bundle("22222")
    assert withdraw_campaign(boards.home, CAMPAIGN, "22222", "verkeerde school") == 1
    assert boards.home.mortal.names("bundles") == [kept.id]
    assert not (boards.home.bundles / gone.file).exists()
    with boards.home.ledger.view() as session:
        assert publication.visible_bundle(session, "22222", CAMPAIGN, PUBLISH_FROM) is None
        assert publication.periods(session, "22222", PUBLISH_FROM) == []
    with pytest.raises(NotFound):
        withdraw_campaign(boards.home, CAMPAIGN, "22222")


def test_an_interrupted_withdrawal_is_completed_by_the_next(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    bundle = boards.bundle("22222")
    with boards.home.ledger.change("test") as change:
        publication.withdraw(change, bundle.id, "")
    assert boards.home.mortal.exists("bundles", bundle.id)
    assert withdraw_campaign(boards.home, CAMPAIGN, "22222") == 0
    assert not boards.home.mortal.exists("bundles", bundle.id)


def test_publication_that_failed_half_way_is_nobodys_and_can_be_repeated(boards: Boards) -> None:
    broken = boards.home.reports / f"{CAMPAIGN}/02BB00-growth.pdf"
    whole = broken.read_bytes()
    broken.write_bytes(b"changed")
    with pytest.raises(Unsound):
        publish_campaign(boards.home, CAMPAIGN)
    assert boards.audit("bundle.published") == []
    with boards.home.ledger.view() as session:
        assert publication.periods(session, "11111", PUBLISH_FROM) == []
    broken.write_bytes(whole)
    assert publish_campaign(boards.home, CAMPAIGN).published == 2
    assert sorted(boards.home.mortal.names("bundles")) == sorted(boards.bundle(board).id for board in SCHOOLS)
    assert {path.name for path in boards.home.bundles.iterdir()} == {boards.bundle(board).file for board in SCHOOLS}


def test_a_board_that_lost_its_last_report_loses_its_bundle(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    with boards.home.ledger.change("test") as change:
        mandate = change.session.exec(select(Mandate).where(Mandate.school == "02BB00")).one()
        mandate.board = "11111"
        change.session.add(mandate)
    done = publish_campaign(boards.home, CAMPAIGN, "school stond bij het verkeerde bestuur")
    assert (done.replaced, done.withdrawn) == (1, 1)
    assert boards.bundle("22222").withdrawn_at is not None


def test_without_reports_there_is_nothing_to_publish(tmp_path: Path) -> None:
    boards = make_boards(tmp_path / "home", {"11111": []})
    with pytest.raises(Refused) as raised:
        publish_campaign(boards.home, CAMPAIGN)
    assert raised.value.code == "nothing-to-publish"
    with pytest.raises(NotFound):
        publish_campaign(boards.home, "2031-E")


def test_readable_reports_of_a_bundle_are_nowhere_in_the_bundles_folder(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    for path in boards.home.bundles.iterdir():
        assert b"geheim" not in path.read_bytes()


def test_a_newer_register_of_objections_with_the_same_report_makes_no_new_version(boards: Boards) -> None:
    registered(boards, 1)
    publish_campaign(boards.home, CAMPAIGN)
    first = boards.bundle("11111")
    assert {row["school"]: row["objection_register"] for row in first.contents} == {"01AA00": 1, "01AA01": None}
    registered(boards, 2)
    assert publish_campaign(boards.home, CAMPAIGN).unchanged == 2
    assert boards.bundle("11111").id == first.id
    with boards.home.ledger.change("test") as change:  # as a version that did not know of registers made it
        bundle = change.session.get_one(Bundle, first.id)
        bundle.contents = [{name: value for name, value in row.items() if name != "objection_register"} for row in bundle.contents]
        change.session.add(bundle)
    assert publish_campaign(boards.home, CAMPAIGN).unchanged == 2


def registered(boards: Boards, version: int) -> None:
    with boards.home.ledger.change("test") as change:
        report = change.session.get_one(Report, (CAMPAIGN, "01AA00", "growth"))
        report.objection_register = version
        change.session.add(report)
