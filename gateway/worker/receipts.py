"""Writes what a vendor finds in `ontvangst/`: the signed receipt, again whenever the drop goes on, and once at the end the certificate."""

from datetime import UTC, datetime, time, timedelta
from importlib.metadata import version

from sqlmodel import Session, col, select

from audit import document
from audit.canonical import Json
from audit.certificate import DeadKey, Erasure, certificate
from gateway.drop import receipt
from gateway.drop.lifecycle import Raw
from gateway.store.auditing import sequence
from gateway.store.drops import drop_schools
from gateway.store.durable import make_folder, replace_durably
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import AuditRow, Drop
from policies.errors import NotFound

#: what was done to see that it is gone, as the certificate says it
VERIFICATION = (
    "The drop key's file and the encrypted file were looked for after removal and not found.",
    "The folder was synchronised to disk after each removal.",
)


def certificate_name(drop_id: str) -> str:
    return f"{drop_id}.certificaat.json"


def write_receipt(home: Home, drop_id: str) -> None:
    """Rewrite the receipt from what the ledger says now, with the certificate once the bytes are erased.

    The drop's row stays locked meanwhile, so that an older receipt never replaces a newer one.
    """
    sequence(home)  # a certificate points at its entry in the log
    with home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        schools = drop_schools(change.session, drop_id)
        folder = home.receipts(drop.vendor)
        make_folder(folder)
        if drop.raw == Raw.ERASED:
            replace_durably(folder / certificate_name(drop_id), document.write(erasure_certificate(home, change.session, drop)))
        said = receipt.compose(
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
            request=drop.request,
            notices=drop.notices,
            waiting_for=drop.waiting_for,
            objection_register={school.school: school.objection_register for school in schools},
            erase_before=drop.erase_before,
            linked_at=drop.linked_at,
            erased_at=drop.erased_at,
            certificate=certificate_name(drop.id) if drop.raw == Raw.ERASED else None,
        )
        replace_durably(folder / f"{drop.id}.txt", receipt.dutch(said).encode())
        replace_durably(folder / f"{drop.id}.json", document.write(document.sign(said, home.audit_signer())))


def erasure_certificate(home: Home, session: Session, drop: Drop) -> dict[str, Json]:
    """The signed certificate of a drop whose bytes are erased; NotFound before that, or before the log has the entry."""
    row = session.exec(
        select(AuditRow).where(AuditRow.object == drop.id, AuditRow.action == "drop.erasure-verified").order_by(col(AuditRow.id))
    ).first()
    if drop.erased_at is None or row is None or row.leaf is None:
        raise NotFound("not-erased-yet", "This drop's bytes are not erased yet.", "`sluis drop show` tells where it stands.")
    log = home.audit_log()
    return certificate(
        Erasure(
            drop=drop.id,
            vendor=drop.vendor,
            sha256=drop.sha256,
            bytes=drop.bytes,
            received_at=drop.received_at,
            linked_at=drop.linked_at,
            erase_before=drop.erase_before,
            erased_at=drop.erased_at,
            reason=drop.state,
            software=f"Sluis {version('sluis')}",
            organisation=home.config.authority.name,
            keys=(DeadKey("drop", drop.id, "AES-256-CTR", drop.erased_at), _epoch_key(home, session, drop)),
            verification=VERIFICATION,
        ),
        log.entry(row.leaf),
        log.inclusion_proof(row.leaf),
        home.audit_signer(),
    )


def _epoch_key(home: Home, session: Session, drop: Drop) -> DeadKey:
    """The day's key, to which the drop's key was sealed: gone, or alive until the window of that day's last drop ends."""
    ended = session.exec(
        select(AuditRow.time).where(AuditRow.object == drop.epoch.isoformat(), AuditRow.action == "epoch.destroyed")
    ).first()
    until = datetime.combine(drop.epoch + timedelta(days=1 + home.config.retention.window_days), time(), UTC)
    return DeadKey("epoch", drop.epoch.isoformat(), "X25519", ended, None if ended else until)
