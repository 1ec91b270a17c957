"""Every invariant of a home can be broken, and is then named; a home on which the roles worked breaks none."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from audit.entry import Entry
from gateway.drop.lifecycle import Effect, Raw, State
from gateway.store.auditing import log_directly, sequence
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.ledger import Change, drop_of
from gateway.store.models import AuditRow, Drop, EffectRow, Mandate, Part, PendingWithdrawal, RecipientKey, Replacement, School
from gateway.store.parts import next_file
from gateway.store.recipient_keys import rotate_recipients
from keys.keystore import Keystore
from keys.secret import Secret
from tests.support.crash_plays import BOARD, DELIVERY, REGISTER, SHIFT, clock_of, deliver, delivery, make_home, register, work
from tests.support.crashing import MEMORY
from tests.support.deliveries import age, rows, write_csv
from tests.support.steps import Counter

OTHER_SCHOOL = "02BB00"
STRANGER = "d20260220-aaaaaaaaaaaaaaaa"


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """At rest: one drop linked and erased, one register kept and erased, one accepted that waits for its school's register."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as room:
        path = Path(room) / "home"
        home = make_home(path)
        with home.ledger.change("administrator") as change:
            change.session.add(School(code=OTHER_SCHOOL, name="Basisschool"))
            change.session.flush()
            change.session.add(Mandate(school=OTHER_SCHOOL, board=BOARD, valid_from=date(2010, 8, 1)))
        deliver(home, DELIVERY, delivery(home))
        deliver(home, REGISTER, register(home))
        deliver(home, "leveringen/later.csv.age", age(write_csv(rows(50, schools=(OTHER_SCHOOL,))), home.recipients.public()))
        home.ledger.engine.dispose()
        work(path, Counter(path, None, Path(room) / "trace"))
        yield path


class Place:
    """A copy of the template, with its drops by what became of them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        with home.ledger.view() as session:
            found = {drop.state: drop for drop in drops(session)}
        self.linked, self.waiting = found[State.LINKED], found[State.ACCEPTED]

    def change(self, what: Callable[[Change], object]) -> None:
        with self.home.ledger.change("test") as change:
            what(change)

    def set(self, drop: Drop, **values: object) -> None:
        def setting(change: Change) -> None:
            fresh = drop_of(change.session, drop.id)
            for name, value in values.items():
                setattr(fresh, name, value)

        self.change(setting)

    def forget(self, drop: Drop, effect: Effect) -> None:
        def forgetting(change: Change) -> None:
            for row in change.session.exec(select(EffectRow).where(EffectRow.drop == drop.id, EffectRow.kind == effect)):
                row.done_at = change.now

        self.change(forgetting)

    def entry(self, drop: Drop, action: str) -> Callable[[Change], AuditRow]:
        def finding(change: Change) -> AuditRow:
            return change.session.exec(select(AuditRow).where(AuditRow.object == drop.id, AuditRow.action == action)).one()

        return finding

    def receipt(self, drop: Drop, suffix: str = "json") -> Path:
        return self.home.receipts(drop.vendor) / f"{drop.id}.{suffix}"

    def part(self) -> Path:
        with self.home.ledger.view() as session:
            return self.home.results / session.exec(select(Part.file)).one()

    def tile(self) -> Path:
        return max(
            (path for path in (self.home.path / "audit/tile/entries").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )


@pytest.fixture
def place(template: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as room:
        shutil.copytree(template, Path(room) / "home")
        home = Home.open(Path(room) / "home", clock_of(SHIFT))
        yield Place(home)
        home.ledger.engine.dispose()


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def change_entry(place: Place) -> None:
    place.tile().write_bytes(place.tile().read_bytes().replace(b"drop.linked", b"drop.lynked"))


def rename_entry(place: Place) -> None:
    def renaming(change: Change) -> None:
        place.entry(place.linked, "drop.linked")(change).actor = "somebody"

    place.change(renaming)


def take_entry(place: Place) -> None:
    def taking(change: Change) -> None:
        change.session.delete(place.entry(place.linked, "drop.accepted")(change))

    place.change(taking)


def unannounce(place: Place) -> None:
    def taking(change: Change) -> None:
        place.entry(place.linked, "drop.erasure-begun")(change).leaf = None

    place.change(taking)


def wrong_receipt(place: Place) -> None:
    path = place.receipt(place.waiting)
    said = json.loads(path.read_bytes())
    path.write_text(json.dumps({**said, "state": "linked"}))


def certify_too_early(place: Place) -> None:
    """The receipt of a drop that is held says, duly signed, what an erased one's does."""
    place.set(place.linked, raw=Raw.MAYBE_ERASED, erased_at=None)


