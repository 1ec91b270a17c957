"""The certificate that one drop's identifiers are gone: signed, and tied by a proof to the log that can't take it back.

It says what was received, when it ended, which keys died and how that was verified, in the fields that NIST SP 800-88
(revision 1, section 4.8) asks of a certificate of sanitisation. Whoever has the log's public key checks it offline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final

from audit import document, note
from audit.canonical import Json
from audit.entry import Entry
from audit.proof import Inclusion
from policies.errors import Refused, Unsound

SCHEMA: Final = "sluis-erasure-certificate-1"

#: The log entry that a certificate stands on: the outcome, written after both key and file were looked for in vain.
ACTION: Final = "drop.erasure-verified"

METHOD: Final = (
    "Cryptographic erase of a single file: it was only ever stored encrypted under a key of its own; the file that held this key, "
    "sealed to the key of the day, was overwritten and removed, then the encrypted file was removed."
)

# what NIST asks of every certificate and is the same for each of these
NO_MEDIUM: Final = "not applicable: one file was sanitised, not a medium"
MEDIA: Final = "file system of the gateway's server"
METHOD_TYPE: Final = "Cryptographic Erase (of one file; no statement about the medium as a whole)"
BEFORE: Final = "personal data of pupils, encrypted"
DESTINATION: Final = "the medium stays in use"
BACKUP: Final = "the gateway puts these keys in no backup; what a backup holds of the file can't be decrypted without them"
LOCATION: Final = "the gateway's server"
SIGNATURE: Final = "`signatures` of this document"


@dataclass(frozen=True, slots=True)
class DeadKey:
    """A key that ended. `kind` is for instance `drop` or `epoch`; `destroyed_at` is None for a key that still lives because
    others' drops need it, and `until` then says how long at most."""

    kind: str
    name: str
    algorithm: str
    destroyed_at: datetime | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """What the certificate says. Every time is aware; `reason` is the drop's last state (`linked`, `expired`, `rejected` …)."""

    drop: str
    vendor: str
    sha256: str  # of the bytes received, hexadecimal
    bytes: int
    received_at: datetime
    erase_before: datetime
    erased_at: datetime
    reason: str
    software: str  # name and version
    keys: Sequence[DeadKey]
    verification: Sequence[str]  # what was done to see that it is gone, one sentence each
    linked_at: datetime | None = None
    sanitised_by: str = "Sluis worker (automatic)"
    organisation: str = ""
    address: str = ""  # of the organisation
    contact: str = ""
    location: str = LOCATION
    media: str = MEDIA
    method: str = METHOD
    notes: Sequence[str] = field(default_factory=tuple)


def certificate(erasure: Erasure, entry: bytes, inclusion: Inclusion, signer: note.Signer) -> dict[str, Json]:
    """The signed certificate of `erasure`, which the log has as `entry`.

    Raises Refused (`certificate-contradicts`) when the entry tells of another drop, of no erasure of these bytes, or when the
    key that must be gone lives: what is not so is not certified.
    """
    contents = _contents(erasure, entry, inclusion)
    if problem := _contradiction(contents, Entry.from_bytes(entry)):
        raise Refused("certificate-contradicts", problem, "Nothing was certified.")
    return document.sign(contents, signer)


def check(data: bytes, verifiers: Sequence[note.Verifier]) -> dict[str, Json]:
    """Checks a certificate's file offline and returns its content without signatures.

    1. It is a document of this schema. 2. One of `verifiers` signed it. 3. Its proof leads to a checkpoint of the log that the
    certificate names, signed by one of them too. 4. The log entry in it is in that tree. 5. The entry tells of the same drop,
    and no value of the entry contradicts the certificate.

    Raises Unsound: `not-a-document`, `not-a-certificate`, `document-unsigned`, `note-…`, `checkpoint-…`, `proof-malformed`,
    `not-included`, `not-an-entry`, `not-canonical`, `certificate-contradicts`.
    """
    found = document.read(data)
    if found.get("schema") != SCHEMA:
        raise Unsound("not-a-certificate", "This is not an erasure certificate of a known form.", f"Expected {SCHEMA}.")
    document.check(found, verifiers)
    log = found.get("log")
    texts = [log.get(name) for name in ("origin", "entry", "proof")] if isinstance(log, Mapping) else []
    origin, entry, proof = (text if isinstance(text, str) else "" for text in texts or ("", "", ""))
    inclusion = Inclusion.parse(proof)
    inclusion.verify(entry.encode(), origin, verifiers)
    if not isinstance(log, Mapping) or log.get("index") != inclusion.index:
        raise Unsound("certificate-contradicts", "The certificate names another log entry than its proof.", "Ask the authority.")
    if problem := _contradiction(found, Entry.from_bytes(entry.encode())):
        raise Unsound("certificate-contradicts", problem, "Whoever signed it made a mistake or deceived: ask the authority.")
    return {name: value for name, value in found.items() if name != document.MEMBER}


