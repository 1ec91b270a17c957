"""What an unfinished upload leaves behind for whoever resumes it: a note beside its ciphertext, and its key in the runtime store.

Neither is synced: after a power cut the key on tmpfs is gone, and with it the upload. After a kill they are there, and the note says how
much is known:

    clean                    nobody wrote when it was saved: `ranges` are exact
    not clean, in order      every byte up to the file's size is there
    not clean, scattered     bytes lie beyond gaps that nobody knows any more: `prefix` [bytes] is what is certain
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.intake.files.ranges import Ranges
from gateway.intake.files.upload import Upload, blob_path, new_uid
from gateway.store.home import Home
from keys.drop_cipher import DropCipher
from keys.keystore import Keystore
from policies.errors import SluisError

#: the kind under which keys of uploads stand in the runtime store
KIND = "uploads"

#: how much is enciphered anew at a time [bytes]
CHUNK = 1 << 20


@dataclass(frozen=True)
class Note:
    """The facts of an unfinished upload."""

    name: str
    request: str
    closed: bool
    clean: bool
    scattered: bool = False
    prefix: int = 0
    ranges: Sequence[tuple[int, int]] = ()


def runtime_keys(home: Home) -> Keystore:
    """Where keys of uploads live while they arrive."""
    return Keystore(home.run)


def note_path(folder: Path, uid: str) -> Path:
    return folder / f"{uid}.json"


def save(home: Home, upload: Upload, name: str, request: str, *, closed: bool = False, clean: bool = False) -> None:
    """Note what has arrived, the bytes and the key first: from now on the upload outlives this process."""
    upload.to_disk()
    keys = runtime_keys(home)
    if not keys.exists(KIND, upload.uid):
        os.close(keys.place(KIND, upload.uid, upload.key))
    ranges = tuple(upload.ranges) if clean else ()
    note = Note(name, request, closed, clean, upload.scattered, upload.size, ranges)
    path = note_path(upload.folder, upload.uid)
    beside = path.with_suffix(".json.tmp")
    beside.write_text(json.dumps(asdict(note)))
    os.replace(beside, path)


def read(folder: Path, uid: str) -> Note | None:
    """The note of an upload; None when there is none, or none that can be read."""
    try:
        told = json.loads(note_path(folder, uid).read_bytes())
        return Note(**{**told, "ranges": tuple((int(start), int(stop)) for start, stop in told["ranges"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def restore(home: Home, folder: Path, uid: str) -> tuple[Upload, Note] | None:
    """An upload with what is known of it, not open yet; None when that is not enough to go on with it.

    One that was scattered when its writer was killed comes back as far as is certain, under a new key and so under a new uid: which of
    the bytes beyond used their key stream nobody knows. Blocking.
    """
    try:
        note = read(folder, uid)
        if note is None:
            return None
        upload = Upload(folder, uid, runtime_keys(home).read(KIND, uid))
        size = upload.blob.stat().st_size
        if note.clean:
            upload.ranges = Ranges(note.ranges)
        elif not note.scattered:
            upload.ranges = Ranges([(0, size)])
        elif note.prefix <= size:
            return _under_a_new_key(home, upload, note)
        if upload.ranges.end > size:
            return None
        upload.scattered = note.scattered
    except (OSError, ValueError, SluisError):
        return None
    return upload, note


def _under_a_new_key(home: Home, old: Upload, note: Note) -> tuple[Upload, Note] | None:
    if note.prefix == 0:
        return None
    new = Upload.begin(old.folder, new_uid())
    plain = DropCipher(old.key).stream()
    old.open()
    try:
        for start in range(0, note.prefix, CHUNK):
            stored = os.pread(old.descriptor, min(CHUNK, note.prefix - start), start)
            new.write(start, plain.update(stored))
        save(home, new, note.name, note.request, clean=True)
    finally:
        new.close()
        old.close()
    forget(home, old.folder, old.uid)
    return new, Note(note.name, note.request, False, True)


def forget(home: Home, folder: Path, uid: str) -> None:
    """Destroy an upload: its key first, then its bytes and its note. Blocking; fine when any of it is gone already."""
    keys = runtime_keys(home)
    if keys.exists(KIND, uid):
        keys.destroy(KIND, uid)
    blob_path(folder, uid).unlink(missing_ok=True)
    note_path(folder, uid).unlink(missing_ok=True)