#: at any moment: how to break it → what is named
BREACHES: dict[str, tuple[str, Callable[[Place], object]]] = {
    "a held drop's key is gone": ("held-without-key", lambda at: at.home.mortal.destroy("drops", at.waiting.id)),
    "a held drop's file is gone": ("held-without-bytes", lambda at: at.home.blob(at.waiting.id).unlink()),
    "a held drop's file is cut off": ("held-without-bytes", lambda at: os.truncate(at.home.blob(at.waiting.id), 100)),
    "a held drop's day has no key": ("held-without-epoch", lambda at: at.home.epochs.destroy(at.waiting.epoch)),
    "an erased drop's key came back": ("erased-still-there", lambda at: at.home.mortal.create("drops", at.linked.id, Secret(b"x"))),
    "an erased drop's file came back": ("erased-still-there", lambda at: at.home.blob(at.linked.id).write_bytes(b"x")),
    "erased before the log said so": ("erased-unannounced", unannounce),
    "a state that is none": ("life", lambda at: at.set(at.waiting, state="lost")),
    "a state without its entry": ("life", lambda at: at.set(at.waiting, state=State.REJECTED)),
    "erased without its entry": ("life", lambda at: at.set(at.linked, raw=Raw.HELD)),
    "erased at no time": ("life", lambda at: at.set(at.linked, erased_at=None)),
    "an entry taken out of the ledger": ("life", take_entry),
    "nothing asks for the link": ("stuck", lambda at: at.forget(at.waiting, Effect.LINK)),
    "nothing asks for the erasure": ("stuck", lambda at: at.set(at.linked, raw=Raw.MAYBE_ERASED)),
    "held after its deadline": ("overdue", lambda at: at.set(at.waiting, erase_before=at.home.clock())),
    "a day's key after its deadline": ("epoch-overdue", lambda at: at.home.epochs.ensure(at.home.clock().date() - timedelta(days=22))),
    "linked, results gone": ("results", lambda at: at.part().unlink()),
    "linked, results changed": ("results", lambda at: append(at.part())),
    "linked, results not in the ledger": ("results", lambda at: at.change(lambda change: change.session.delete(one_part(change)))),
    "replaced by what is not linked": ("replaced", lambda at: at.change(replaced_by_nothing)),
    "results of no drop": ("results-left", lambda at: shutil.copy(at.part(), at.part().with_name(f"{STRANGER}.parquet"))),
    "half-written results of an erased drop": ("results-left", lambda at: shutil.copy(at.part(), half_written(at.part()))),
    "a file of no drop": ("bytes-unknown", lambda at: at.home.blob(STRANGER).write_bytes(b"x")),
    "a destroyed key of vendors came back": ("recipient-still-there", lambda at: bring_back(at)),
    "an entry changed in the ledger": ("log", rename_entry),
    "an entry changed in the log": ("log", change_entry),
    "a tile gone": ("log", lambda at: at.tile().unlink()),
    "a checkpoint that is none": ("log", lambda at: append(at.home.path / "audit" / "checkpoint")),
}

