"""Root on the intake host: with everything that the intake's unit lets it read, nothing opens of what was committed.

The view is taken from systemd/sluis-intake.service line by line; the service that makes the drops is the real one, with the keys that
the service manager would hand it and a runtime folder of its own.
"""

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from gateway.intake.files.delivery import CLOSERS
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.models import Drop
from keys.sealing import unseal
from tests.support.canaries import needles
from tests.support.deliveries import age
from tests.support.intake import Service, deployed, drops, free_port, make_home, make_key, register, sftp_session
from tests.support.pupils import Pupil, delivery, objections, pupils
from tests.support.thief import Workshop, everything

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd/sluis-intake.service"
STATE = "/var/lib/sluis"
INTAKE, GROUP = 61_001, 61_000
Things = dict[str, bytes]


def said(setting: str) -> list[str]:
    """What the unit says of it; of paths, below the home."""
    values = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{setting}=")]
    return [value.removeprefix("-").removeprefix(STATE).removeprefix("/") for value in values]


def credentials(home: Path, folder: Path) -> None:
    """The copies that the service manager makes for the service: of a folder every file, under the folder's name and its own."""
    folder.mkdir()
    for setting in said("LoadCredential"):
        name, _, source = setting.partition(":")
        path = home / Path(source).relative_to(STATE)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            copy = folder / (f"{name}_{file.name}" if path.is_dir() else name)
            copy.write_bytes(file.read_bytes())


@dataclass
class Seized:
    """An intake host at the moment when somebody becomes root there."""

    home: Path
    runtime: Path
    credentials: Path
    committed: list[Drop]
    workshop: Workshop
    wanted: set[str]

    def view(self) -> Things:
        """Every file that the unit lets the service read."""
        return {
            **{f"home: {name}": data for name, data in everything(self.home, *said("InaccessiblePaths"))},
            **{f"runtime: {name}": data for name, data in everything(self.runtime)},
            **{f"credentials: {name}": data for name, data in everything(self.credentials)},
        }

    def more(self, *below: str) -> Things:
        """What the unit hides, below these folders."""
        return {f"more: {folder}/{name}": data for folder in below for name, data in everything(self.home / folder)}

    def opened(self, things: Things) -> tuple[set[str], set[str]]:
        """Committed drops whose own layer came off, and the identifiers that were found."""
        haul = self.workshop.steal(things.items())
        assert haul.locks >= len(self.committed) and haul.keys > 1000
        return {drop.id for drop in self.committed if haul.of(f"drops/{drop.id}.blob › AES-CTR")}, haul.canaries


