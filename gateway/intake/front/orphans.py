"""What a crash left on disk: of each upload it is found out whether it became a drop, can be gone on with, or must go.

The same functions look at everything when the service starts, and at what one process held when that process dies.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.intake.files import note
from gateway.intake.files.delivery import DROPS
from gateway.intake.files.manifest import Manifest, read_manifest
from gateway.intake.files.names import UPLOAD_FOLDERS
from gateway.intake.files.note import KIND, Note, runtime_keys
from gateway.intake.files.upload import Upload
from gateway.store.durable import fsync_folder, unlink_durably
from gateway.store.home import Home
from gateway.store.models import Drop
from policies.errors import NotFound

log = structlog.get_logger("sluis.intake")


@dataclass(frozen=True)
class Found:
    """An unfinished upload on disk; its note is exact."""

    uid: str
    vendor: str
    folder: str
    note: Note
    size: int  # [bytes]
    extent: int
    changed_at: float  # [s since 1970]


def whole_manifests(home: Home, uploads: Collection[str] | None = None) -> list[Manifest]:
    """Drops on disk that the ledger does not know, oldest first; of all, or of these uploads only, of which it was never told.

    What is left of a delivery that did not come so far is destroyed on the way: nobody was told that it arrived. A blob without a
    manifest is left alone when the ledger does not know it: it may be the wrong ledger. Blocking.
    """
    whole = []
    for path in sorted(home.drops.glob("*.json")):
        manifest = read_manifest(path)
        if uploads is not None and (manifest is None or manifest.upload not in uploads):
            continue
        if uploads is not None or not _in_ledger(home, path.stem):
            if manifest is not None and _is_whole(home, manifest):
                _sync(home, path, manifest)  # the crash may have come before
                whole.append(manifest)
                continue
            home.mortal.destroy(DROPS, path.stem)  # its bytes may still be an unfinished upload, under that upload's own key
            home.drops.joinpath(f"{path.stem}.blob").unlink(missing_ok=True)
            log.warning("drop.not-whole", drop=path.stem)
        unlink_durably(path)
    return sorted(whole, key=lambda manifest: manifest.received_at)


def _in_ledger(home: Home, drop: str) -> bool:
    with home.ledger.view() as session:
        return session.get(Drop, drop) is not None


def _is_whole(home: Home, manifest: Manifest) -> bool:
    """Whether all that the manifest tells of is on disk: after a power cut any part of it may be missing."""
    try:
        sealed = home.mortal.read(DROPS, manifest.id).reveal()
        if manifest.sealed and hashlib.sha256(sealed).hexdigest() != manifest.sealed:
            return False
        blob = home.blob(manifest.id)
        if blob.stat().st_size != manifest.bytes:
            return False
        return not manifest.stored or _digest(blob) == manifest.stored
    except (OSError, NotFound):
        return False


def _sync(home: Home, path: Path, manifest: Manifest) -> None:
    for file in (path, home.blob(manifest.id), home.mortal.kind_folder(DROPS) / manifest.id):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    fsync_folder(home.drops)
    fsync_folder(home.mortal.kind_folder(DROPS))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_stray_keys(home: Home) -> None:
    """Sealed keys of which there is neither a blob nor a drop: the crash came between sealing and moving.

    The upload goes on, so its key would still be here, sealed under another name, when the drop's own key has been destroyed. Blocking;
    only while nobody delivers.
    """
    home.mortal.clean(DROPS)
    for name in home.mortal.names(DROPS):
        if not home.blob(name).exists() and not _in_ledger(home, name):
            home.mortal.destroy(DROPS, name)


def unfinished_uploads(home: Home) -> list[Found]:
    """What an earlier run of the service left; what can't be gone on with is removed, down to the last copy of its key. Blocking; only
    while nobody uploads."""
    keys = runtime_keys(home)
    keys.clean(KIND)
    found: dict[tuple[str, str, str], Found] = {}
    for vendor, place, folder in _folders(home):
        for path in sorted(folder.glob("*.json")):
            one = recovered(home, vendor, place, path.stem)
            if one is None:
                log.warning("upload.lost", vendor=vendor, folder=place)
                continue
            other = found.get((vendor, place, one.note.name))
            if other is not None:  # the crash came while it was enciphered anew
                less, one = sorted((other, one), key=lambda each: each.size)
                note.forget(home, folder, less.uid)
            found[vendor, place, one.note.name] = one
    known = {one.uid for one in found.values()}
    for _, _, folder in _folders(home):
        _sweep(folder, known)
    for uid in keys.names(KIND):
        if uid not in known:
            keys.destroy(KIND, uid)
    return list(found.values())


def recovered(home: Home, vendor: str, place: str, uid: str) -> Found | None:
    """One upload that its writer left without a word, with an exact note again; None when it can't be gone on with: then it is gone.

    Blocking.
    """
    folder = home.incoming(vendor, place)
    restored = note.restore(home, folder, uid)
    if restored is None:
        note.forget(home, folder, uid)
        return None
    upload, told = restored
    note.save(home, upload, told.name, told.request, closed=told.closed, clean=True)
    return _found(upload, told, vendor, place)


def _found(upload: Upload, told: Note, vendor: str, place: str) -> Found:
    return Found(upload.uid, vendor, place, told, upload.size, upload.ranges.end, upload.blob.stat().st_mtime)


def _folders(home: Home) -> Iterator[tuple[str, str, Path]]:
    for vendor in sorted(path for path in (home.path / "incoming").iterdir() if path.is_dir()):
        for place in UPLOAD_FOLDERS:
            folder = home.incoming(vendor.name, place)
            if folder.is_dir():
                yield vendor.name, place, folder


def _sweep(folder: Path, known: Collection[str]) -> None:
    for path in folder.iterdir():
        if path.name.split(".")[0] not in known:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    fsync_folder(folder)
