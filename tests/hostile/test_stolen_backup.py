"""A stolen backup: of today or of years ago; sealed, or with the operator's key; a copy of the home that leaves out `mortal/`.

What gives nothing, and what gives something to whom: each line of "With a stolen backup" in docs/threat-model.md is asserted here. What
copies of `mortal/` open, and until when, is in tests/functional/test_recovery_attack.py.
"""

import io
import json
import struct
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl
import pyrage
import pytest

from gateway.store.backup import make_backup
from keys.mac import cmac_blocks
from keys.pseudonyms import PseudonymDomain
from keys.secret import Secret
from policies.errors import Refused
from tests.support.canaries import needles
from tests.support.gateway import Staged
from tests.support.pupils import PER_SCHOOL, Pupil, delivery, objections
from tests.support.thief import IDENTITY, KEY, Haul, Workshop, everything

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: what no backup may hold (docs/operator/backup.md)
LEFT_OUT = ("mortal", "run")
YEARS = timedelta(days=3 * 365)
#: the first byte of the blocks that MACs are made of (gateway/drop/keyed.py)
KEY_BSN, KEY_ONDERWIJSNUMMER = 1, 4
Things = dict[str, bytes]


@dataclass
class Stolen:
    """Backups of two moments, sealed and opened, and copies of the whole home."""

    who: list[Pupil]
    objecting: list[Pupil]
    operator: pyrage.x25519.Identity
    workshop: Workshop
    sealed: Things = field(default_factory=dict)
    copies: dict[str, Things] = field(default_factory=dict)

    def opened(self, when: str) -> Things:
        """The members of a backup, for who has the operator's key."""
        with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(self.sealed[when], [self.operator]))) as archive:
            files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
            return {f"{when}: {name}": file.read() for name, file in files.items() if file is not None}

    def copied(self, when: str, but: tuple[str, ...] = LEFT_OUT) -> Things:
        """A copy of the home as a careful administrator makes it."""
        return {f"{when}: {name}": data for name, data in self.copies[when].items() if not name.startswith(tuple(f"{no}/" for no in but))}

    def steal(self, *loot: Things) -> Haul:
        return self.workshop.steal(item for things in loot for item in things.items())


@pytest.fixture(scope="module")
def stolen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stolen]:
    """Two moments of a campaign: before anything was linked, and after; then years go by."""
    place = Staged(tmp_path_factory.mktemp("backup"))
    try:
        linked = place.at("41AA00")
        held = place.at("41BA00")
        objecting = [linked[0], linked[5]]  # the one by its BSN, the other by its onderwijsnummer
        operator = pyrage.x25519.Identity.generate()
        stolen = Stolen(linked + held, objecting, operator, Workshop(needles([*linked, *held])))

        def take(when: str) -> None:
            make_backup(place.home, place.folder / when, [str(operator.to_public())])
            stolen.sealed[when] = (place.folder / when).read_bytes()
            stolen.copies[when] = dict(everything(place.home.path))

        place.deliver("lvs.csv.age", place.sealed(delivery(linked, place.today)))
        place.deliver("esis.csv.age", place.sealed(delivery(held, place.today)), vendor="esis")
        take("early")
        place.deliver("bezwaar.csv.age", place.sealed(objections(["41AA00", "41AB00"], objecting, place.today)), "bezwaren")
        assert place.drop("lvs.csv.age").state == "linked"
        take("late")
        place.at_time(place.START + YEARS)
        stolen.copies["years later"] = dict(everything(place.home.path))
        yield stolen
    finally:
        place.stop()


# ---------------------------------------------------------------- sealed


def test_a_sealed_backup_says_nothing_to_who_has_not_the_operators_key(stolen: Stolen) -> None:
    """Not with any key of the gateway that it is of, on the day itself: those that must die and those that live for years."""
    for when, sealed in stolen.sealed.items():
        identities = {match for data in stolen.copies[when].values() for match in IDENTITY.findall(data)}
        assert len(identities) > 10
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(text.decode()) for text in identities])
        assert b"41AA00" not in sealed and b"sluis.toml" not in sealed
        assert stolen.workshop.canaries(sealed) == set()


# ---------------------------------------------------------------- with the operator's key


@pytest.mark.parametrize("when", ["early", "late"])
def test_with_the_operators_key_no_identifier_comes_out_today_or_ever(stolen: Stolen, when: str) -> None:
    """Today with nothing else, and years later with every key that was left then."""
    members = stolen.opened(when)
    assert any(name.endswith("keys/authority/pseudonyms") for name in members)
    for later in ({}, stolen.copies["years later"]):
        haul = stolen.steal(members, {f"left: {name}": data for name, data in later.items()})
        assert haul.canaries == set() and haul.of(when) == []


def test_no_key_that_must_die_is_in_a_backup(stolen: Stolen) -> None:
    for when in stolen.sealed:
        whole = b"".join(stolen.opened(when).values())
        mortal = [data.strip() for name, data in stolen.copies[when].items() if name.startswith("mortal/")]
        assert len(mortal) > 15
        assert [data for data in mortal if data in whole or data.hex().encode() in whole] == []


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_copy_of_the_home_without_its_mortal_keys_is_noise_too(stolen: Stolen, when: str) -> None:
    """It holds the drops' ciphertext, which `sluis backup` does not: under keys that are not in it."""
    assert any("drops/" in name for name in stolen.copied(when))
    for later in ({}, stolen.copies["years later"]):
        haul = stolen.steal(stolen.copied(when), {f"left: {name}": data for name, data in later.items()})
        assert (haul.canaries, haul.of(when)) == (set(), [])


