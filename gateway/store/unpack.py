"""Opens a backup into an empty folder: nothing of it counts before its end was read, and found to be what its maker signed.

1. It was sealed to one of the given keys, and nobody changed it since (age).
2. It begins with a manifest of a schema that is known here.
3. Every member is a plain file below one of the folders that a backup has.
4. It ends with their number and the hash over all of them, signed by the key whose public half is in it.
"""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from audit import document
from audit.canonical import Json
from audit.checkpoint import Checkpoint, read_checkpoint
from audit.note import Verifier
from gateway.store.backup import END, MANIFEST, SCHEMA, member_line
from keys.sealed_stream import unsealing
from keys.secret import Secret
from policies.errors import SluisError, Unsound

#: [bytes] a signed end is shorter; read into memory
LONGEST_END = 1 << 20
CHUNK = 1 << 20
_NAME = re.compile(
    r"(?:manifest\.json|end\.json|sluis\.toml|(?:keys|public|ledger|policies|receipts|results|reports|registers|audit)(?:/[^/\0]+)+)"
)


@dataclass(frozen=True)
class Contents:
    """What a backup says of itself."""

    made_at: datetime
    software: str
    migration: str
    origin: str  # the name of its log
    verifier: Verifier
    checkpoint: Checkpoint  # of the log in it
    members: int


def unpack(source: Path, identities: Sequence[Secret], folder: Path) -> Contents:
    """Every member of `source` as a file below `folder`; nothing there may be used when this raises.

    Refused: `bad-identity`, `wrong-identity`. Unsound: `sealed-damaged`, `backup-damaged`, `backup-newer`, and as `audit.document.check`.
    """
    with source.open("rb") as sealed, unsealing(sealed, identities) as plain:
        try:
            with tarfile.open(fileobj=plain, mode="r|") as tar:
                return _members(tar, folder)
        except (tarfile.TarError, EOFError, UnicodeDecodeError, ValueError, KeyError, FileExistsError):
            raise _damaged("its members can't be read") from None


def _members(tar: tarfile.TarFile, folder: Path) -> Contents:
    sha256, count, signed, facts = hashlib.sha256(), 0, b"", {}
    for member in tar:
        if signed:
            raise _damaged("something comes after its end")
        if not member.isreg() or not _NAME.fullmatch(member.name) or {".", ".."} & set(member.name.split("/")):
            raise _damaged("it holds what no backup does")
        if member.name == END:
            if member.size > LONGEST_END:
                raise _damaged("its end is too long")
            extracted = tar.extractfile(member)
            signed = extracted.read() if extracted else b""
            continue
        found = _extract(tar, member, folder / member.name)
        if not count:
            facts = _manifest(member.name, folder)
        sha256.update(member_line(member.name, member.size, found))
        count += 1
    if not signed:
        raise _damaged("it has no end")
    return _judged(facts, document.read(signed), count, sha256.hexdigest(), folder)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    """The member as a new file, with its mode and time; its SHA-256."""
    target.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None, "it is a plain file"
    sha256 = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, member.mode & 0o770)
    with open(descriptor, "wb") as file:
        while data := content.read(CHUNK):
            sha256.update(data)
            file.write(data)
    os.utime(target, (member.mtime, member.mtime))
    return sha256.hexdigest()


def _manifest(name: str, folder: Path) -> dict[str, str]:
    if name != MANIFEST:
        raise _damaged("it does not begin with a manifest")
    facts = json.loads((folder / MANIFEST).read_bytes())
    if facts["schema"] != SCHEMA:
        raise Unsound(
            "backup-newer", "This backup is of a form that is not known here.", "Restore it with the version of Sluis that made it."
        )
    return {name: str(facts[name]) for name in ("made_at", "software", "migration", "log")}


def _judged(facts: dict[str, str], end: dict[str, Json], count: int, sha256: str, folder: Path) -> Contents:
    try:
        verifier = Verifier.parse((folder / "public" / "sluis.vkey.txt").read_text(encoding="utf-8"))
        origin = (folder / "public" / "audit-origin.txt").read_text(encoding="utf-8").strip()
        document.check(end, [verifier])
        checkpoint = read_checkpoint(str(end["checkpoint"]).encode(), origin, [verifier])
    except (SluisError, OSError):
        raise _damaged("its end is not signed by the gateway that it is of") from None
    if (end["schema"], end["members"], end["sha256"], facts["log"]) != (SCHEMA, count, sha256, origin):
        raise _damaged("its members are not those that its end tells of")
    made_at = datetime.fromisoformat(facts["made_at"])
    return Contents(made_at, facts["software"], facts["migration"], origin, verifier, checkpoint, count)


def _damaged(why: str) -> Unsound:
    return Unsound("backup-damaged", f"This backup is not whole: {why}.", "Use another one, or another copy of it.")
