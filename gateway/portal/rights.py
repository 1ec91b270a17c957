"""All that the portal may touch of a home: the ledger, the keys of bundles, the bundles themselves, its TLS key, and names to show.

The rest of the home (drops, registers, results, pseudonym keys) can't be reached from here: handlers get a `Rights`, never the home.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gateway.store.home import Home
from gateway.store.ledger import Ledger
from keys.secret import Secret

#: Kind of the bundles' keys in the store of keys that must die.
BUNDLE_KEYS = "bundles"


@dataclass(frozen=True)
class Rights:
    ledger: Ledger
    bundle_key: Callable[[str], Secret]  # by the bundle's id; NotFound (`key-gone`) after withdrawal
    bundles: Path
    address: str  # https://… as boards see it, without a slash at the end
    authority: str
    contact: str
    idle: timedelta
    longest: timedelta
    concurrent_logins: int
    sample: Callable[[], bytes] | None  # makes the sample report, a PDF of fictitious data

    @classmethod
    def of(cls, home: Home, sample: Callable[[], bytes] | None = None) -> "Rights":
        mortal, portal = home.mortal, home.config.portal
        return cls(
            ledger=home.ledger,
            bundle_key=lambda bundle: mortal.read(BUNDLE_KEYS, bundle),
            bundles=home.bundles,
            address=home.portal_address.rstrip("/"),
            authority=home.config.authority.name,
            contact=home.config.authority.contact,
            idle=timedelta(minutes=portal.session_idle_minutes),
            longest=timedelta(hours=portal.session_hours),
            concurrent_logins=portal.concurrent_logins,
            sample=sample,
        )
