"""Receipts: every field of the contract, Dutch a person understands, and only counts."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.drop.lifecycle import State
from gateway.drop.receipt import COUNTS, NOTICES, RESTORED, compose, dutch, instant
from gateway.intake.front.quota import Account, Limits
from policies.objections import may_link

#: contract.md, "A receipt"
CONTRACT = {
    "schema", "drop", "file", "sha256", "bytes", "received_at", "state", "campaign", "counts", "findings", "findings_total",
    "objection_register", "erase_before", "linked_at", "erased_at", "certificate",
}  # fmt: skip
CONTRACT_STATES = {"received", "incomplete", "rejected", "accepted", "linked", "expired"}
FACTS: dict[str, Any] = {
    "drop": "d20260220-aaaaaaaaaaaaaaaa",
    "folder": "leveringen",
    "file": "levering.csv.age",
    "sha256": "ab" * 32,
    "bytes": 1234,
    "received_at": datetime(2026, 2, 20, 22, 30, 5, 999, tzinfo=UTC),
    "state": "accepted",
    "campaign": "2026-M",
    "counts": {"rows": 100, "pupils": 20, "schools": 2, "accepted_rows": 97, "refused_rows": 3, "objected_pupils": 1},
    "findings": [],
    "findings_total": 0,
    "waiting_for": [],
    "objection_register": {"01AA00": 2},
    "erase_before": datetime(2026, 3, 13, 22, 30, 5, tzinfo=UTC),
    "linked_at": None,
    "erased_at": None,
    "certificate": None,
}


def receipt(**changes: Any) -> dict[str, Any]:
    return compose(**{**FACTS, **changes})


def test_a_receipt_has_every_field_of_the_contract() -> None:
    made = receipt()
    assert made.keys() >= CONTRACT
    assert made.keys() - CONTRACT == {"folder", "waiting_for", "request"}
    assert set(made["counts"]) == set(COUNTS) == {"rows", "pupils", "schools", "accepted_rows", "refused_rows", "objected_pupils"}
    assert json.loads(json.dumps(made)) == made, "it is plain JSON"
    assert made["received_at"] == "2026-02-20T22:30:05Z" and made["linked_at"] is None


def test_counts_that_are_not_known_yet_are_zero_and_others_stay_inside() -> None:
    made = receipt(counts={"rows": 7, "linking_pupils": 5})
    assert made["counts"] == dict.fromkeys(COUNTS, 0) | {"rows": 7}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("folder", ["leveringen", "bezwaren"])
def test_every_state_has_a_text_and_a_name_of_the_contract(state: State, folder: str) -> None:
    made = receipt(state=state.value, folder=folder)
    assert made["state"] in CONTRACT_STATES
    text = dutch(made)
    assert text.startswith("ONTVANGSTBEWIJS\n") and text.endswith("\n")
    assert "Levering       d20260220-aaaaaaaaaaaaaaaa" in text
    if folder == "bezwaren" and state is State.REGISTERED:
        assert "Uw bezwaarregister is verwerkt." in text and "koppeling" not in text


def test_the_text_tells_time_as_in_amsterdam() -> None:
    text = dutch(receipt(erased_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC), certificate="d.certificaat.json"))
    assert "Ontvangen      20-02-2026 23:30 (1234 bytes)" in text
    assert "Gekoppeld      nog niet" in text
    assert "Gewist         01-03-2026 13:00 (uiterlijk 13-03-2026 23:30)" in text
    assert "Certificaat    d.certificaat.json" in text


def test_the_text_has_the_counts_and_says_what_objections_did() -> None:
    text = dutch(receipt())
    assert "Rijen          100 (goed 97, geweigerd 3)" in text
    assert "Leerlingen     20 van 2 scholen" in text
    assert "Met bezwaar    1 leerlingen, hun rijen zijn niet gebruikt" in text
    assert "Certificaat" not in text and "Bevindingen" not in text
    assert "Campagne       onbekend" in dutch(receipt(campaign=None))


def test_what_a_drop_waits_for_is_said_in_dutch() -> None:
    text = dutch(receipt(waiting_for=["objection-window", "objection-register 01AA00", "person-register"]))
    assert "  Wacht: de bezwaartermijn loopt nog.\n" in text
    assert "  Wacht: nog geen bezwaarregister ontvangen van school 01AA00.\n" in text
    assert "  Wacht: het persoonsregister is nog niet beschikbaar.\n" in text
    assert "  Wacht: iets anders.\n" in dutch(receipt(waiting_for=["iets anders"]))


def test_an_expired_drop_says_why_and_no_longer_waits() -> None:
    remark = {"row": None, "column": None, "rule": "window-ended", "message": "De bewaartermijn eindigde."}
    finding = {"row": 3, "column": None, "rule": "row-short", "message": "Deze rij is te kort."}
    made = receipt(state="expired", remarks=[remark], findings=[finding], findings_total=1, waiting_for=["objection-window"])
    assert made["findings"] == [remark, finding] and made["findings_total"] == 2
    assert made["waiting_for"] == ["objection-window"], "programs read why here"
    text = dutch(made)
    assert "Wacht:" not in text and "  window-ended: De bewaartermijn eindigde.\n" in text


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("last_call", [True, False])
def test_every_reason_of_the_policy_has_a_dutch_text(ended: bool, last_call: bool) -> None:
    decision = may_link(ended, {"01AA00": False, "02BB00": True}, last_call)
    for reason in decision.waiting_for:
        text = dutch(receipt(waiting_for=[reason]))
        assert reason.partition(" ")[0] not in text, "a code instead of a sentence"


def test_findings_are_told_with_their_place() -> None:
    findings = [
        {"row": 12, "column": "bsn", "rule": "bsn-elfproef", "message": "Dit nummer voldoet niet aan de elfproef."},
        {"row": None, "column": "score", "rule": "column-missing", "message": "Deze kolom ontbreekt."},
        {"row": 3, "column": None, "rule": "row-short", "message": "Deze rij is te kort."},
        {"row": None, "column": None, "rule": "truncated", "message": "Het bestand houdt te vroeg op."},
    ]
    text = dutch(receipt(state="rejected", findings=findings, findings_total=4))
    assert "Bevindingen: 4:\n" in text
    assert "  bsn-elfproef (rij 12, kolom bsn): Dit nummer" in text
    assert "  column-missing (kolom score): " in text
    assert "  row-short (rij 3): " in text
    assert "  truncated: Het bestand" in text
    assert "Bevindingen: 900, de eerste 4:\n" in dutch(receipt(findings=findings, findings_total=900))


def test_an_instant_is_utc_in_whole_seconds() -> None:
    assert instant(None) is None
    assert instant(datetime.fromisoformat("2026-07-01T00:15:30.75+02:00")) == "2026-06-30T22:15:30Z"


def test_limits_that_come_near_are_findings_without_a_row() -> None:
    found = {"row": 3, "column": "score", "rule": "score-range", "message": "De score ligt buiten het bereik."}
    made = receipt(findings=[found], findings_total=7, notices=list(NOTICES), request="rabcdefghijkl")
    told = made["findings"]
    assert [one["rule"] for one in told] == [*NOTICES, "score-range"]
    assert all(one["row"] is None and one["column"] is None for one in told[:-1]) and told[-1] == found
    assert made["findings_total"] == 7 + len(NOTICES)
    text = dutch(made)
    assert "aanvraag rabcdefghijkl" in text and all(f"  {code}: {NOTICES[code]}" in text for code in NOTICES)


def test_the_intake_and_the_receipt_know_the_same_notices() -> None:
    full = Account(Limits(1, 1, 1, 1, 1, 1, 1, 1, 0), date(2026, 2, 20))
    full.begin("u")
    full.allow("u", 1)
    full.delivered("u", 1, date(2026, 2, 20))
    assert full.notices(1) == [code for code in NOTICES if code != RESTORED]
