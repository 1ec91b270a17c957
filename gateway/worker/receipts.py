"""Writes a drop's receipt: `ontvangst/<drop>.json` and `.txt`, signed, again whenever the drop goes on."""

from gateway.drop import receipt
from gateway.drop.lifecycle import Raw
from gateway.store.drops import drop_schools
from gateway.store.durable import make_folder, replace_durably
from gateway.store.home import Home
from gateway.store.ledger import drop_of


def certificate_name(drop_id: str) -> str:
    return f"{drop_id}.certificaat.json"


def write_receipt(home: Home, drop_id: str) -> None:
    """Rewrite both files from what the ledger says now. The drop's row stays locked meanwhile, so an older receipt never
    replaces a newer one."""
    with home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        schools = drop_schools(change.session, drop_id)
        document = receipt.compose(
            drop=drop.id,
            folder=drop.folder,
            file=drop.file_name,
            sha256=drop.sha256,
            bytes=drop.bytes,
            received_at=drop.received_at,
            state=drop.state,
            campaign=drop.campaign,
            counts=drop.counts,
            findings=drop.findings,
            findings_total=drop.findings_total,
            waiting_for=drop.waiting_for,
            objection_register={school.school: school.objection_register for school in schools},
            erase_before=drop.erase_before,
            linked_at=drop.linked_at,
            erased_at=drop.erased_at,
            certificate=certificate_name(drop.id) if drop.raw == Raw.ERASED else None,
        )
        document["signature"] = home.audit_signer().signature(receipt.signed_text(document)).line
        folder = home.receipts(drop.vendor)
        make_folder(folder)
        replace_durably(folder / f"{drop.id}.txt", receipt.dutch(document).encode())
        replace_durably(folder / f"{drop.id}.json", receipt.serialise(document))