@pytest.fixture(scope="module")
def seized() -> Iterator[Seized]:
    """Committed: small and large, in one go and in two, one that the vendor forgot to encrypt, an objection register. One is under way."""
    with tempfile.TemporaryDirectory(prefix="sluis-root-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        port = free_port()
        home = make_home(folder, port=port)
        seized = Seized(home.path, folder / "run", folder / "credentials", [], Workshop([]), set())
        credentials(home.path, seized.credentials)
        seized.runtime.mkdir()
        key = make_key(folder)
        register(home, "cito", key)
        today = home.clock().date()
        who = pupils(today)[:6]
        service = Service(home.path, port, folder, RUNTIME_DIRECTORY=str(seized.runtime), CREDENTIALS_DIRECTORY=str(seized.credentials))

        def sealed(plain: bytes) -> bytes:
            return age(plain, home.recipients.public())

        def of(*at: int) -> list[Pupil]:
            return [who[each] for each in at]

        try:
            with sftp_session(port, "cito", key) as sftp:
                with sftp.open("leveringen/in-een-keer.csv.age", "wb") as file:
                    file.write(sealed(delivery(of(0), today)))
                with sftp.open("leveringen/groot.csv.age", "wb") as file:
                    file.set_pipelined(True)
                    file.write(sealed(delivery(of(1), today) * 300))  # more than is kept in memory until the close
                two = sealed(gzip.compress(delivery(of(2), today)))
                for mode, piece in (("wb", two[:300]), ("ab", two[300:])):
                    with sftp.open("leveringen/half.csv.gz.age.part", mode) as file:
                        file.write(piece)
                sftp.rename("leveringen/half.csv.gz.age.part", "leveringen/heel.csv.gz.age")
                with sftp.open("leveringen/leesbaar.csv", "wb") as file:
                    file.write(delivery(of(3), today))
                with sftp.open("bezwaren/bezwaar.csv.age", "wb") as file:
                    file.write(sealed(objections([who[4].school], of(4), today)))
                with sftp.open("leveringen/onderweg.csv.age.part", "wb") as file:
                    file.write(sealed(delivery(of(5), today)))
            seized.committed = drops(home)
        finally:
            service.kill()  # as when the plug is pulled: nothing is tidied
        seized.workshop = Workshop(needles(who))
        seized.wanted = {needle.canary for needle in needles(who)}
        yield seized


def test_with_all_that_the_unit_may_read_no_committed_drop_opens(seized: Seized) -> None:
    assert len(seized.committed) == 5
    view = seized.view()
    assert {"home: sluis.sqlite", "credentials: ssh_host", f"home: mortal/drops/{seized.committed[0].id}"} <= view.keys()
    assert not any(name.startswith(("home: keys/", "home: mortal/epochs/", "home: mortal/recipients/")) for name in view)
    assert seized.opened(view) == (set(), set())


def test_what_is_under_way_loses_its_outer_layer_and_no_more(seized: Seized) -> None:
    """The key of an upload that was not finished has to be somewhere; the vendor encrypted it to a key that is not here."""
    haul = seized.workshop.steal(seized.view().items())
    (how,) = haul.opened
    assert how.startswith("home: incoming/cito/leveringen/") and haul.opened[how].startswith(b"age-encryption.org/v1\n")
    assert haul.canaries == set()


def test_with_what_the_unit_hides_the_same_search_opens_everything(seized: Seized) -> None:
    """The positive control, key by key: the day's key takes our layer off, the recipient key the vendor's."""
    all_of_them = {drop.id for drop in seized.committed}
    opened, found = seized.opened(seized.view() | seized.more("mortal/epochs"))
    assert opened == all_of_them
    assert {canary.split()[-1] for canary in found} == {"3"}, "only the file that its vendor had not encrypted"
    opened, found = seized.opened(seized.view() | seized.more("mortal/epochs", "mortal/recipients"))
    assert opened == all_of_them
    assert found == seized.wanted - {"birth of 4", "address of 4"}  # an objection register holds numbers only


def test_the_keys_that_live_for_years_open_nothing_either(seized: Seized) -> None:
    """A whole backup by the rule beside the view: long-lived keys, registers and log."""
    opened, found = seized.opened(seized.view() | seized.more("keys", "registers", "audit", "results"))
    assert (opened, found) == (set(), set())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_user_of_the_unit_reads_no_more_than_that(seized: Seized) -> None:
    """As the service's own Unix user; what the unit hides is there as systemd leaves it: an empty folder of root's, closed."""
    with tempfile.TemporaryDirectory(prefix="sluis-seen-", dir="/tmp") as name:
        outer = Path(name)
        outer.chmod(0o755)
        for source, target in ((seized.home, "home"), (seized.runtime, "runtime"), (seized.credentials, "credentials")):
            copytree(source, outer / target)
        for path in [outer / "home", *outer.rglob("*")]:
            os.chown(path, INTAKE, GROUP)  # more than in a real home, where most is root's and the group's
        for hidden in said("InaccessiblePaths"):
            rmtree(outer / "home" / hidden)
            (outer / "home" / hidden).mkdir(mode=0)
        taken = subprocess.run(
            ["tar", "--create", "--ignore-failed-read", "home", "runtime", "credentials"],
            cwd=outer, user=INTAKE, group=GROUP, extra_groups=[], capture_output=True, check=False,
        )  # fmt: skip
    assert taken.stderr.count(b"Permission denied") == len(said("InaccessiblePaths")), taken.stderr
    seen: Things = {}
    with tarfile.open(fileobj=io.BytesIO(taken.stdout)) as archive:
        for member in archive.getmembers():
            if (file := archive.extractfile(member)) is not None:
                place, _, rest = member.name.partition("/")
                seen[f"{place}: {rest}"] = file.read()
    assert seen == seized.view()
    assert seized.opened(seen) == (set(), set())


def writable_memory(pid: int) -> Iterator[bytes]:
    """What a process has in memory that it wrote itself."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            (start, _, end), rights = line.split()[0].partition("-"), line.split()[1]
            if "w" in rights:
                with suppress(OSError, ValueError):  # what the kernel keeps for itself, or what has just gone
                    memory.seek(int(start, 16))
                    yield memory.read(int(end, 16) - int(start, 16))


def test_keys_of_committed_drops_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    """At most the last one that each thread sealed is there, since nobody wipes what is freed; the key of an upload under way is."""
    with deployed(tmp_path) as case, case.sftp() as sftp:
        delivered = 2 * CLOSERS + 8  # there are two doors
        for number in range(delivered):
            with sftp.open(f"leveringen/{number}.csv.age", "wb") as file:
                file.write(age(bytes(300), case.home.recipients.public()))
        committed = drops(case.home)
        with sftp.open("leveringen/onderweg.csv.age.part", "wb") as file:
            file.write(age(bytes(300), case.home.recipients.public()))
            file.stat()  # an answer: what was sent before has been taken
            memory = b"".join(part for process in case.service.family().values() for part in writable_memory(process.pid))
        (under_way,) = [path.read_bytes() for path in (case.home.run / "uploads").iterdir()]
        assert len(committed) == delivered
        sealed = [(sealed_key_of(case.home.mortal.read(DROP_KEYS, drop.id)), case.home.epochs.identity(drop.epoch)) for drop in committed]
        keys = [unseal(*each).reveal() for each in sealed]
    assert under_way in memory, "the search finds a key that is there"
    assert sum(key in memory for key in keys) <= 2 * CLOSERS
