"""The end of withdrawn bundles: first the key, then the file, and each is written down once it is true. May be repeated at any time."""

from sqlmodel import Session, col, select

from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.models import AuditRow, Bundle
from gateway.store.publication import KEY_DESTROYED, forgotten

#: of bundles' keys, in the store of keys that must die
KIND = "bundles"


def unforgotten_bundles(session: Session, campaign: str | None = None, board: str | None = None) -> list[Bundle]:
    """Withdrawn bundles (of a campaign, or of a board) of which it is not written down yet that their key was destroyed and their file is
    gone."""
    told = select(AuditRow).where(AuditRow.action == KEY_DESTROYED)
    rows = select(Bundle).where(col(Bundle.withdrawn_at).is_not(None)).order_by(col(Bundle.id))
    if campaign is not None:
        rows = rows.where(Bundle.campaign == campaign)
    if board is not None:
        told, rows = told.where(AuditRow.object == board), rows.where(Bundle.board == board)
    withdrawn = session.exec(rows).all()
    if not withdrawn:
        return []
    known = {row.detail["bundle"] for row in session.exec(told)}
    return [bundle for bundle in withdrawn if bundle.id not in known]


def forget_bundles(home: Home, actor: str, campaign: str | None = None) -> list[str]:
    """Keys and files of all withdrawn bundles (of one campaign) are gone when this returns, also of those that a crash left; answers the
    names of the bundles of which that was not written down before."""
    with home.ledger.view() as session:
        begun = unforgotten_bundles(session, campaign)
    for bundle in begun:
        home.mortal.destroy(KIND, bundle.id)
        unlink_durably(home.bundles / bundle.file)
        with home.ledger.change(actor) as change:
            if any(left.id == bundle.id for left in unforgotten_bundles(change.session, board=bundle.board)):  # nobody else was faster
                forgotten(change, bundle)
    return [bundle.id for bundle in begun]
