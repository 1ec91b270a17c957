"""The recovery attack: whatever was copied on the way, with every key that is left, gives nothing back of what was erased.

A campaign of several vendors and schools is played while every version of every file is kept. Then thieves try: each took something at
some time, and each may use the keys that were still alive at some time. What opens, and what does not, is asserted exactly; the table
in docs/threat-model.md ("With a stolen backup") says the same. A thief who took everything in time must find everything: else the
others' finding nothing would prove nothing.
"""

import gzip
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.canaries import needles
from tests.support.every_version import EveryVersion
from tests.support.gateway import Door, Staged
from tests.support.intake import sftp_session, wait_for_ledger
from tests.support.pupils import Pupil, delivery, objections
from tests.support.thief import Haul, Workshop, everything

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: what must not outlive its end, by whose word nothing of it is on a medium that remembers (docs/threat-model.md)
FORGETFUL = ("mortal", "run")
#: drop → the pupils in it, as (school, first, last): each pupil is delivered once, so that a find names the drop that it came from
DROPS = {
    "plat.csv.age": ("41AA00", 0, 3),  # linked
    "deel.csv.gz.age": ("41AB00", 0, 3),  # linked; came under another name, in two pieces
    "blijft.csv.age": ("41BA00", 0, 3),  # no objection register ever comes: its window ends
    "kapot.csv.age": ("41AA00", 3, 5),  # cut short, in its second half
    "geloof.csv.age": ("41AB00", 3, 5),  # a column that may not be
    "leesbaar.csv": ("41AA00", 5, 7),  # not encrypted by the vendor
    "bezwaar.csv.age": ("41AB00", 7, 9),  # two objections
}
ERASED_AT_LINKING = {"plat.csv.age", "deel.csv.gz.age", "geloof.csv.age", "leesbaar.csv", "bezwaar.csv.age"}
HELD_TO_THE_END = {"blijft.csv.age", "kapot.csv.age"}
Things = dict[str, bytes]


@dataclass
class Story:
    """What was there when: whole copies of the home and of the tmpfs, and every version of every file."""

    owners: dict[str, str]  # number of the pupil among the planted → the drop it was delivered in
    workshop: Workshop
    copies: dict[str, Things] = field(default_factory=dict)
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    versions: Things = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # drop id → file name
    forgotten: bytes = b""  # what one vendor did not encrypt
    steps: int = 0

    def taken(self, when: str, *below: str, but: tuple[str, ...] = ()) -> Things:
        """What was there then (`ever`: every version there ever was) below these folders (none: everything) and not below others."""
        return {
            f"{when}: {name}": data
            for name, data in (self.versions if when == "ever" else self.copies[when]).items()
            if (not below or _is_below(name, below)) and not _is_below(name, but)
        }

    def steal(self, *loot: Things) -> Haul:
        return self.workshop.steal(item for things in loot for item in things.items())

    def lost(self, haul: Haul) -> set[str]:
        """The drops of which a pupil was found; of these every pupil, with number, birth date and postcode."""
        found = {self.owners[canary.split()[-1]] for canary in haul.canaries}
        whole = {f"{what} of {at}" for at, drop in self.owners.items() if drop in found for what in ("number", "birth", "address")}
        registers = {canary for canary in whole if self.owners[canary.split()[-1]] == "bezwaar.csv.age" and not canary.startswith("number")}
        assert haul.canaries == whole - registers  # an objection register holds numbers only
        return found


