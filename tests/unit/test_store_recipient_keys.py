"""Which key vendors are given: a home from before the ledger kept that goes on with the key that its vendors have."""

import json
import os
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlmodel import delete

from audit import document
from gateway.drop.handed_keys import FILE, age_keys_in
from gateway.store.campaigns import create_campaign
from gateway.store.home import Home
from gateway.store.models import RecipientKey
from gateway.store.recipient_keys import handed_out, life_of, prepare_recipients, recipient_keys, rotate_recipients
from gateway.worker import recipient_keys as worker
from policies.calendar import day_of, end_of_day
from policies.recipients import Standing, standing
from tests.support.ledgers import audit_rows


def test_an_old_home_goes_on_with_the_key_that_its_vendors_have(home: Home) -> None:
    (newest,) = home.recipients.names()
    for name, year in (("20240101", 2024), ("20250101", 2025)):
        home.recipients.make(name)
        made = home.clock().replace(year=year).timestamp()
        os.utime(home.path / "mortal" / "recipients" / name, (made, made))
    with home.ledger.change("test") as change:
        change.session.exec(delete(RecipientKey))
        today = day_of(change.now)
        create_campaign(change, "2026-M", today, today, today, today + timedelta(days=30), end_of_day(today))
    public = home.recipients.public()
    assert handed_out(home) is None

    assert prepare_recipients(home) == newest and home.recipients.public() == public
    current = handed_out(home)
    assert current is not None and (current.name, current.campaign) == (newest, "2026-M")
    with home.ledger.view() as session:
        known = {key.name: standing(life_of(key), home.clock()) for key in recipient_keys(session)}
    assert known == {"20240101": Standing.OVERLAPPING, "20250101": Standing.OVERLAPPING, newest: Standing.CURRENT}
    assert [row.object for row in audit_rows(home.ledger, "key.entered")] == [f"recipients/{name}" for name in home.recipients.names()]


def test_vendors_find_the_gateways_signature_over_the_key(home: Home) -> None:
    file = home.public / FILE

    def told() -> dict[str, object]:
        said = document.read(file.read_bytes())
        document.check(said, [home.audit_verifier()])
        assert age_keys_in(said) == [home.recipients.public()]
        return said

    first = told()
    assert first["sha256"] == {"sluis.age.txt": sha256((home.public / "sluis.age.txt").read_bytes()).hexdigest()}
    rotate_recipients(home, "test", "test")
    assert told() != first
    for left in (json.dumps(first), None):  # a crash came before the signature, or somebody put back an older one
        file.unlink() if left is None else file.write_text(left)
        assert handed_out(home) is None
        prepare_recipients(home)
        assert handed_out(home) is not None and told() != first


def test_preparing_again_changes_nothing(home: Home) -> None:
    first = prepare_recipients(home)
    before = [row.id for row in audit_rows(home.ledger)]
    assert prepare_recipients(home) == first
    assert [row.id for row in audit_rows(home.ledger)] == before


def test_a_lost_key_is_said_to_be_lost_and_another_one_is_handed_out(home: Home) -> None:
    (lost,) = home.recipients.names()
    home.recipients.destroy(lost)
    assert handed_out(home) is None
    made = prepare_recipients(home)
    assert made != lost and handed_out(home) is not None
    told = [(row.action, row.object) for row in audit_rows(home.ledger, "key.")]
    assert told == [("key.lost", f"recipients/{lost}"), ("key.made", f"recipients/{made}")]


def test_a_key_that_can_not_be_overwritten_holds_up_no_other(home: Home) -> None:
    (home.path / "mortal" / "recipients" / ".gone.0123456789abcdef").mkdir()
    first = prepare_recipients(home)
    made, _ = rotate_recipients(home, "test", "test")
    assert made.name != first and prepare_recipients(home) == made.name


def test_past_its_end_a_key_ends_although_the_log_can_not_be_written(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _, old = rotate_recipients(home, "test", "test", at_once=True)

    def failing(_: Home) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "sequence", failing)
    start = home.clock()
    for days, ended in ((2, False), (22, True)):
        home.clock = home.ledger.clock = lambda days=days: start + timedelta(days=days)  # type: ignore[misc]
        done = worker.end_recipients(home)
        assert (done.gone == [old.name], old.name in home.recipients.names()) == (ended, not ended)
