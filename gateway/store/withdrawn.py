"""The end of withdrawn bundles: first the key, then the file, and each is written down once it is true. May be repeated at any time."""

from sqlmodel import select

from gateway.store import publication
from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.models import Bundle, Campaign

#: of bundles' keys, in the store of keys that must die
KIND = "bundles"


def forget_bundles(home: Home, actor: str, campaign: str | None = None) -> list[Bundle]:
    """Keys and files of all withdrawn bundles (of one campaign) are gone when this returns, also of those that a crash left; answers the
    bundles of which that was not written down before."""
    with home.ledger.view() as session:
        names = [campaign] if campaign is not None else session.exec(select(Campaign.name)).all()
        begun = [bundle for name in names for bundle in publication.unforgotten_bundles(session, name)]
    for bundle in begun:
        home.mortal.destroy(KIND, bundle.id)
        unlink_durably(home.bundles / bundle.file)
        with home.ledger.change(actor) as change:
            publication.forgotten(change, bundle)
    return begun
