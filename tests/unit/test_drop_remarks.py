"""What a receipt says of the window's end: only what helps, in Dutch, whatever the drop waited for."""

from datetime import UTC, date, datetime

import pytest

from gateway.drop.remarks import (
    MOST_DROPS,
    MOST_SCHOOLS,
    delivered_anew,
    ended_on_request,
    replaced,
    window_ended,
    window_near,
    withdrawals,
    withdrawn,
)

DEADLINE = datetime(2026, 3, 13, 22, 30, tzinfo=UTC)
CONTACT = "info@sluis.example"


def ended(was: str = "accepted", waiting_for: tuple[str, ...] = (), campaign: str | None = "2026-M") -> str:
    (remark,) = window_ended(DEADLINE, was, waiting_for, campaign, date(2026, 4, 1) if campaign else None, CONTACT)
    assert remark.keys() == {"row", "column", "rule", "message"} and remark["rule"] == "window-ended"
    assert remark["row"] is None and remark["column"] is None
    return str(remark["message"])


def test_before_the_end_it_says_what_can_still_be_done_in_time() -> None:
    (remark,) = window_near(DEADLINE, ["objection-window", "objection-register 01AA00", "objection-register 02BB00"], incomplete=False)
    assert remark["rule"] == "window-near"
    assert "eindigt op 13-03-2026 23:30." in remark["message"], "as clocks in Amsterdam show it"
    assert "wacht op het bezwaarregister van 01AA00, 02BB00:" in remark["message"]
    (remark,) = window_near(DEADLINE, [], incomplete=True)
    assert "opnieuw aan onder dezelfde naam" in remark["message"]


@pytest.mark.parametrize("waiting_for", [[], ["objection-window"], ["person-register"], ["objection-window", "person-register"]])
def test_what_the_vendor_can_do_nothing_about_is_not_laid_before_it(waiting_for: list[str]) -> None:
    assert window_near(DEADLINE, waiting_for, incomplete=False) == []


def test_after_the_end_it_says_why_until_when_to_deliver_anew_and_whom_to_ask() -> None:
    text = ended(waiting_for=("objection-register 01AA00",))
    assert "eindigde op 13-03-2026 23:30 voordat deze levering gekoppeld was: het bezwaarregister van 01AA00 ontbrak nog." in text
    assert "Tot en met 01-04-2026 kunt u voor 2026-M leveren" in text and "onder een nieuwe naam" in text
    assert "Laat eerst het bezwaarregister inleveren." in text and text.endswith(f"Vragen: {CONTACT}.")


@pytest.mark.parametrize(
    ("was", "waiting_for", "because"),
    [
        ("accepted", ("objection-window", "person-register"), "de bezwaartermijn liep nog en het persoonsregister was er nog niet."),
        ("accepted", (), "zij was goedgekeurd en nog niet gekoppeld."),
        ("received", (), "zij was nog niet gecontroleerd; dat lag aan ons."),
        ("incomplete", (), "zij was niet compleet aangekomen, en is niet opnieuw geleverd."),
        ("", ("something new",), "zij was nog niet gekoppeld."),
    ],
)
def test_every_reason_is_a_sentence(was: str, waiting_for: tuple[str, ...], because: str) -> None:
    assert f"gekoppeld was: {because}" in ended(was, waiting_for)


def test_without_a_campaign_no_day_is_promised() -> None:
    assert "als de leveringsronde nog loopt" in ended("incomplete", campaign=None)
    assert "Tot en met" not in ended("incomplete", campaign=None)


def test_many_schools_are_counted() -> None:
    many = tuple(f"objection-register {number:02}AA00" for number in range(MOST_SCHOOLS + 3))
    text = ended(waiting_for=many)
    assert "09AA00 en nog 3 scholen ontbrak" in text and "10AA00" not in text


def test_other_ends_are_told_apart() -> None:
    (remark,) = delivered_anew()
    assert remark["rule"] == "delivered-anew" and "U hoeft niets te doen." in remark["message"]
    (remark,) = ended_on_request("2026-M", date(2026, 4, 1), CONTACT)
    assert remark["rule"] == "erased-on-request" and "laten wissen" in remark["message"] and CONTACT in remark["message"]


def test_which_results_count_is_said_from_both_sides() -> None:
    pairs = [("b", "a", 1), ("c", "b", 20)]
    assert [(one["rule"], one["message"]) for one in replaced("b", pairs)] == [
        ("replaces", "1 resultaat vervangt dat van levering a."),
        ("replaced", "20 resultaten zijn vervangen door levering c."),
    ]
    assert [one["message"] for one in replaced("a", pairs[:1])] == ["1 resultaat is vervangen door levering b."]
    assert replaced("a", []) == []
    (many,) = replaced("z", [("z", f"d{number}", 2) for number in range(MOST_DROPS + 3)])
    assert many["message"].count("resultaten") == MOST_DROPS and many["message"].endswith("; en zo nog van 3 leveringen.")


def test_who_took_a_delivery_back_and_why_is_said() -> None:
    until = date(2026, 4, 1)
    (mine,) = withdrawn("d20260220-x", "onjuist", True, "2026-M", until, CONTACT)
    assert mine["rule"] == "withdrawn" and mine["message"] == (
        "U hebt deze levering ingetrokken met levering d20260220-x (reden: onjuist). Haar resultaten zijn verwijderd. "
        "Wat zij verving, geldt weer."
    )
    (theirs,) = withdrawn("", "op verzoek van de school", False, "2026-M", until, CONTACT)
    assert theirs["message"].startswith(
        "De beheerder heeft deze levering ingetrokken. Zij wordt niet gekoppeld. Tot en met 01-04-2026 kunt u"
    )
    assert theirs["message"].endswith(f"Vragen: {CONTACT}.") and "op verzoek" not in theirs["message"], (
        "an administrator writes for the log"
    )


def test_how_many_a_withdrawal_took_back_is_said() -> None:
    texts = [withdrawals(count)[0]["message"] for count in (0, 1, 2)]
    assert [text.partition(" ingetrokken.")[0] for text in texts] == ["0 leveringen zijn", "1 levering is", "2 leveringen zijn"]
