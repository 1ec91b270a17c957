"""All unfinished uploads of a home: begun, found again after a restart, taken over, given up."""

import threading
import time
from pathlib import Path

import structlog

from gateway.intake.files.names import UPLOAD_FOLDERS
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload
from gateway.store.durable import make_folder
from gateway.store.home import Home
from keys.drop_cipher import DropCipher
from keys.keystore import Keystore
from policies.errors import NotFound

#: the kind under which keys of uploads stand in the runtime store
KIND = "uploads"

#: unfinished uploads one vendor may have at once
MAX_UNFINISHED = 200

log = structlog.get_logger("sluis.intake")

Key = tuple[str, str, str]


class Uploads:
    """Unfinished uploads by (vendor, folder, name). One per service; thread-safe."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.keys = Keystore(home.run)
        self._all: dict[Key, Upload] = {}
        self._lock = threading.RLock()

    # ------------------------------------------------------------ from one run of the service to the next

    def restore(self) -> None:
        """Find what an earlier run of the service left; remove what can't be gone on with, down to the last copy of its key."""
        self.keys.clean(KIND)
        known: set[str] = set()
        root = self.home.path / "incoming"
        for vendor in sorted(path for path in root.iterdir() if path.is_dir()):
            for place in UPLOAD_FOLDERS:
                folder = self.home.incoming(vendor.name, place)
                for note in sorted(folder.glob("*.json")) if folder.is_dir() else []:
                    upload = self._restore(note, vendor.name, place)
                    if upload is None:
                        log.warning("upload.lost", vendor=vendor.name, folder=place)
                    else:
                        self._all[upload.vendor, place, upload.name] = upload
                        known.add(upload.uid)
                self._sweep(folder, known)
        for uid in self.keys.names(KIND):
            if uid not in known:
                self.keys.destroy(KIND, uid)

    def _restore(self, note: Path, vendor: str, place: str) -> Upload | None:
        try:
            return Upload.restore(note, vendor, place, self.keys.read(KIND, note.stem))
        except NotFound:
            return None

    def _sweep(self, folder: Path, known: set[str]) -> None:
        for path in folder.iterdir() if folder.is_dir() else []:
            if path.name.split(".")[0] not in known:
                path.unlink(missing_ok=True)

    def suspend(self) -> None:
        """Before the service stops."""
        with self._lock:
            for upload in self._all.values():
                upload.suspend()

    def expire(self, keep_seconds: float) -> list[Upload]:
        """Give up what nobody writes and nothing arrived for in `keep_seconds` [s]; answers what was given up."""
        oldest = time.time() - keep_seconds
        with self._lock:
            stale = [u for u in self._all.values() if u.owner is None and not u.delivering and u.changed_at < oldest]
            for upload in stale:
                self.give_up(upload)
        return stale

    # ------------------------------------------------------------ one vendor's

    def of(self, vendor: str, place: str) -> list[Upload]:
        """A vendor's unfinished uploads in a folder, by name."""
        with self._lock:
            return sorted((u for (v, p, _), u in self._all.items() if (v, p) == (vendor, place)), key=lambda u: u.name)

    def find(self, vendor: str, place: str, name: str) -> Upload | None:
        with self._lock:
            return self._all.get((vendor, place, name))

    def open(self, owner: object, vendor: str, place: str, name: str, *, create: bool, anew: bool, only_new: bool) -> Upload:
        """The upload of that name with `owner` as its writer: resumed, or begun. `anew` (SSH_FXF_TRUNC) gives up what there was."""
        with self._lock:
            upload = self._all.get((vendor, place, name))
            if upload is not None and only_new:
                raise IntakeRefused("name-unfinished-taken")
            if upload is not None and anew:
                if upload.delivering:
                    raise IntakeRefused("being-delivered")
                if upload.ranges.end:
                    self.give_up(upload)
                    upload = None
            if upload is None:
                if not create:
                    raise IntakeRefused("no-such-file")
                upload = self._begin(vendor, place, name)
            upload.attach(owner)
            return upload

    def _begin(self, vendor: str, place: str, name: str) -> Upload:
        if sum(1 for v, _, _ in self._all if v == vendor) >= MAX_UNFINISHED:
            raise IntakeRefused("too-many-unfinished")
        folder = self.home.incoming(vendor, place)
        make_folder(folder)
        key = DropCipher.generate()
        upload = Upload.begin(folder, vendor, place, name, key)
        self.keys.create(KIND, upload.uid, key)
        self._all[vendor, place, name] = upload
        return upload

    def rename(self, upload: Upload, name: str) -> None:
        """Another unfinished name; nobody holds it (whoever calls has looked)."""
        with self._lock:
            del self._all[upload.vendor, upload.place, upload.name]
            upload.name = name
            self._all[upload.vendor, upload.place, name] = upload
            upload.save(clean=True)

    def give_up(self, upload: Upload) -> None:
        """Destroy an upload: its key first, then its bytes."""
        with self._lock:
            self._all.pop((upload.vendor, upload.place, upload.name), None)
            self.keys.destroy(KIND, upload.uid)
            upload.discard()

    #: a delivered upload leaves the same way: its key is sealed elsewhere by then, its blob has moved
    forget = give_up