#: at rest
DISTURBANCES: dict[str, tuple[str, Callable[[Place], object]]] = {
    "something is due": ("effect-due", lambda at: at.change(lambda change: change.ask(at.linked.id, Effect.RECEIPT))),
    "half erased": ("half-erased", lambda at: at.set(at.linked, raw=Raw.MAYBE_ERASED, erased_at=None)),
    "a day's end began": ("epoch-half-ended", lambda at: at.change(lambda change: change.audit("epoch.destruction-begun", "2026-01-01"))),
    "an entry is not in the log": ("log-behind", lambda at: at.change(lambda change: change.audit("home.looked-at", "home"))),
    "an entry is in the log alone": ("log-behind", lambda at: log_alone(at)),
    "a key of no drop": ("key-unknown", lambda at: at.home.mortal.create("drops", STRANGER, Secret(b"x"))),
    "a key half destroyed": ("key-half-done", lambda at: (at.home.path / "mortal/drops/.gone.0011").write_bytes(b"x")),
    "a key half made": ("key-half-done", lambda at: (at.home.path / "mortal/epochs/.new.2026-01-20.0011").write_bytes(b"x")),
    "the key of an upload that is over": ("upload-key-left", lambda at: upload_key(at.home)),
    "another day's public key": (
        "epoch-halves",
        lambda at: shutil.copy(*(at.home.public / "epochs" / f"{at.waiting.epoch + timedelta(days=n)}.age.txt" for n in (1, 2))),
    ),
    "no key for vendors": ("recipient-not-handed-out", lambda at: (at.home.public / "sluis.age.txt").unlink()),
    "no signature over it": ("recipient-not-handed-out", lambda at: (at.home.public / "sluis.sleutels.json").unlink()),
    "an older key for vendors": ("recipient-not-handed-out", lambda at: older_key(at)),
    "a key for vendors that nobody knows": ("recipient-unknown", lambda at: at.home.recipients.make("another")),
    "the key for vendors is gone": ("recipient-unknown", lambda at: at.home.recipients.destroy(at.home.recipients.names()[0])),
    "a receipt half written": ("file-half-written", lambda at: at.receipt(at.linked).with_name(".x.json.00112233.tmp").touch()),
    "persons whose results are to go": ("withdrawal-pending", lambda at: at.change(person_to_go)),
    "results that are to replace others": ("results-replaced", lambda at: shutil.copy(at.part(), next_part(at))),
    "half of results that were to replace others": ("results-replaced", lambda at: half_written(next_part(at)).write_bytes(b"PAR1")),
    "results that were replaced": ("results-replaced", lambda at: replaced(at)),
    "no receipt": ("receipt", lambda at: at.receipt(at.waiting).unlink()),
    "a receipt that was changed": ("receipt", wrong_receipt),
    "a receipt that is late": ("receipt", certify_too_early),
    "no certificate": ("certificate", lambda at: at.receipt(at.linked, "certificaat.json").unlink()),
    "another drop's certificate": ("certificate", lambda at: shutil.copy(*other_certificate(at))),
}  # fmt: skip


def other_certificate(place: Place) -> tuple[Path, Path]:
    own = place.receipt(place.linked, "certificaat.json")
    return next(path for path in own.parent.glob("*.certificaat.json") if path != own), own


def one_part(change: Change) -> Part:
    return change.session.exec(select(Part)).one()


def replaced_by_nothing(change: Change) -> None:
    drop = one_part(change).drop
    other = change.session.exec(select(Drop.id).where(Drop.id != drop)).first()
    change.session.add(Replacement(later=other, earlier=drop, rows=1))


def person_to_go(change: Change) -> None:
    change.session.add(PendingWithdrawal(person="p1", campaign=one_part(change).campaign, asked_at=change.now))


def next_part(place: Place) -> Path:
    return place.home.results / next_file(str(place.part().relative_to(place.home.results)))


def replaced(place: Place) -> None:
    def rewrite(change: Change) -> None:
        one_part(change).file = str(following.relative_to(place.home.results))

    following = next_part(place)
    shutil.copy(place.part(), following)
    place.change(rewrite)


def half_written(path: Path) -> Path:
    return path.with_name(f".new.{path.name}.0011")


def bring_back(place: Place) -> None:
    place.home.recipients.make("another")
    ended = RecipientKey(name="another", made_at=place.home.clock(), retired_at=place.home.clock(), destroyed_at=place.home.clock())
    place.change(lambda change: change.session.add(ended))


def older_key(place: Place) -> None:
    file = place.home.public / "sluis.age.txt"
    older = file.read_bytes()
    rotate_recipients(place.home, "test", "test")
    file.write_bytes(older)


def upload_key(home: Home) -> None:
    Keystore(home.run).create("uploads", "ab" * 16, Secret(b"x"))


def log_alone(place: Place) -> None:
    sequence(place.home)
    log_directly(place.home, [Entry("1", place.home.clock(), "test", "local", "home.looked-at", "home", "ok")])


def test_a_home_at_rest_breaks_nothing(place: Place) -> None:
    assert check_home(place.home, at_rest=True) == []


@pytest.mark.parametrize("how", BREACHES)
def test_each_breach_is_named(place: Place, how: str) -> None:
    name, breaking = BREACHES[how]
    breaking(place)
    assert name in {broken.invariant for broken in check_home(place.home)}


@pytest.mark.parametrize("how", DISTURBANCES)
def test_what_must_be_over_at_rest_is_named_then_and_no_sooner(place: Place, how: str) -> None:
    name, breaking = DISTURBANCES[how]
    breaking(place)
    assert name in {broken.invariant for broken in check_home(place.home, at_rest=True)}
    assert name not in {broken.invariant for broken in check_home(place.home)}


def test_a_new_home_breaks_nothing(home: Home) -> None:
    assert check_home(home) == []


def test_looking_changes_nothing(place: Place) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in place.home.path.rglob("*") if path.is_file() and ".sqlite-" not in path.name}

    before = files()
    check_home(place.home, at_rest=True)
    assert files() == before
