"""What lies in `ontvangst/` after an erasure: certificate and page belong together, and are made anew when they must be."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlmodel import select

from audit import document
from gateway.drop.certificate import EPOCH_LOST, SANITISED_BY, VERIFICATION_OF_EPOCH, certificate_name
from gateway.drop.lifecycle import Effect, Event, RawEvent
from gateway.store.effects import claim_next, finish
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.losses import METHOD as LOST
from gateway.store.losses import NOT_IN_BACKUP
from gateway.store.models import EffectRow
from gateway.worker import receipts
from gateway.worker.erasure import erase
from gateway.worker.receipts import ask_final_certificates, write_receipt
from tests.support.cli import Cli, begin, deliver


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    begin(sluis, tmp_path)
    return sluis


def erased(way: Cli, number: int = 0) -> str:
    drop = deliver(way.opened(), number)
    way("drop", "erase", drop, "--reason", "x")
    return drop


def waiting(home: Home) -> list[str]:
    with home.ledger.view() as session:
        rows = session.exec(select(EffectRow).where(EffectRow.kind == Effect.RECEIPT, EffectRow.done_at == None))  # noqa: E711
        return sorted(row.drop for row in rows)


def carry_out(home: Home, drop: str) -> None:
    """Everything that waits for a drop, as the engine does it; an order to check or erase finds nothing left to do."""
    while True:
        with home.ledger.change("worker") as change:
            claimed = claim_next(change, drop)
        if claimed is None:
            return
        if claimed.kind == Effect.RECEIPT:
            write_receipt(home, drop)
        with home.ledger.change("worker") as change:
            finish(change, claimed.id or 0)


def test_a_page_is_never_that_of_an_older_certificate(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one worker typesets, another writes certificate and page of a log that has grown."""
    drop, home = erased(way), way.opened()
    typeset: Callable[[Mapping[str, Any]], bytes] = receipts.certificate_pdf

    def overtaken(found: Mapping[str, Any]) -> bytes:
        monkeypatch.setattr(receipts, "certificate_pdf", typeset)
        with home.ledger.change("administrator") as change:
            change.audit("campaign.created", "2027-M")
        write_receipt(home, drop)
        return typeset(found)

    folder = home.receipts("cito")
    before = (folder / certificate_name(drop)).read_bytes()
    monkeypatch.setattr(receipts, "certificate_pdf", overtaken)
    write_receipt(home, drop)
    now = (folder / certificate_name(drop)).read_bytes()
    assert now != before, "the other worker was there"
    assert PdfReader(folder / certificate_name(drop, "pdf")).attachments[certificate_name(drop)] == [now]


def test_certificates_are_asked_for_once_when_the_key_of_their_day_has_ended(way: Cli) -> None:
    home = way.opened()
    mine, held = erased(way, 1), deliver(home, 2)
    carry_out(home, mine)
    carry_out(home, held)
    assert ask_final_certificates(home) == 0 and waiting(home) == []
    with home.ledger.change("worker") as change:
        change.audit("epoch.destroyed", drop_of(change.session, mine).epoch.isoformat())
    assert ask_final_certificates(home) == 1 and waiting(home) == [mine], "what is still held has no certificate"
    assert ask_final_certificates(home) == 0, "it waits already"
    carry_out(home, mine)
    assert ask_final_certificates(home) == 0 and waiting(home) == []


def test_the_certificates_of_a_busy_day_are_asked_for_bit_by_bit(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What vendors deliver meanwhile must not wait behind all of them."""
    home = way.opened()
    drops = [erased(way, number) for number in range(3)]
    for drop in drops:
        carry_out(home, drop)
    with home.ledger.change("worker") as change:
        change.audit("epoch.destroyed", drop_of(change.session, drops[0]).epoch.isoformat())
    monkeypatch.setattr(receipts, "AT_ONCE", 2)
    assert [ask_final_certificates(home) for _ in range(3)] == [2, 1, 0]
    assert waiting(home) == sorted(drops)


def certificate_of(home: Home, drop: str) -> dict[str, Any]:
    found: dict[str, Any] = document.read((home.receipts("cito") / certificate_name(drop)).read_bytes())
    return found


def test_what_was_lost_before_a_restore_is_not_certified_as_erased(way: Cli, tmp_path: Path) -> None:
    """Nothing was destroyed then: the disks of the machine that was lost may still be somewhere."""
    home = way.opened()
    drop = deliver(home)
    with home.ledger.change("restore") as change:
        row = drop_of(change.session, drop)
        change.advance(row, Event.LOST)
        change.advance_raw(row, RawEvent.ERASURE_BEGUN, method=LOST)
    with home.ledger.change("restore") as change:
        change.advance_raw(drop_of(change.session, drop), RawEvent.ERASURE_VERIFIED)
    write_receipt(home, drop)
    receipt: dict[str, Any] = document.read((home.receipts("cito") / f"{drop}.json").read_bytes())
    assert (receipt["state"], receipt["certificate"]) == ("expired", None)
    assert not [path for path in home.receipts("cito").iterdir() if "certificaat" in path.name]
    assert "lost before a restore" in way.refused("audit", "prove", drop)


def test_a_days_key_that_was_lost_is_not_said_to_be_destroyed(way: Cli) -> None:
    drop, home = erased(way), way.opened()
    with home.ledger.change("restore") as change:
        epoch = drop_of(change.session, drop).epoch
        change.audit("epoch.destroyed", epoch.isoformat(), reason=NOT_IN_BACKUP)
    home.epochs.destroy(epoch)
    write_receipt(home, drop)
    found = certificate_of(home, drop)
    (key,) = [key for key in found["keys"] if key["kind"] == "epoch"]
    assert (key["destroyed_at"], key["until"]) == (None, None)
    assert EPOCH_LOST in found["nist_sp_800_88"]["notes"] and VERIFICATION_OF_EPOCH not in found["verification"]


@pytest.mark.parametrize(("actor", "by"), SANITISED_BY.items())
def test_the_certificate_names_who_erased_and_whose_gateway_it_is(way: Cli, actor: str, by: str) -> None:
    home = way.opened()
    drop = deliver(home)
    with home.ledger.change("administrator") as change:
        change.advance(drop_of(change.session, drop), Event.WINDOW_ENDED)
    erase(home, drop, actor)
    write_receipt(home, drop)
    nist = certificate_of(home, drop)["nist_sp_800_88"]
    assert nist["sanitised_by"] == nist["verified_by"] == by
    assert (nist["organisation"], nist["contact"]) == (home.config.authority.name, home.config.authority.contact)
