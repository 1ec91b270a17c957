"""Campaigns, who takes part in them, and whose a school was on a day."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlmodel import select

from gateway.store.campaigns import (
    Standing,
    campaign_for,
    campaign_of,
    campaigns,
    create_campaign,
    enrol,
    enrolment_counts,
    enrolments,
    sign_up_of,
    standings,
)
from gateway.store.ledger import Ledger
from gateway.store.models import Mandate
from gateway.store.vendors import remove_vendor
from policies.enrolment import CONTRACT, FORM, Reports
from policies.errors import NotFound, Refused
from policies.retention import WINDOW_DAYS
from tests.support.ledgers import CAMPAIGN, DEADLINE, Clock, audit_rows, populate

DAY = date(2026, 2, 20)
BEFORE, AFTER = date(2026, 1, 10), date(2026, 1, 16)


@pytest.fixture
def populated(ledger: Ledger) -> Ledger:
    with ledger.change("administrator") as change:
        populate(change)
    return ledger


def make(ledger: Ledger, name: str, **days: Any) -> None:
    usual = {
        "enrol_until": date(2026, 6, 15), "objections_from": date(2026, 6, 22), "objections_until": date(2026, 7, 1),
        "deliver_until": date(2026, 8, 1), "publish_from": datetime(2026, 10, 1, 7, 0, tzinfo=UTC),
    }  # fmt: skip
    with ledger.change("administrator") as change:
        create_campaign(change, name, **{**usual, **days})


def sign_up(ledger: Ledger, board: str = "10001", contract: date | None = BEFORE, form: date | None = BEFORE, vendor: str = "cito") -> bool:
    with ledger.change("administrator") as change:
        return sign_up_of(enrol(change, board, CAMPAIGN, vendor, contract, form)).final_on is not None


def standing(ledger: Ledger, school: str, day: date = DAY) -> Standing | None:
    with ledger.view() as session:
        return standings(session, campaign_of(session, CAMPAIGN), day).get(school)


def test_a_campaign_keeps_its_days_and_is_told(populated: Ledger) -> None:
    with populated.view() as session:
        found = campaign_of(session, CAMPAIGN)
    assert (found.enrol_until, found.deliver_until) == (DEADLINE, date(2026, 4, 1))
    assert found.publish_from == datetime(2026, 6, 1, 7, 0, tzinfo=UTC)
    (row,) = audit_rows(populated, "campaign.created")
    assert row.object == CAMPAIGN and row.detail["objections_until"] == "2026-02-15"


def test_a_campaigns_name_is_taken_once(populated: Ledger) -> None:
    with pytest.raises(Refused) as refusal:
        make(populated, CAMPAIGN)
    assert refusal.value.code == "campaign-exists"
    assert len(audit_rows(populated, "campaign.created")) == 1


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "é", "x" * 41, "2026\n", "-dry"])
def test_a_campaigns_name_fits_an_address_and_a_folder(populated: Ledger, name: str) -> None:
    with pytest.raises(Refused) as refusal:
        make(populated, name)
    assert refusal.value.code == "campaign-name"


@pytest.mark.parametrize(
    "days",
    [
        {"enrol_until": date(2026, 6, 23)},
        {"objections_until": date(2026, 6, 21)},
        {"objections_from": date(2026, 7, 2)},
    ],
)
def test_days_out_of_order_are_refused(populated: Ledger, days: dict[str, date]) -> None:
    with pytest.raises(Refused) as refusal:
        make(populated, "2026-E", **days)
    assert refusal.value.code == "campaign-days-disordered"
    with populated.view() as session:
        assert [found.name for found in campaigns(session)] == [CAMPAIGN]


def test_days_may_coincide(populated: Ledger) -> None:
    same = date(2026, 6, 15)
    make(populated, "2026-E", enrol_until=same, objections_from=same, objections_until=same)


def test_a_delivery_belongs_to_the_campaign_that_ends_first_after_it(populated: Ledger) -> None:
    make(populated, "2026-E")
    with populated.view() as session:
        for day, expected in (
            (date(2026, 1, 14), None),  # nobody took enrolments yet
            (DEADLINE, CAMPAIGN),  # too early, and that is for the checks to say
            (date(2026, 4, 1), CAMPAIGN),
            (date(2026, 4, 2), CAMPAIGN),  # too late, and that is for the checks to say
            (date(2026, 6, 15), "2026-E"),
            (date(2027, 1, 1), "2026-E"),
        ):
            found = campaign_for(session, day, WINDOW_DAYS)
            assert (found.name if found else None) == expected, day


def test_an_overlapping_campaign_does_not_take_what_is_still_for_the_earlier(populated: Ledger) -> None:
    make(
        populated, "b", enrol_until=date(2026, 3, 1), objections_from=date(2026, 3, 1), objections_until=date(2026, 3, 2),
        deliver_until=date(2026, 5, 1),
    )  # fmt: skip
    with populated.view() as session:
        found = [campaign_for(session, date(2026, month, 1), WINDOW_DAYS) for month in (3, 4, 5)]
    assert [campaign.name for campaign in found if campaign] == [CAMPAIGN, CAMPAIGN, "b"]


@pytest.mark.parametrize(
    ("contract", "form", "missing", "reports"),
    [
        (BEFORE, BEFORE, "", Reports.GROWTH),
        (DEADLINE, DEADLINE, "", Reports.GROWTH),
        (None, BEFORE, CONTRACT, Reports.NOTHING),
        (BEFORE, None, FORM, Reports.NOTHING),
        (None, None, f"{CONTRACT} en {FORM}", Reports.NOTHING),
        (AFTER, BEFORE, "", Reports.REGULAR),
        (BEFORE, AFTER, "", Reports.REGULAR),
    ],
)
def test_a_sign_up_is_final_with_contract_and_form_and_its_date_decides_what_it_gives(
    populated: Ledger, contract: date | None, form: date | None, missing: str, reports: Reports
) -> None:
    assert sign_up(populated, contract=contract, form=form) is (missing == "")
    assert standing(populated, "01AA00") == Standing("01AA00", "10001", "bo", missing == "", "cito", missing, reports)
    assert standing(populated, "02BB00") == Standing("02BB00", "10002", "bo", False, None)


def test_a_sign_up_is_final_from_the_day_of_its_second_paper(populated: Ledger) -> None:
    """A drop of the day before was of a board that had not enrolled."""
    sign_up(populated, contract=BEFORE, form=AFTER)
    before, after = standing(populated, "01AA00", DEADLINE), standing(populated, "01AA00", AFTER)
    assert before is not None and (before.enrolled, before.missing) == (False, FORM)
    assert after is not None and (after.enrolled, after.missing) == (True, "")


@pytest.mark.parametrize("papers", [{"contract": date(2026, 2, 21)}, {"form": date(2026, 2, 21)}])
def test_a_paper_of_a_day_to_come_is_refused(populated: Ledger, papers: dict[str, date]) -> None:
    with pytest.raises(Refused) as refusal:
        sign_up(populated, **papers)
    assert refusal.value.code == "enrolment-day-ahead"


def test_the_second_paper_completes_the_first_and_loses_nothing(populated: Ledger, clock: Clock) -> None:
    assert not sign_up(populated, contract=BEFORE, form=None)
    clock.forward(days=1)
    assert sign_up(populated, contract=None, form=DEADLINE)
    with populated.view() as session:
        (row,) = enrolments(session, CAMPAIGN)
        assert (row.contract_on, row.form_on) == (BEFORE, DEADLINE)
        assert enrolment_counts(session) == {CAMPAIGN: 1}
    assert [row.detail["form_on"] for row in audit_rows(populated, "enrolment.")] == [None, "2026-01-15"]


def test_consent_through_another_vendor_replaces_the_first(populated: Ledger) -> None:
    sign_up(populated)
    sign_up(populated, vendor="parnassys")
    found = standing(populated, "01AA00")
    assert found is not None and found.vendor == "parnassys"


def test_only_the_board_that_signed_up_takes_part(populated: Ledger) -> None:
    sign_up(populated)
    taking_part = {code: standing(populated, code) for code in ("01AA00", "01AB00", "02BB00")}
    assert [found.enrolled for found in taking_part.values() if found] == [True, True, False]


@pytest.mark.parametrize(("board", "vendor", "code"), [("99999", "cito", "no-such-board"), ("10001", "nobody", "no-such-vendor")])
def test_an_unknown_board_or_vendor_is_refused(populated: Ledger, board: str, vendor: str, code: str) -> None:
    with pytest.raises(NotFound) as missing:
        sign_up(populated, board=board, vendor=vendor)
    assert missing.value.code == code
    with populated.view() as session:
        assert enrolments(session, CAMPAIGN) == []


def test_a_vendor_that_was_removed_takes_no_consent(populated: Ledger) -> None:
    with populated.change("administrator") as change:
        remove_vendor(change, "cito")
    with pytest.raises(NotFound) as missing:
        sign_up(populated)
    assert missing.value.code == "no-such-vendor"


def test_an_unknown_campaign_is_refused(populated: Ledger) -> None:
    with pytest.raises(NotFound), populated.change("administrator") as change:
        enrol(change, "10001", "2031-M", "cito", BEFORE, BEFORE)


def test_a_schools_standing_follows_its_mandates_over_time(populated: Ledger) -> None:
    """The school moves from board 10002 to 10001 on 1 March; it comes from nowhere before 2010."""
    sign_up(populated)
    moved = date(2026, 3, 1)
    with populated.change("administrator") as change:
        mandate = next(row for row in change.session.exec(_mandates("02BB00")))
        mandate.valid_until = moved
        change.session.add(Mandate(school="02BB00", board="10001", valid_from=moved))
    for day, board, enrolled in ((date(2026, 2, 28), "10002", False), (moved, "10001", True), (date(2030, 1, 1), "10001", True)):
        found = standing(populated, "02BB00", day)
        assert found is not None and (found.board, found.enrolled) == (board, enrolled), day
    assert standing(populated, "02BB00", date(2010, 7, 31)) is None


def test_a_school_without_a_mandate_has_no_standing(populated: Ledger) -> None:
    with populated.change("administrator") as change:
        for mandate in change.session.exec(_mandates("01AB00")):
            mandate.valid_until = DAY
    assert standing(populated, "01AB00", date(2026, 2, 19)) is not None
    assert standing(populated, "01AB00") is None


def _mandates(school: str) -> Any:
    return select(Mandate).where(Mandate.school == school)