def _contents(erasure: Erasure, entry: bytes, inclusion: Inclusion) -> dict[str, Json]:
    origin = inclusion.checkpoint.decode().partition("\n")[0]
    return {
        "schema": SCHEMA,
        "drop": erasure.drop,
        "vendor": erasure.vendor,
        "sha256": erasure.sha256,
        "bytes": erasure.bytes,
        "received_at": _text(erasure.received_at),
        "linked_at": _text(erasure.linked_at),
        "erased_at": _text(erasure.erased_at),
        "erase_before": _text(erasure.erase_before),
        "reason": erasure.reason,
        "keys": [{**asdict(key), "destroyed_at": _text(key.destroyed_at), "until": _text(key.until)} for key in erasure.keys],
        "method": erasure.method,
        "verification": list(erasure.verification),
        "software": erasure.software,
        "nist_sp_800_88": {
            "manufacturer": NO_MEDIUM,
            "model": NO_MEDIUM,
            "serial_number": NO_MEDIUM,
            "media_type": erasure.media,
            "media_identifier": f"file of drop {erasure.drop}",
            "media_source": f"delivered by {erasure.vendor}",
            "confidentiality_before": BEFORE,
            "method_type": METHOD_TYPE,
            "method_used": erasure.method,
            "tool_used": erasure.software,
            "verification_method": " ".join(erasure.verification),
            "confidentiality_after": _after(erasure.keys),
            "destination": DESTINATION,
            "sanitised_by": erasure.sanitised_by,
            "sanitised_at": _text(erasure.erased_at),
            "verified_by": erasure.sanitised_by,
            "verified_at": _text(erasure.erased_at),
            "organisation": erasure.organisation,
            "address": erasure.address,
            "contact": erasure.contact,
            "location": erasure.location,
            "signature": SIGNATURE,
            "data_backup": BACKUP,
            "notes": list(erasure.notes),
        },
        "log": {"origin": origin, "index": inclusion.index, "entry": entry.decode(), "proof": inclusion.text},
    }


def _after(keys: Sequence[DeadKey]) -> str:
    """What could still be read by whom: no more is promised than the keys that ended can hold."""
    alive = [key for key in keys if key.destroyed_at is None]
    if not alive:
        return "none: what may be left of it anywhere can't be decrypted with any key that is left"
    until = max((key.until for key in alive if key.until), default=None)
    return (
        "none on the gateway; somebody who copied its store of keys before the erasure could open that copy with the keys that still live, "
        + (f"until {_text(until)} at the latest" if until else "until those end")
    )


def _contradiction(contents: Mapping[str, Json], entry: Entry) -> str:
    """Why entry and certificate can't both be true; empty when they can."""
    if entry.object != contents.get("drop"):
        return "The log entry tells of another drop."
    if (entry.action, entry.result) != (ACTION, "ok"):
        return "The log entry does not tell of a verified erasure."
    if any(name in contents and contents[name] != value for name, value in entry.detail.items()):
        return "The log entry says something else of this drop than the certificate."
    keys = contents.get("keys")
    own = [key for key in keys if isinstance(key, Mapping) and key.get("kind") == "drop"] if isinstance(keys, list) else []
    if not own or any(key.get("destroyed_at") is None for key in own):
        return "The drop's own key is not among those that were destroyed."
    return ""


def _text(time: datetime | None) -> str | None:
    """UTC to the second, as in receipts; ValueError for a time without a zone, which is a mistake of the program."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError("a point in time needs a zone")
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
