"""What lies in `ontvangst/` after an erasure: certificate and page belong together, and are made anew when they must be."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlmodel import select

from gateway.drop.certificate import certificate_name
from gateway.drop.lifecycle import Effect
from gateway.store.effects import claim_next, finish
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import EffectRow
from gateway.worker import receipts
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
