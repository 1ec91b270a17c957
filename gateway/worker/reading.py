"""What every stage needs: the home, the rules, what is known of a campaign; and a drop's delivery, decrypted and scanned as a stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from gateway.checks.check import CheckContext
from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.pgp_signature import Signers
from gateway.checks.recipients import about_key
from gateway.checks.stream import Limits, open_delivery
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.home import Home
from gateway.store.models import Campaign, Drop
from gateway.store.signing_keys import signing_keys
from gateway.worker.known import Known
from gateway.worker.recipient_keys import delivery_keys
from gateway.worker.register import PersonRegister
from gateway.worker.scanner import Scanning, scanned
from keys.sealing import unseal
from policies.calendar import day_of
from policies.errors import Unsound
from policies.rules import Rules


@dataclass(frozen=True)
class Work:
    """What the stages need: the home, the rules, and what is kept in memory between drops."""

    home: Home
    rules: Rules
    persons: PersonRegister
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", Known(self.home))


@contextmanager
def opened(work: Work, drop: Drop) -> Iterator[tuple[BinaryIO, list[Finding]]]:
    """The decrypted stream of a drop, and what to tell of the key that it was encrypted to; nothing of it touches a disk."""
    home = work.home
    key = unseal(sealed_key_of(home.mortal.read(DROP_KEYS, drop.id)), home.epochs.identity(drop.epoch))
    keys = delivery_keys(home, drop.received_at)
    signers = _signers_of(home, drop)
    limits = Limits(max_plain_bytes=home.config.worker.max_expanded_bytes)
    with home.blob(drop.id).open("rb") as blob:
        told = about_key(blob, key, keys)
        taken = [one for one in keys if one.taken]
        openpgp = [one.openpgp for one in taken if one.openpgp is not None]
        with open_delivery(blob, key, [one.identity for one in taken], limits, openpgp, signers) as stream:
            yield stream, told


def _signers_of(home: Home, drop: Drop) -> Signers | None:
    """Whose signature a drop needs; None: nobody's. A key that was removed since counts as it did when the drop came.
    Unsound (`signing-key-lost`): that waits for an administrator."""
    with home.ledger.view() as session:
        keys = signing_keys(session, drop.vendor, drop.received_at)
    if not all(key.public_key for key in keys):
        raise Unsound(
            "signing-key-lost", "A vendor's signing key was lost before a restore.", "Add it again: `sluis vendor signing-key add`."
        )
    return Signers({key.fingerprint: key.public_key for key in keys}, drop.received_at) if keys else None


@contextmanager
def clean(work: Work, drop: Drop, plain: BinaryIO) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """The delivery past the malware scanner, and what to call before anything of it counts: DropRefused (`malware`) unless it is clean."""
    with scanned(work.home.config.scan, plain) as scanning:
        if scanning is None:
            yield plain, lambda: None
        else:
            yield scanning.stream, lambda: _require_clean(work, drop, scanning)


def _require_clean(work: Work, drop: Drop, scanning: Scanning) -> None:
    signature = scanning.verdict()
    with work.home.ledger.change("worker", origin=drop.vendor) as change:
        change.audit("drop.scanned", drop.id, result="refused" if signature else "ok", signature=signature)
    if signature:
        raise DropRefused(finding("malware", topic=signature))


def context_of(work: Work, drop: Drop, campaign: Campaign) -> CheckContext:
    """What the checks hold a delivery against."""
    day = day_of(drop.received_at)
    with work.home.ledger.view() as session:
        return CheckContext(
            vendor=drop.vendor,
            today=day,
            schools=work.known.schools(session, campaign, day),
            objections=work.known.objections(session, campaign.name),
        )