def _is_below(name: str, folders: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{folder}/" for folder in folders))


class Play:
    """The campaign, and a copy of everything at each stage."""

    def __init__(self, folder: Path) -> None:
        self.place = Staged(folder)
        self.folder = folder
        self.who = {name: self.place.at(school)[first:last] for name, (school, first, last) in DROPS.items()}
        planted = [pupil for pupils in self.who.values() for pupil in pupils]
        owners = [name for name, pupils in self.who.items() for _ in pupils]
        self.story = Story({str(at): name for at, name in enumerate(owners)}, Workshop(needles(planted)))

    def copy(self, stage: str) -> None:
        self.story.copies[stage] = dict(everything(self.place.home.path)) | {
            f"run/{name}": data for name, data in everything(self.folder / "tmpfs")
        }

    def deliver(self, vendor: str, *files: tuple[str, bytes], folder: str = "leveringen") -> None:
        with sftp_session(self.place.intake_port, vendor, self.place.keys[vendor]) as sftp:
            for name, data in files:
                Door(self.place, vendor, sftp).deliver(name, data, folder)

    def plain(self, name: str) -> bytes:
        who: list[Pupil] = self.who[name]
        if name.startswith("bezwaar"):
            return objections(["41AA00", "41AB00"], who, self.place.today)
        # what was cut short can be read as far as age's chunks of 64 KiB are whole
        return delivery(who, self.place.today) * (25 if name.startswith("kapot") else 1)

    def sealed(self, name: str) -> bytes:
        return self.place.sealed(self.plain(name))

    def run(self) -> None:
        place = self.place
        self.deliver("cito", ("half.csv.gz.age.part", place.sealed(gzip.compress(self.plain("deel.csv.gz.age")))))
        self.copy("arriving")
        header, rest = self.plain("geloof.csv.age").split(b"\n", 1)
        believing = place.sealed(header + b";geloof\n" + rest.replace(b"\n", b";x\n"))
        with sftp_session(place.intake_port, "cito", place.keys["cito"]) as sftp:
            sftp.rename("leveringen/half.csv.gz.age.part", "leveringen/deel.csv.gz.age")
        self.deliver(
            "cito",
            ("plat.csv.age", self.sealed("plat.csv.age")),
            ("kapot.csv.age", self.sealed("kapot.csv.age")[:-20]),
            ("geloof.csv.age", believing),
            ("leesbaar.csv", self.plain("leesbaar.csv")),
        )
        self.story.forgotten = self.plain("leesbaar.csv")
        self.deliver("esis", ("blijft.csv.age", self.sealed("blijft.csv.age")))
        self.deliver("cito", ("bezwaar.csv.age", self.sealed("bezwaar.csv.age")), folder="bezwaren")
        wait_for_ledger(place.home)
        self.copy("received")
        place.settle()
        self.copy("linked")
        self.story.names = {drop.id: drop.file_name for drop in place.drops()}
        place.at_time(place.START + timedelta(days=40))
        self.copy("ended")
        self.story.states = {drop.file_name: (drop.state, drop.raw) for drop in place.drops()}


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        for place in ("tmpfs", "tmp"):
            (folder / place).mkdir()
        patch.setenv("RUNTIME_DIRECTORY", str(folder / "tmpfs"))  # as the service manager says it
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        with EveryVersion(folder) as recorder:
            play = Play(folder)
            try:
                play.run()
            finally:
                play.place.stop()
        play.story.steps = recorder.steps
        play.story.versions = dict(recorder.below(folder / "home")) | {f"tmp/{name}": data for name, data in recorder.below(folder / "tmp")}
        play.story.versions |= {f"run/{name}": data for name, data in recorder.below(folder / "tmpfs")}
        yield play.story


# ---------------------------------------------------------------- the story, and what the harness can


def test_the_story_was_a_whole_one(story: Story) -> None:
    """Otherwise there would be little to find."""
    assert story.states == {
        "plat.csv.age": ("linked", "erased"),
        "deel.csv.gz.age": ("linked", "erased"),
        "blijft.csv.age": ("expired", "erased"),
        "kapot.csv.age": ("expired", "erased"),
        "geloof.csv.age": ("rejected", "erased"),
        "leesbaar.csv": ("rejected", "erased"),
        "bezwaar.csv.age": ("registered", "erased"),
    }
    assert story.steps > 500 and len(story.versions) > 200


def test_who_takes_everything_in_time_finds_everything(story: Story) -> None:
    """The positive control: the very same search, with the keys that were alive then."""
    assert story.lost(story.steal(story.taken("received"))) == set(DROPS)


def test_an_upload_under_way_is_in_reach_of_who_has_the_tmpfs_too(story: Story) -> None:
    assert story.lost(story.steal(story.taken("arriving"))) == {"deel.csv.gz.age"}
    haul = story.steal(story.taken("arriving", but=("run",)))
    assert (story.lost(haul), haul.opened) == (set(), {})


def test_nothing_was_ever_readable_in_any_file_without_a_key(story: Story) -> None:
    """Every version of every file, keys too, looked at and not opened: one vendor had even forgotten to encrypt."""
    assert not any(story.workshop.canaries(data) for data in story.versions.values())


def test_no_digest_of_readable_bytes_was_ever_kept(story: Story) -> None:
    """Who guesses a short file could check the guess against it, years later."""
    digest = hashlib.sha256(story.forgotten)
    assert not any(digest.digest() in data or digest.hexdigest().encode() in data for data in story.versions.values())


# ---------------------------------------------------------------- after the end


def test_once_erased_nothing_opens_with_the_keys_that_are_left(story: Story) -> None:
    """While the day's key still lives: only what is not due yet can be read, by the keys with which the worker would read it."""
    haul = story.steal(story.taken("ever", but=FORGETFUL), story.taken("linked"))
    assert story.lost(haul) == HELD_TO_THE_END
    assert len(haul.of(".blob › AES-CTR")) == 2 * len(HELD_TO_THE_END)  # as remembered, and as copied
    assert haul.locks > 50 and haul.keys > 100_000


def test_after_the_window_nothing_opens_at_all(story: Story) -> None:
    haul = story.steal(story.taken("ever", but=FORGETFUL), story.taken("ended"))
    assert (story.lost(haul), haul.opened) == (set(), {})
    assert haul.locks > 50 and haul.keys > 100_000


@pytest.mark.parametrize("stage", ["arriving", "received", "linked", "ended"])
def test_a_backup_by_the_rule_opens_nothing_ever(story: Story, stage: str) -> None:
    """Without `mortal/` and the runtime folder; with the keys that live for years (`keys/`) all the same."""
    haul = story.steal(story.taken(stage, but=FORGETFUL))
    assert (story.lost(haul), haul.opened) == (set(), {})


def test_all_backups_together_with_the_keys_left_today_open_nothing(story: Story) -> None:
    backups = [story.taken(stage, but=FORGETFUL) for stage in story.copies]
    haul = story.steal(*backups, story.taken("ended"))
    assert (story.lost(haul), haul.opened) == (set(), {})


# ---------------------------------------------------------------- copies of what nobody may copy: what they open, and until when


def test_copied_sealed_keys_open_their_drops_as_long_as_the_days_key_lives(story: Story) -> None:
    """`mortal/drops` copied in time (a snapshot, a backup against the rule): the drop's own erasure does not reach the copy, the end of
    the day's key does."""
    copied = story.taken("ever", "mortal/drops"), story.taken("ever", but=FORGETFUL)
    assert story.lost(story.steal(*copied, story.taken("linked"))) == set(DROPS)
    unencrypted = story.lost(story.steal(*copied, story.taken("linked", but=("mortal/recipients",))))
    assert unencrypted == {"leesbaar.csv"}, "without the recipient key the vendors' own encryption is left"
    haul = story.steal(*copied, story.taken("ended"))
    assert (story.lost(haul), haul.opened) == (set(), {})


@pytest.mark.parametrize("kinds", [("epochs",), ("recipients",), ("epochs", "recipients", "registers", "objections", "bundles")], ids=str)
def test_copied_private_keys_open_no_drop_whose_own_key_is_gone(story: Story, kinds: tuple[str, ...]) -> None:
    copied = story.taken("ever", *(f"mortal/{kind}" for kind in kinds))
    haul = story.steal(copied, story.taken("ever", but=FORGETFUL), story.taken("ended"))
    assert (story.lost(haul), haul.opened) == (set(), {})


def test_a_copy_of_the_tmpfs_opens_the_resumed_upload_until_the_vendors_key_ends(story: Story) -> None:
    """The key of an upload under way is in no seal. What it opens is the vendor's own encryption, to the recipient key."""
    copied = story.taken("ever", "run"), story.taken("ever", but=FORGETFUL)
    assert story.lost(story.steal(*copied, story.taken("linked"))) == {*HELD_TO_THE_END, "deel.csv.gz.age"}
    haul = story.steal(*copied, story.taken("ended", but=("mortal/recipients",)))
    assert story.lost(haul) == set()
    assert {how.partition(", ")[0].partition(" ›")[0] for how in haul.opened} == {
        f"ever: {place}"
        for place in (
            *(f"drops/{drop}.blob" for drop, name in story.names.items() if name == "deel.csv.gz.age"),
            *{name.partition(", ")[0] for name in story.versions if name.startswith("incoming/") and ".blob" in name},
        )
    }


def test_a_copy_of_the_whole_store_in_time_is_a_copy_for_ever(story: Story) -> None:
    """What is not promised: docs/threat-model.md says so."""
    haul = story.steal(story.taken("received", "mortal"), story.taken("ever", but=FORGETFUL), story.taken("ended"))
    assert story.lost(haul) == set(DROPS)
