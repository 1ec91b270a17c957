"""A gateway that is backed up, goes on, and is lost: what is left of it is the backup, and what outlived the machine."""

import io
import shutil
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.drop.lifecycle import Effect, Event
from gateway.store.auditing import sequence
from gateway.store.backup import make_backup
from gateway.store.effects import claim_next, due_drops, finish
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.vendors import remove_vendor, revoke_key, vendor_keys
from gateway.worker.erasure import erase
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from gateway.worker.serve import upkeep
from gateway.worker.stages import carry_out
from keys.sealed_stream import sealing, unsealing
from keys.sealing import new_identity
from keys.secret import Secret
from policies.rules import packaged_rules
from tests.support.canaries import Needle, needles
from tests.support.cli import Cli, deliver
from tests.support.gateway import CAMPAIGN, Staged
from tests.support.intake import make_key, register
from tests.support.pupils import PER_SCHOOL, delivery, objections


class Today(Staged):
    """The command line, in processes of its own, lives at the same time as the stages in this one."""

    START = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Lost:
    """Folders and facts of a gateway that is no more. The old home stands there as it was at its end."""

    folder: Path
    identity: Secret
    recipient: str
    wanted: list[Needle]
    #: every file of mortal/ at the moment of the backup
    mortal_then: dict[str, bytes] = field(default_factory=dict)
    drops: dict[str, str] = field(default_factory=dict)  # by the file's name: the drop
    revoked: str = ""  # the fingerprint of a key of cito's that was revoked after the backup

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def backup(self) -> Path:
        return self.folder / "backup.age"

    @property
    def log(self) -> Path:
        return self.home / "audit"

    @property
    def log_before(self) -> Path:
        """A copy of the log from before the backup."""
        return self.folder / "log-before"

    @property
    def identity_file(self) -> Path:
        return self.folder / "identity.txt"


def lose_a_gateway(folder: Path) -> Lost:
    """In the middle of a campaign.

    Before the backup: a register of objections, a drop that is linked, one that is held, a bundle that is published, credentials. After
    it: the held one and a new one are linked and erased, a register is replaced, the bundle is withdrawn, accounts and keys are closed.
    """
    place = Today(folder)
    lost = _with_a_key(folder, needles(pupil for at, pupil in enumerate(place.at()) if at % PER_SCHOOL in (0, 5)))
    try:
        _before(place)
        shutil.copytree(lost.log, lost.log_before)
        place.sluis("backup", "--to", lost.backup, "--recipient", lost.recipient)
        lost.mortal_then = {str(file): file.read_bytes() for file in (lost.home / "mortal").rglob("*") if file.is_file()}
        lost.revoked = _after(place)
        place.sluis("audit", "verify")
        lost.drops = {drop.file_name: drop.id for drop in place.drops()}
    finally:
        place.stop()
        place.home.ledger.engine.dispose()
    return lost


def lose_a_small_one(folder: Path, template: Path) -> Lost:
    """A home with nothing but two deliveries that nobody read: one before the backup and one after it, both erased after it."""
    lost = _with_a_key(folder, [])
    home = Home.open(Path(shutil.copytree(template, lost.home)))
    drops = [deliver(home, 1, campaign=None)]
    sequence(home)
    shutil.copytree(lost.log, lost.log_before)
    make_backup(home, lost.backup, [lost.recipient])
    for drop in (*drops, deliver(home, 2, campaign=None)):
        with home.ledger.change("administrator") as change:
            change.advance(drop_of(change.session, drop), Event.WINDOW_ENDED)
        erase(home, drop)
    sequence(home)
    home.ledger.engine.dispose()
    return lost


def _with_a_key(folder: Path, wanted: list[Needle]) -> Lost:
    lost = Lost(folder, *new_identity(), wanted)
    lost.identity_file.write_bytes(b"# created: long ago\n" + lost.identity.reveal() + b"\n")
    return lost


def _before(place: Today) -> None:
    register(place.home, "cito", make_key(place.folder, "cito-2"))
    objecting = place.at("41AA00")[:1]
    place.deliver("bezwaar.csv.age", place.sealed(objections(["41AA00", "41AB00"], objecting, place.today)), "bezwaren")
    place.deliver("gekoppeld.csv.age", place.sealed(delivery(place.at("41AA00"), place.today)))
    place.deliver("wacht.csv.age", place.sealed(delivery(place.at("41BA00"), place.today)), vendor="esis")
    place.sluis("report", "build", "--campaign", CAMPAIGN)
    place.sluis("publish", "--campaign", CAMPAIGN)
    for board in ("41001", "41002"):
        place.sluis("credential", "issue", board)


def _after(place: Today) -> str:
    esis = place.sealed(objections(["41BA00"], [], place.today))
    place.deliver("bezwaar-esis.csv.age", esis, "bezwaren", vendor="esis")  # what waits is linked, and erased
    place.deliver("erna.csv.age", place.sealed(delivery(place.at("41AB00"), place.today)))
    place.deliver("bezwaar-2.csv.age", place.sealed(objections(["41AA00"], place.at("41AA00")[:2], place.today)), "bezwaren")
    place.sluis("withdraw", "--campaign", CAMPAIGN, "--board", "41001", "--reason", "een fout")
    place.sluis("report", "build", "--campaign", CAMPAIGN, "--school", "41AA00")  # the second objection took results out of it
    place.sluis("publish", "--campaign", CAMPAIGN, "--reason", "hersteld")
    place.sluis("credential", "revoke", "41001")
    place.sluis("credential", "issue", "41002")
    with place.home.ledger.change("administrator") as change:
        second = vendor_keys(change.session, "cito")[-1].fingerprint
        revoke_key(change, "cito", second)
        remove_vendor(change, "esis")
    sequence(place.home)
    return second


def members(backup: Path, identity: Secret) -> dict[str, bytes]:
    """Everything in a backup, by age and tar alone."""
    found = {}
    with backup.open("rb") as sealed, unsealing(sealed, [identity]) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
    return found


def packed(content: dict[str, bytes], target: Path, recipient: str) -> None:
    """A backup with this content, in this order."""
    with target.open("wb") as sealed, sealing(sealed, [recipient]) as plain, tarfile.open(fileobj=plain, mode="w|") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))


def work_on(path: Path) -> Home:
    """The home, after the worker has done what was due in it."""
    home = Home.open(path)
    work = Work(home, packaged_rules("nco-lvs-1"), PersonRegister(home))
    upkeep(home)
    while True:
        with home.ledger.view() as session:
            due = due_drops(session, home.clock(), 100)
        if not due:
            break
        for drop in due:
            with home.ledger.change("worker") as change:
                claimed = claim_next(change, drop)
            assert claimed is not None and claimed.id is not None
            carry_out(work, Effect(claimed.kind), drop)
            with home.ledger.change("worker") as change:
                finish(change, claimed.id)
    sequence(home)
    return home


def beside(folder: Path) -> set[str]:
    """What stands in a folder."""
    with suppress(FileNotFoundError):
        return {path.name for path in folder.iterdir()}
    return set()


# ---------------------------------------------------------------- the place of the new home


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the new home goes."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place" / "home"


@pytest.fixture
def sluis(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line on that place."""
    monkeypatch.delenv("SLUIS_HOME", raising=False)
    return Cli(place, capsys, monkeypatch)
