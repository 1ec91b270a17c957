"""Reports that hold withdrawn results: which are touched, what becomes of their bundles, and what publishing makes of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import select

from gateway.cli import publishing
from gateway.cli.publishing import publish_campaign, withdraw_campaign
from gateway.store import publication
from gateway.store.counting import live_results
from gateway.store.models import Bundle, DropSchool, Enrolment, Part, PendingWithdrawal, Report
from gateway.store.touched import schools_changed, touch_reports, touched_reports, touched_schools
from gateway.store.withdrawn import forget_bundles
from policies.errors import Refused
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, START, Boards, add_campaign, add_report, make_boards
from tests.support.ledgers import received

SCHOOLS = {"11111": ["01AA00", "01AA01"], "22222": ["02BB00"]}
LINKED = START - timedelta(days=3)


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    return make_boards(tmp_path / "home", SCHOOLS)


def touch(boards: Boards, *schools: str) -> list[tuple[str, str]]:
    with boards.home.ledger.change("worker") as change:
        found = touch_reports(change, dict.fromkeys(schools, LINKED))
        return [(report.campaign, report.school) for report in found]


def told(boards: Boards) -> list[tuple[str, object, object]]:
    return [(row.object, row.detail["campaign"], row.detail["published"]) for row in boards.audit("report.touched")]


def refusal(boards: Boards) -> Refused:
    with pytest.raises(Refused) as refused:
        publish_campaign(boards.home, CAMPAIGN, "opnieuw")
    return refused.value


def test_reports_of_that_school_are_touched_in_every_campaign_that_could_hold_it(boards: Boards) -> None:
    add_campaign(boards, "2025-E", PUBLISH_FROM, SCHOOLS)
    boards.clock.now = LINKED - timedelta(days=1)
    add_campaign(boards, "2024-M", PUBLISH_FROM, SCHOOLS)  # its reports were built before those results came
    boards.clock.now = START
    add_report(boards, CAMPAIGN, "01AA00", "regular")
    assert touch(boards, "01AA00", "99ZZ99") == [("2025-E", "01AA00"), (CAMPAIGN, "01AA00")]
    assert told(boards) == [("01AA00", "2025-E", False), ("01AA00", CAMPAIGN, False)]
    with boards.home.ledger.view() as session:
        touched = {(row.campaign, row.school, row.kind) for row in session.exec(select(Report)) if row.touched_at}
        assert touched == {("2025-E", "01AA00", "growth"), (CAMPAIGN, "01AA00", "growth")}
        assert [row.school for row in touched_reports(session, CAMPAIGN)] == ["01AA00"]
        assert touched_schools(session, CAMPAIGN) == {"01AA00": START}


def test_a_bundle_that_nobody_sees_yet_is_withdrawn_and_its_key_destroyed(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    first, other = boards.bundle("11111"), boards.bundle("22222")
    touch(boards, "01AA00", "01AA01")  # two of its reports: withdrawn once
    assert told(boards) == [("01AA00", CAMPAIGN, False), ("01AA01", CAMPAIGN, False)]
    assert [row.detail["bundle"] for row in boards.audit("bundle.withdrawn")] == [first.id]
    with boards.home.ledger.view() as session:
        assert session.get_one(Bundle, other.id).withdrawn_at is None
        assert publication.visible_bundle(session, "11111", CAMPAIGN, PUBLISH_FROM) is None
    assert boards.home.mortal.exists("bundles", first.id)  # as a crash leaves it
    assert forget_bundles(boards.home, "worker") == [first.id]
    assert boards.home.mortal.names("bundles") == [other.id] and not (boards.home.bundles / first.file).exists()
    assert forget_bundles(boards.home, "worker") == []
    assert len(boards.audit("bundle.key-destroyed")) == 1


def test_a_bundle_that_its_board_sees_stays_and_is_told_as_published(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    boards.clock.now = PUBLISH_FROM
    touch(boards, "01AA00")
    assert told(boards) == [("01AA00", CAMPAIGN, True)]
    assert boards.bundle("11111").withdrawn_at is None and boards.audit("bundle.withdrawn") == []


def test_a_bundle_made_before_those_results_came_stays(boards: Boards) -> None:
    """The report was built anew since; what lies in the bundle could not hold them."""
    boards.clock.now = LINKED - timedelta(days=1)
    publish_campaign(boards.home, CAMPAIGN)
    boards.clock.now = START
    add_report(boards, CAMPAIGN, "01AA00")
    assert touch(boards, "01AA00") == [(CAMPAIGN, "01AA00")]
    assert boards.bundle("11111").withdrawn_at is None


def test_nothing_is_published_while_a_report_is_touched(boards: Boards) -> None:
    touch(boards, "01AA00", "02BB00")
    refused = refusal(boards)
    assert refused.code == "reports-touched" and refused.message.startswith("2 reports of 2026-M ")
    assert "sluis report build --campaign 2026-M" in refused.hint
    assert boards.audit("bundle.published") == []
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7 zonder")
    assert refusal(boards).message.startswith("1 report of ")
    add_report(boards, CAMPAIGN, "02BB00", content=b"%PDF-1.7 zonder")
    assert publish_campaign(boards.home, CAMPAIGN).published == 2


def test_a_touched_report_that_goes_to_nobody_is_in_nobodys_way(boards: Boards) -> None:
    touch(boards, "02BB00")
    with boards.home.ledger.change("test") as change:
        change.session.delete(change.session.get_one(Enrolment, (CAMPAIGN, "22222")))
    done = publish_campaign(boards.home, CAMPAIGN)
    assert (done.published, [row["school"] for row in done.left_out]) == (1, ["02BB00"])


def test_nothing_is_published_while_a_withdrawal_is_pending(boards: Boards) -> None:
    with boards.home.ledger.change("test") as change:
        change.session.add(PendingWithdrawal(person="p1-x", campaign=CAMPAIGN, asked_at=START))
    assert refusal(boards).code == "objections-pending"


def test_an_objection_that_comes_while_bundles_are_made_releases_none_of_them(boards: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is carried out: once released they would be seen at once, where the moment of publication has passed."""
    make = publishing._make

    def meanwhile(*arguments: object) -> Bundle:
        monkeypatch.undo()
        with boards.home.ledger.change("worker") as change:
            change.session.add(PendingWithdrawal(person="p1-x", campaign=CAMPAIGN, asked_at=START))
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "_make", meanwhile)
    assert refusal(boards).code == "objections-pending"
    assert boards.audit("bundle.published") == []


