"""To which of the gateway's keys a delivery was encrypted, and what a vendor is told of that.

An age file does not say whose it is: each key is tried on its header. So it is with OpenPGP, whose message may say it and need not.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

import pyrage

from gateway.checks.findings import DropRefused, Finding, finding
from gateway.checks.openpgp import opens
from gateway.checks.stream import Ciphertext, age_identity
from gateway.drop.formats import is_openpgp
from keys.secret import Secret


@dataclass(frozen=True)
class DeliveryKey:
    """A key as it counts for one delivery. `replaced_on`: the day on which vendors were given another; None: it was the current one.
    `taken_until`: the last day on which a replaced key is taken; None: it was not taken any more.
    `openpgp`: its half for OpenPGP, if there is one and that is on."""

    identity: Secret
    replaced_on: date | None = None
    taken_until: date | None = None
    openpgp: Secret | None = None

    @property
    def taken(self) -> bool:
        """Whether the delivery may be opened with it."""
        return self.replaced_on is None or self.taken_until is not None


def about_key(blob: BinaryIO, drop_key: Secret, keys: Sequence[DeliveryKey]) -> list[Finding]:
    """What to tell of the key that a stored drop was encrypted to; `keys`: the one that tells best first. DropRefused (`retired-key`).

    Nothing is told of what none of them opens: reading it says what it is. The blob is read from its start, as often as anybody likes.
    """
    blob.seek(0)
    head = Ciphertext(blob, drop_key).fill_head()
    blob.seek(0)
    key = next((key for key in keys if _opens(head, key)), None)
    if key is None or key.replaced_on is None:
        return []
    if key.taken_until is None:
        raise DropRefused(finding("retired-key", day=key.replaced_on))
    return [finding("replaced-key", day=key.replaced_on, until=key.taken_until)]


def _opens(head: bytes, key: DeliveryKey) -> bool:
    """Whether a file that begins so is for this key. Its header alone says it; that the rest is missing here does not matter."""
    if is_openpgp(head):
        return key.openpgp is not None and opens(io.BytesIO(head), key.openpgp)
    try:
        pyrage.decrypt_io(io.BytesIO(head), io.BytesIO(), [age_identity(key.identity)])
    except pyrage.DecryptError:
        return False
    except OSError:  # the header was opened, and then the file ended
        pass
    return True
