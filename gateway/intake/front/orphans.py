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
from sqlmodel import select

from gateway.intake.files import note
from gateway.intake.files.manifest import Manifest, read_manifest
from gateway.intake.files.names import UPLOAD_FOLDERS
from gateway.intake.files.note import Note, runtime_keys
from gateway.intake.files.upload import Upload
from gateway.store.drop_keys import DROP_KEYS
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
    """Drops on disk that the ledger does not know, oldest first; of all, or of these uploads only.

    What is left of a delivery that did not come so far is destroyed on the way: nobody was told that it arrived. Blocking; of all only
    while nobody delivers.
    """
    if uploads is None:
        home.mortal.clean(DROP_KEYS)
    names = home.mortal.names(DROP_KEYS)
    known = _in_ledger(home)
    whole = []
    for name in names:
        if name in known:
            continue
        try:
            manifest = read_manifest(home.mortal.read(DROP_KEYS, name))
        except NotFound:  # a door just took back a delivery that failed
            continue
        if uploads is not None and (manifest is None or manifest.upload not in uploads):
            continue
        if manifest is not None and _is_whole(home, manifest):
            _sync(home, manifest)  # the crash may have come before
            whole.append(manifest)
        else:
            home.mortal.destroy(DROP_KEYS, name)  # its bytes may still be an unfinished upload, under that upload's own key
            unlink_durably(home.blob(name))
            log.warning("drop.not-whole", drop=name)
    if uploads is None:
        _remove_unreadable(home, known.union(names))
    return sorted(whole, key=lambda manifest: manifest.received_at)


def _in_ledger(home: Home) -> set[str]:
    with home.ledger.view() as session:
        return set(session.exec(select(Drop.id)))


def _is_whole(home: Home, manifest: Manifest) -> bool:
    """Whether the ciphertext is on disk: after a power cut any part of it may be missing."""
    try:
        blob = home.blob(manifest.id)
        return blob.stat().st_size == manifest.bytes and (not manifest.stored or _digest(blob) == manifest.stored)
    except OSError:
        return False


def _sync(home: Home, manifest: Manifest) -> None:
    for file in (home.blob(manifest.id), home.mortal.kind_folder(DROP_KEYS) / manifest.id):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    fsync_folder(home.drops)
    fsync_folder(home.mortal.kind_folder(DROP_KEYS))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_unreadable(home: Home, known: Collection[str]) -> None:
    """Ciphertext whose key a power cut took. While the whole store of keys is not there, nothing is judged."""
    if not home.mortal.kind_folder(DROP_KEYS).is_dir():
        return
    for blob in home.drops.glob("*.blob"):
        if blob.stem not in known:
            blob.unlink(missing_ok=True)
            log.warning("drop.not-whole", drop=blob.stem)


def unfinished_uploads(home: Home) -> list[Found]:
    """What an earlier run of the service left; what can't be gone on with is removed, down to the last copy of its key. Blocking; only
    while nobody uploads."""
    keys = runtime_keys(home)
    keys.clean(note.KIND)
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
    for uid in keys.names(note.KIND):
        if uid not in known:
            keys.destroy(note.KIND, uid)
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
