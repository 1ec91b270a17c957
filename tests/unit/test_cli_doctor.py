"""The doctor: healthy at first, and each of its findings can turn bad, with what to do."""

import json
from collections.abc import Callable
from datetime import UTC, timedelta

import pytest
from sqlmodel import select

from gateway.cli import doctor
from gateway.drop.lifecycle import Event, RawEvent
from gateway.store.auditing import sequence
from gateway.store.effects import retry_later
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import Campaign, EffectRow, PendingWithdrawal
from gateway.store.rules import additions_file
from keys.signing import new_tls
from tests.support.cli import Cli, deliver
from tests.support.machines import gateway_time_ahead

Damage = Callable[[Home, pytest.MonkeyPatch], None]


def findings(sluis: Cli) -> tuple[int, dict[str, dict[str, object]]]:
    status, out, _ = sluis.run("--json", "doctor")
    return status, {row["check"]: row for row in json.loads(out)}


def clock_set_back(home: Home, _: pytest.MonkeyPatch) -> None:
    gateway_time_ahead(home.path, timedelta(minutes=10))


def disk_full(_: Home, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor, "LEAST_FREE_BYTES", 2**62)


def overdue(home: Home, _: pytest.MonkeyPatch) -> None:
    deliver(home, age_days=22, campaign=None)


def half_erased(home: Home, _: pytest.MonkeyPatch) -> None:
    drop = deliver(home, campaign=None)
    with home.ledger.change("worker") as change:
        found = drop_of(change.session, drop)
        change.advance(found, Event.CHECKS_FAILED)
        change.advance_raw(found, RawEvent.ERASURE_BEGUN)


def nobody_works(home: Home, _: pytest.MonkeyPatch) -> None:
    deliver(home, campaign=None)
    with home.ledger.change("test") as change:
        for effect in change.session.exec(select(EffectRow)):
            effect.due_at = change.now - timedelta(minutes=16)


def failing(home: Home, _: pytest.MonkeyPatch) -> None:
    drop = deliver(home, campaign=None)
    with home.ledger.change("worker") as change:
        effect = change.session.exec(select(EffectRow).where(EffectRow.drop == drop)).first()
        assert effect is not None and effect.id is not None
        for _attempt in range(3):
            retry_later(change, effect.id, "disk-full")


def no_epoch(home: Home, _: pytest.MonkeyPatch) -> None:
    home.epochs.destroy((home.clock().astimezone(UTC) + timedelta(days=1)).date())


def certificate_ends(home: Home, _: pytest.MonkeyPatch) -> None:
    (home.public / "portal.pem").write_bytes(new_tls(["localhost"], home.clock() + timedelta(days=29))[1])


def log_touched(home: Home, _: pytest.MonkeyPatch) -> None:
    sequence(home)
    tile = next(path for path in (home.path / "audit").rglob("*") if path.is_file() and "entries" in path.parts)
    tile.write_bytes(tile.read_bytes().replace(b"home.created", b"home.creatod"))


def key_lost(home: Home, _: pytest.MonkeyPatch) -> None:
    home.mortal.destroy("drops", deliver(home, campaign=None))


def recipient_not_handed_out(home: Home, _: pytest.MonkeyPatch) -> None:
    (home.public / "sluis.age.txt").unlink()


def scanner_away(home: Home, _: pytest.MonkeyPatch) -> None:
    configured = (home.path / "sluis.toml").read_text()
    (home.path / "sluis.toml").write_text(configured.replace('clamd_socket = ""', f'clamd_socket = "{home.path}/none"'))


def rules_wrong(home: Home, _: pytest.MonkeyPatch) -> None:
    additions_file(home).write_text("objecting_pupils = 1\n")


def withdrawal_stuck(home: Home, _: pytest.MonkeyPatch) -> None:
    with home.ledger.change("test") as change:
        day = change.now.date()
        change.session.add(
            Campaign(
                name="m",
                enrol_until=day,
                objections_from=day,
                objections_until=day,
                deliver_until=day,
                publish_from=change.now,
                created_at=change.now,
            )
        )
        change.session.flush()
        change.session.add(PendingWithdrawal(person="p1-x", campaign="m", asked_at=change.now - timedelta(minutes=16)))


DAMAGES: dict[str, Damage] = {
    "clock": clock_set_back,
    "disk": disk_full,
    "retention": overdue,
    "erasure": half_erased,
    "worker": nobody_works,
    "failures": failing,
    "epoch keys": no_epoch,
    "recipient key": recipient_not_handed_out,
    "objections": withdrawal_stuck,
    "malware scan": scanner_away,
    "rules": rules_wrong,
    "TLS certificate": certificate_ends,
    "audit log": log_touched,
    "consistency": key_lost,
}


def test_a_new_home_is_healthy_and_every_check_is_there(sluis: Cli) -> None:
    status, found = findings(sluis)
    assert status == 0 and all(row["ok"] for row in found.values())
    assert set(found) == {"home", "register of schools", "register of persons", "checkpoints", *DAMAGES}
    assert found["register of schools"]["do"], "what is missing is said, though nothing is wrong"
    status, out, _ = sluis.run("doctor")
    assert status == 0 and "GiB free" in out


@pytest.mark.parametrize("check", DAMAGES)
def test_each_check_can_turn_bad_and_says_what_to_do(sluis: Cli, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    home = sluis.opened()
    findings(sluis)  # so that the log and its folder are there
    DAMAGES[check](home, monkeypatch)
    status, found = findings(sluis)
    bad = {name for name, row in found.items() if not row["ok"]}
    assert status == 3 and check in bad and found[check]["do"]
    # an overdue drop's effects are late too; nothing else may be drawn along
    assert bad - {check} <= ({"worker"} if check == "retention" else set())


def test_the_failures_are_named_by_their_codes(sluis: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    home = sluis.opened()
    failing(home, monkeypatch)
    assert "disk-full" in str(findings(sluis)[1]["failures"]["says"])


def test_an_overdue_epoch_key_is_found(sluis: Cli) -> None:
    home = sluis.opened()
    home.epochs.ensure((home.clock() - timedelta(days=23)).date())
    status, found = findings(sluis)
    assert status == 3 and "1 epoch keys are overdue" in str(found["retention"]["says"])
    sluis("retention", "run")
    assert findings(sluis)[1]["retention"]["ok"]
