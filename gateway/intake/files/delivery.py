"""From an upload that was closed to a drop on disk: the order of these steps is what "success" means.

    1  large files only: fsync the ciphertext
    2  seal the drop key to the day's public key; write it into the store of keys that must die, and with it the manifest: all that the
       ledger will be told, and how to see that the rest is whole
    3  give the ciphertext its final place, drops/<id>.blob; of a small file it is only now that it comes on disk
    4  fsync both files and both folders, together with everybody who closes now
    5  forget the upload's own key and its note
    6  tell the desk (its registrar tells the ledger, soon or at the next start); answer success

A crash before 3 leaves a sealed key that `gateway.intake.front.orphans` destroys, and the upload if it has a note; from 3 on, a drop that
it hands to the registrar when it is whole. After a power cut between 3 and 4 either file may be missing or cut off: nobody was told of
success then, and the manifest's digests tell. An error that is not a crash takes the steps back, so that the client may try again; but a
failed fsync may have lost bytes that a later one would not notice (errors are told once), so then the upload is given up.
"""

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache

from gateway.drop.formats import HEAD, is_encrypted
from gateway.drop.ids import RANDOM_BYTES, drop_id
from gateway.intake.files import note
from gateway.intake.files.flush import Flusher
from gateway.intake.files.manifest import Manifest, with_manifest
from gateway.intake.files.upload import Upload
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.home import Home
from keys.sealing import seal
from keys.secret import Secret

#: up to this size the manifest tells the ciphertext's digest, which saves waiting for the disk twice [bytes]
SMALL = 1 << 20

#: closes that are made durable at the same time in one process
CLOSERS = 16


class Unsafe(Exception):
    """The disk failed while it made the upload durable: what is on it can't be trusted any more."""


class Astray(Exception):
    """What was done could not be taken back: only a look at the disk tells what became of the upload."""


@dataclass(frozen=True)
class Delivery:
    """An upload about to become a drop: whose it is and what it will be called."""

    vendor: str
    folder: str
    name: str
    request: str
    origin: str


class Deliverer:
    """Makes uploads durable. One per process, in threads of its own."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(CLOSERS, "close")
        self._flusher = Flusher()

    def deliver(self, home: Home, upload: Upload, delivery: Delivery) -> Manifest:
        """Make a whole upload durable as a drop. Blocking, for `threads`; nobody may write meanwhile.

        OSError or a SluisError: the upload is as it was. Unsafe: give it up. Astray: see there.
        """
        sha256 = upload.finish()
        if upload.size and not is_encrypted(upload.beginning(HEAD)):
            sha256 = ""  # of a few readable rows it could be guessed what they were, for as long as ledger and log are kept
        small = upload.size <= SMALL
        if not small:
            self._sync(upload)
        stored = upload.stored_digest() if small else ""
        now = home.clock()
        identity = drop_id(now, secrets.token_bytes(RANDOM_BYTES))
        day = now.astimezone(UTC).date()
        sealed = Secret(seal(upload.key, home.epochs.public(day)))
        manifest = Manifest(
            identity,
            upload.uid,
            delivery.vendor,
            delivery.folder,
            delivery.name,
            upload.size,
            sha256,
            now.isoformat(),
            day.isoformat(),
            delivery.request,
            delivery.origin,
            sealed=hashlib.sha256(sealed.reveal()).hexdigest(),
            stored=stored,
        )
        try:
            self._write(home, upload, manifest, sealed)
        except BaseException as error:
            _take_back(home, manifest, upload)
            if isinstance(error, _NotSynced):
                raise Unsafe from error.__cause__
            raise
        upload.close()
        with suppress(OSError):  # what can't go now goes soon (the desk's `expire`)
            if note.note_path(upload.folder, upload.uid).exists():
                note.forget(home, upload.folder, upload.uid)
        return manifest

    def sync(self, upload: Upload) -> None:
        """What has arrived so far is on the disk when this returns (fsync@openssh.com). Blocking; Unsafe when it is not."""
        self._sync(upload)

    def _sync(self, upload: Upload) -> None:
        """A large file waits in a thread of its own and holds up nobody."""
        upload.to_disk()
        try:
            os.fsync(upload.descriptor)
        except OSError as error:
            raise Unsafe from error

    def _write(self, home: Home, upload: Upload, manifest: Manifest, sealed: Secret) -> None:
        key = home.mortal.place(DROP_KEYS, manifest.id, with_manifest(manifest, sealed))
        try:
            upload.move_to(home.blob(manifest.id))
            try:
                self._flusher.flush([upload.descriptor, key], [home.drops, home.mortal.kind_folder(DROP_KEYS)])
            except OSError as error:
                raise _NotSynced from error
        finally:
            os.close(key)


class _NotSynced(Exception):
    pass


def _take_back(home: Home, manifest: Manifest, upload: Upload) -> None:
    """Undo in the opposite order."""
    try:
        upload.move_back(home.blob(manifest.id))
        home.mortal.destroy(DROP_KEYS, manifest.id)
    except OSError as error:
        raise Astray from error


@lru_cache(1)
def deliverer() -> Deliverer:
    """This process's; its threads start when it is first asked for, after the process was forked."""
    return Deliverer()
