"""From an upload that was closed to a drop that the ledger has: the order of these steps is what "success" means.

    1  fsync the ciphertext
    2  seal the drop key to the day's public key; keep the sealed key (durable)
    3  write the manifest drops/<id>.json (durable): all that the ledger will be told
    4  move the ciphertext to drops/<id>.blob; fsync both folders
    5  one ledger transaction: the drop is received
    6  forget the upload's own key, its note and the manifest; answer success

A crash before 4 leaves an unfinished upload (and a sealed key and a manifest that `adopt_orphans` removes); from 4 on a drop that
`adopt_orphans` hands to the ledger. An error that is not a crash takes the steps back, so that the client may try again.
"""

import contextlib
import json
import secrets
from dataclasses import asdict
from datetime import UTC
from pathlib import Path

import structlog

from gateway.drop.ids import RANDOM_BYTES, drop_id
from gateway.drop.lifecycle import Event
from gateway.intake.files.manifest import Manifest
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload
from gateway.intake.files.uploads import Uploads
from gateway.store.deliveries import latest_delivery, name_is_taken
from gateway.store.durable import move_durably, remove_unfinished, unlink_durably, write_durably
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import Drop
from keys.sealing import seal
from keys.secret import Secret
from policies.errors import SluisError

#: the kind under which sealed drop keys stand in the store of keys that must die
DROPS = "drops"

log = structlog.get_logger("sluis.intake")


def manifest_path(home: Home, drop: str) -> Path:
    return home.drops / f"{drop}.json"


def deliver(uploads: Uploads, upload: Upload, name: str, origin: str) -> str:
    """Make `upload` a drop under `name`; answers the drop's id once it is durable and in the ledger.

    IntakeRefused (`name-taken`, `has-gaps`, `being-delivered`), or whatever a step raised; then the upload is as it was.
    Blocking: for a thread.
    """
    home = uploads.home
    with upload.lock:
        if upload.delivering:
            raise IntakeRefused("being-delivered")
        upload.check_whole()
        upload.delivering = True
    try:
        manifest = _seal(home, upload, name)
        try:
            _record(home, manifest, upload, origin)
        except Exception as error:
            if not _ledger_has(home, manifest, error):
                _take_back(home, manifest, upload)
                raise
    except _Undecided as undecided:
        log.error("drop.undecided", exc_info=undecided.__cause__)
        raise IntakeRefused("not-received") from undecided.__cause__  # stays as it is until the next start adopts it
    except BaseException:
        upload.delivering = False
        raise
    _clear_away(uploads, upload, manifest)
    log.info("drop.received", vendor=manifest.vendor, folder=manifest.folder, drop=manifest.id, bytes=manifest.bytes, origin=origin)
    return manifest.id


class _Undecided(Exception):
    """The ledger neither said yes nor no: its answer was lost, and it can't be asked."""


def _ledger_has(home: Home, manifest: Manifest, error: Exception) -> bool:
    """Whether the change was made although it raised: a commit whose answer is lost may have happened."""
    if isinstance(error, SluisError | OSError):
        return False  # it was not committed: the rules, or the disk, said no before
    try:
        with home.ledger.view() as session:
            return session.get(Drop, manifest.id) is not None
    except Exception:
        raise _Undecided from error


def _clear_away(uploads: Uploads, upload: Upload, manifest: Manifest) -> None:
    """The drop stands; what is left of the upload goes. What can't go now goes at the next start."""
    try:
        uploads.forget(upload)
        manifest_path(uploads.home, manifest.id).unlink(missing_ok=True)
    except OSError:
        log.warning("upload.left-over", drop=manifest.id, exc_info=True)


def _seal(home: Home, upload: Upload, name: str) -> Manifest:
    sha256 = upload.finish()
    now = home.clock()
    today = now.astimezone(UTC).date()
    identity = drop_id(now, secrets.token_bytes(RANDOM_BYTES))
    sealed = Secret(seal(upload.key, home.epochs.public(today)))
    home.mortal.create(DROPS, identity, sealed)
    return Manifest(identity, upload.uid, upload.vendor, upload.place, name, upload.size, sha256, now.isoformat(), today.isoformat())


def _record(home: Home, manifest: Manifest, upload: Upload, origin: str) -> None:
    write_durably(manifest_path(home, manifest.id), json.dumps(asdict(manifest)).encode())
    move_durably(upload.blob, home.blob(manifest.id))
    with home.ledger.change(f"vendor:{manifest.vendor}", origin) as change:
        _receive(home, change, manifest)


def _receive(home: Home, change: Change, manifest: Manifest) -> None:
    earlier = latest_delivery(change.session, manifest.vendor, manifest.folder, manifest.file_name)
    if name_is_taken(earlier):
        raise IntakeRefused("name-taken")
    if earlier is not None:
        change.advance(earlier, Event.REPLACED, by=manifest.id)
    change.receive(manifest.drop(home.config.retention.window_days))


def _take_back(home: Home, manifest: Manifest, upload: Upload) -> None:
    """Undo in the opposite order; what fails here is what `adopt_orphans` finds at the next start."""
    with contextlib.suppress(OSError):
        if home.blob(manifest.id).exists():
            move_durably(home.blob(manifest.id), upload.blob)
        unlink_durably(manifest_path(home, manifest.id))
        home.mortal.destroy(DROPS, manifest.id)


def adopt_orphans(home: Home) -> list[str]:
    """Before the intake starts: hand to the ledger what a crash left between disk and ledger; answers the ids of adopted drops.

    A blob is destroyed only when the ledger knows another drop under its name: one that knows neither may be the wrong ledger.
    """
    adopted = []
    remove_unfinished(home.drops)  # manifests half written
    for path in sorted(home.drops.glob("*.json")):
        manifest = Manifest(**json.loads(path.read_bytes()))
        with home.ledger.view() as session:
            known = session.get(Drop, manifest.id) is not None
        complete = home.blob(manifest.id).exists() and home.mortal.exists(DROPS, manifest.id)
        if not known and complete:
            if _adopt(home, manifest):
                adopted.append(manifest.id)
        elif not known:
            home.mortal.destroy(DROPS, manifest.id)  # its bytes are still an unfinished upload under that upload's own key
        unlink_durably(path)
    _remove_stray_keys(home)
    return adopted


def _adopt(home: Home, manifest: Manifest) -> bool:
    try:
        with home.ledger.change("intake") as change:
            change.audit("drop.adopted", manifest.id, vendor=manifest.vendor)
            _receive(home, change, manifest)
    except IntakeRefused as refused:
        home.mortal.destroy(DROPS, manifest.id)  # nobody was told that it arrived, and its name was delivered since
        unlink_durably(home.blob(manifest.id))
        with home.ledger.change("intake") as change:
            change.audit("drop.adopted", manifest.id, refused.code, vendor=manifest.vendor)
        return False
    log.warning("drop.adopted", drop=manifest.id, vendor=manifest.vendor)
    return True


def _remove_stray_keys(home: Home) -> None:
    """Sealed keys of which there is neither a blob nor a drop: the crash came in step 2, or between it and step 3.

    The upload goes on, so its key would still be here, sealed under another name, when the drop's own key has been destroyed.
    """
    home.mortal.clean(DROPS)
    with home.ledger.view() as session:
        for name in home.mortal.names(DROPS):
            if not home.blob(name).exists() and session.get(Drop, name) is None:
                home.mortal.destroy(DROPS, name)