@pytest.mark.parametrize("rebuilt", [False, True])
def test_what_is_touched_while_bundles_are_made_is_not_released(boards: Boards, rebuilt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An objection is carried out between the reading of the reports and the release of the bundles that hold them."""
    make = publishing._make

    def meanwhile(*arguments: object) -> Bundle:
        made = make(*arguments)  # type: ignore[arg-type]
        if made.board == "22222":
            touch(boards, "01AA00")
            if rebuilt:
                add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7 zonder")
        return made

    monkeypatch.setattr(publishing, "_make", meanwhile)
    assert refusal(boards).code == ("reports-changed" if rebuilt else "reports-touched")
    assert boards.audit("bundle.published") == []
    monkeypatch.undo()
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7 zonder")
    assert publish_campaign(boards.home, CAMPAIGN).published == 2


def test_a_country_of_touched_reports_asks_no_more_of_the_database_than_one(boards: Boards) -> None:
    """Bundles are read once, whatever the number of reports; 6,000 times 850 take minutes, in which nobody else changes a thing."""
    publish_campaign(boards.home, CAMPAIGN)
    seen: list[str] = []
    event.listen(boards.home.ledger.engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    touch(boards, "01AA00", "01AA01", "02BB00")
    assert sum("FROM bundle" in statement and statement.startswith("SELECT") for statement in seen) == 1
    assert [row.object for row in boards.audit("bundle.withdrawn")] == ["11111", "22222"], "one that holds two of them once"


def test_a_withdrawal_by_command_completes_what_the_sweep_left(boards: Boards) -> None:
    publish_campaign(boards.home, CAMPAIGN)
    touch(boards, "02BB00")
    gone = boards.bundle("22222")
    assert withdraw_campaign(boards.home, CAMPAIGN, "22222") == 0
    assert not boards.home.mortal.exists("bundles", gone.id)


def test_which_schools_lost_results_since_they_were_read(boards: Boards) -> None:
    drops = [received(boards.home.ledger, number, vendor="volgsysteem") for number in range(3)]
    with boards.home.ledger.change("test") as change:
        for number, (drop, schools) in enumerate(zip(drops, (["01AA00", "02BB00"], ["01AA01"], ["01AA01"]), strict=True)):
            change.session.add_all(DropSchool(drop=drop.id, school=school, rows=1, pupils=1) for school in schools)
            change.session.add(Part(drop=drop.id, campaign=CAMPAIGN, file=f"{CAMPAIGN}/{number}.parquet", rows=1, sha256=f"{number}"))
    with boards.home.ledger.view() as session:
        read = {part.drop: part.sha256 for part in live_results(session)}
        assert schools_changed(session, read) == set()
    with boards.home.ledger.change("test") as change:
        first, second, _ = change.session.exec(select(Part).order_by(Part.file)).all()
        first.sha256 = "another"
        change.session.add(first)
        change.session.flush()
        assert schools_changed(change.session, read) == {"01AA00", "02BB00"}
        change.session.delete(second)  # a delivery that was taken back
        change.session.flush()
        assert schools_changed(change.session, read) == {"01AA00", "02BB00", "01AA01"}
