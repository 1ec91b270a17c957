"""Writes what a vendor finds in `ontvangst/`: the signed receipt, again whenever the drop goes on, and at the end the certificate.

The certificate is written when the bytes are erased, and a last time when the key of its day has ended too.
"""

from importlib.metadata import version

from sqlalchemy import String, cast, exists, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from audit import document
from audit.canonical import Json
from audit.certificate import DeadKey, Erasure, certificate
from gateway.drop import receipt
from gateway.drop.certificate import EPOCH_LOST, NOTES, SANITISED_BY, certificate_name, statements
from gateway.drop.lifecycle import Effect, Raw
from gateway.publish.certificate import certificate_pdf
from gateway.store.auditing import sequence
from gateway.store.drops import drop_schools
from gateway.store.durable import make_folder, replace_durably
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.losses import METHOD as LOST
from gateway.store.losses import NOT_IN_BACKUP
from gateway.store.models import AuditRow, Drop, EffectRow
from gateway.worker.deadlines import window_remarks
from gateway.worker.withdrawing import remarks_on_results
from keys.epochs import KIND as EPOCH_KEYS
from policies.errors import NotFound, Refused
from policies.retention import epoch_end

#: the log entry that tells of the end of a day's key
ENDED = "epoch.destroyed"

#: last certificates asked for in one go: some tens of milliseconds each, and what vendors deliver meanwhile waits for them
AT_ONCE = 500


def write_receipt(home: Home, drop_id: str) -> None:
    """Rewrite the receipt from what the ledger says now, with the certificate (JSON and PDF) once the bytes are erased.

    The drop's row stays locked meanwhile, so that an older receipt never replaces a newer one. The page is typeset without that lock
    (it takes tens of milliseconds) and written only if it is still that of the certificate beside it.
    """
    sequence(home)  # a certificate points at its entry in the log
    certified: dict[str, Json] | None = None
    with home.ledger.change("worker") as change:
        drop = drop_of(change.session, drop_id)
        schools = drop_schools(change.session, drop_id)
        folder = home.receipts(drop.vendor)
        make_folder(folder)
        if drop.raw == Raw.ERASED and not _was_lost(change.session, drop_id):
            certified = erasure_certificate(home, change.session, drop)
            replace_durably(folder / certificate_name(drop_id), document.write(certified))
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
            remarks=[*window_remarks(home, change.session, drop), *remarks_on_results(home, change.session, drop)],
            waiting_for=drop.waiting_for,
            objection_register={school.school: school.objection_register for school in schools},
            erase_before=drop.erase_before,
            linked_at=drop.linked_at,
            erased_at=drop.erased_at,
            certificate=certificate_name(drop.id) if certified else None,
        )
        replace_durably(folder / f"{drop.id}.txt", receipt.dutch(said).encode())
        replace_durably(folder / f"{drop.id}.json", document.write(document.sign(said, home.audit_signer())))
    if certified is not None:
        page = certificate_pdf(certified)
        with home.ledger.change("worker") as change:
            drop_of(change.session, drop_id)
            if (folder / certificate_name(drop_id)).read_bytes() == document.write(certified):
                replace_durably(folder / certificate_name(drop_id, "pdf"), page)


def ask_final_certificates(home: Home) -> int:
    """Ask for the receipts of erased drops whose day's key has ended since they were last written, AT_ONCE at most; answers how many."""
    with home.ledger.change("worker") as change:
        written = exists().where(
            col(EffectRow.drop) == Drop.id,
            col(EffectRow.kind) == Effect.RECEIPT,
            or_(col(EffectRow.claimed_at).is_(None), col(EffectRow.claimed_at) >= AuditRow.time),
        )
        found = change.session.exec(
            select(Drop.id)
            .join(AuditRow, col(AuditRow.object) == cast(Drop.epoch, String))
            .where(AuditRow.action == ENDED, AuditRow.time <= change.now, Drop.raw == Raw.ERASED, ~written)
            .distinct()
            .limit(AT_ONCE)
        ).all()
        change.session.add_all(EffectRow(drop=drop_id, kind=Effect.RECEIPT, due_at=change.now) for drop_id in found)
    return len(found)


def erasure_certificate(home: Home, session: Session, drop: Drop) -> dict[str, Json]:
    """The signed certificate of a drop whose bytes are erased; NotFound before that, or before the log has the entry, Refused when it
    was lost before a restore."""
    if _was_lost(session, drop.id):
        raise Refused(
            "lost-not-erased",
            "This drop was lost before a restore: nothing was destroyed here that could be certified.",
            "What became of the disks of the machine that was lost is its owner's to prove.",
        )
    row = session.exec(_told(drop.id, "drop.erasure-verified")).first()
    if drop.erased_at is None or row is None or row.leaf is None:
        raise NotFound("not-erased-yet", "This drop's bytes are not erased yet.", "`sluis drop show` tells where it stands.")
    log, authority = home.audit_log(), home.config.authority
    epoch = _epoch_key(home, session, drop)
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
            sanitised_by=SANITISED_BY.get(row.actor, row.actor),
            organisation=authority.name,
            address=", ".join(line.strip() for line in authority.address.split("|") if line.strip()),
            contact=authority.contact,
            keys=(DeadKey("drop", drop.id, "AES-256-CTR", drop.erased_at), epoch),
            verification=statements(epoch.destroyed_at is not None),
            notes=NOTES if epoch.destroyed_at or epoch.until else (*NOTES, EPOCH_LOST),
        ),
        log.entry(row.leaf),
        log.inclusion_proof(row.leaf),
        home.audit_signer(),
    )


def _epoch_key(home: Home, session: Session, drop: Drop) -> DeadKey:
    """The day's key, to which the drop's key was sealed: gone, or alive until the window of that day's last drop ends. Neither is said of a
    key that was lost before a restore."""
    name = drop.epoch.isoformat()
    # a day may have had an earlier key: after gateway time was brought back
    ended = None if home.mortal.exists(EPOCH_KEYS, name) else session.exec(_told(name, ENDED)).first()
    if ended is None:
        return DeadKey("epoch", name, "X25519", None, epoch_end(drop.epoch, home.config.retention.window_days))
    return DeadKey("epoch", name, "X25519", None if ended.detail.get("reason") == NOT_IN_BACKUP else ended.time)


def _was_lost(session: Session, drop_id: str) -> bool:
    """Whether it was a restore that found its key and its bytes gone, and not an erasure that ended them."""
    begun = session.exec(_told(drop_id, "drop.erasure-begun")).first()
    return begun is not None and begun.detail.get("method") == LOST


def _told(object: str, action: str) -> SelectOfScalar[AuditRow]:
    """What the log tells of this, the newest first."""
    return select(AuditRow).where(AuditRow.object == object, AuditRow.action == action).order_by(col(AuditRow.leaf).desc())