def test_the_same_search_finds_all_that_is_held_when_the_mortal_keys_are_there(stolen: Stolen) -> None:
    """The positive control: the whole home at the same moments."""
    every = {needle.canary for needle in needles(stolen.who)}
    held = {canary for canary in every if int(canary.split()[-1]) >= PER_SCHOOL}
    assert stolen.steal(stolen.copied("early", but=())).canaries == every
    assert stolen.steal(stolen.copied("late", but=())).canaries == held, "the linked ones were erased by then"


# ---------------------------------------------------------------- the keys that live for years


def tables(things: Things, folder: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(io.BytesIO(data)) for name, data in sorted(things.items()) if f" {folder}/" in name])


def test_the_pseudonym_key_turns_results_into_ids_of_a_register_that_is_elsewhere(stolen: Stolen) -> None:
    """Results and `keys/` together undo the pseudonyms: to the population register's own person ids, which name nobody without it."""
    members = stolen.opened("late")
    key = Secret(next(data for name, data in members.items() if name.endswith("keys/authority/pseudonyms")))
    persons = set(tables(members, "results")["persoon"])
    linked = {pupil.person for pupil in stolen.who[:PER_SCHOOL]} - {pupil.person for pupil in stolen.objecting}
    domain = PseudonymDomain(key, "store", "person")
    assert {domain.reveal(person) for person in persons} == linked
    numbers = {pupil.bsn or pupil.onderwijsnummer for pupil in stolen.who}
    assert numbers.isdisjoint(linked)
    another = PseudonymDomain(Secret(bytes(KEY)), "store", "person")
    for person in persons:
        with pytest.raises(Refused):
            another.reveal(person)


def found_by_enumeration(things: Things, who: list[Pupil], keys: Iterable[bytes]) -> set[str]:
    """Persons whose number is in the register or in the objections, by trying numbers under these keys. A thief tries all of them,
    which takes minutes; here those that are there stand for the rest."""
    numbers = [(KEY_BSN, one.bsn) if one.bsn else (KEY_ONDERWIJSNUMMER, one.onderwijsnummer) for one in who]
    blocks = np.frombuffer(b"".join(struct.pack(">BI11x", tag, int(number)) for tag, number in numbers), dtype=np.uint8).reshape(-1, 16)
    register = b"".join(
        int(value).to_bytes(16, "little", signed=True)
        for name, data in things.items()
        if " registers/" in name
        for column in ("key_bsn", "key_ond")
        for value in pl.read_parquet(io.BytesIO(data))[column].drop_nulls()
    )
    rest = b"\n".join([register, *(data for name, data in things.items() if " registers/" not in name)])
    runs = np.lib.stride_tricks.sliding_window_view(np.frombuffer(rest, dtype=np.uint8), 8)
    macs = np.array([cmac_blocks(Secret(key), blocks) for key in keys])[:, :, :8]
    there = np.isin(np.ascontiguousarray(macs).view(np.uint64)[:, :, 0], np.ascontiguousarray(runs).view(np.uint64))
    return {one.person for one, found in zip(who, there.any(axis=0), strict=True) if found}


def keys_below(things: Things, folder: str) -> list[bytes]:
    """Every 32 bytes in a row of the files there."""
    files = [data for name, data in things.items() if f" {folder}/" in name]
    return [data[at : at + KEY] for data in files for at in range(len(data) - KEY + 1)]


def test_macs_can_be_enumerated_with_their_own_key_and_with_no_other(stolen: Stolen) -> None:
    """Registers and objections hold MACs of nine-digit numbers. Their keys are in `mortal/`: whoever has one finds everybody in it."""
    whole, backup = stolen.copied("late", but=()), stolen.copied("late")
    everybody = {pupil.person for pupil in stolen.who}
    assert found_by_enumeration(whole, stolen.who, keys_below(whole, "mortal/registers")) == everybody
    assert found_by_enumeration(whole, stolen.who, keys_below(whole, "mortal/objections")) == {pupil.person for pupil in stolen.objecting}
    long_lived = keys_below(backup, "keys")
    assert len(long_lived) > 300
    assert found_by_enumeration(backup, stolen.who, long_lived) == set()
    assert found_by_enumeration(stolen.opened("late"), stolen.who, keys_below(stolen.opened("late"), "keys")) == set()


def objecting(things: Things) -> set[str]:
    """Pseudonyms of who objected, as they stand in a backup's dump of the ledger."""
    found = set()
    for name, data in things.items():
        if ".objection_person." in name:
            found |= {json.loads(line)["person"] for line in data.splitlines()}
    return found


def test_a_backup_tells_who_objected_to_whoever_has_the_pseudonym_key_and_the_population_register(stolen: Stolen) -> None:
    """While the campaign's registers lived. To the others they are pseudonyms whose results are nowhere."""
    members = stolen.opened("late")
    key = Secret(next(data for name, data in members.items() if name.endswith("keys/authority/pseudonyms")))
    persons = objecting(members)
    assert len(persons) == 2 and persons.isdisjoint(tables(members, "results")["persoon"])
    assert {PseudonymDomain(key, "store", "person").reveal(person) for person in persons} == {pupil.person for pupil in stolen.objecting}


def test_once_the_registers_have_ended_nothing_of_today_tells_who_objected(stolen: Stolen) -> None:
    """Nor makes an old backup's MACs mean anything: their key is in no copy made after the end."""
    later = {f"later: {name}": data for name, data in stolen.copies["years later"].items()}
    assert keys_below(later, "mortal/objections") == []
    persons = [person.encode() for person in objecting(stolen.opened("late"))]
    assert not any(person in data for person in persons for data in later.values())
    old = stolen.opened("late") | later
    every_key_left = [key for folder in ("keys", "mortal/epochs", "mortal/recipients") for key in keys_below(later, folder)]
    assert found_by_enumeration(old, stolen.who, every_key_left) == set()
