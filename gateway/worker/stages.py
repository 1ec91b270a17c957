"""What a drop's effects do: check, link, erase, receipt. Each reads the ledger, calls a stage, writes the ledger; each may be
repeated, and finds out from the ledger that it was done already.
"""

from collections.abc import Callable

from gateway.drop.lifecycle import Effect
from gateway.worker.checking import check
from gateway.worker.erasure import erase
from gateway.worker.linking import link
from gateway.worker.reading import Work
from gateway.worker.receipts import write_receipt


def carry_out(work: Work, effect: Effect, drop_id: str) -> None:
    """Do one effect of one drop."""
    effects: dict[Effect, Callable[[Work, str], None]] = {
        Effect.CHECK: check,
        Effect.LINK: link,
        Effect.ERASE: lambda work, drop_id: erase(work.home, drop_id),
        Effect.RECEIPT: lambda work, drop_id: write_receipt(work.home, drop_id),
    }
    effects[effect](work, drop_id)
