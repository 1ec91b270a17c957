"""Parents object when they like: before linking, while it is under way, after it; by either number; at the other school. It holds."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from sqlmodel import select

from gateway.cli.app import run
from gateway.linker.dataset import DATA_FILE
from gateway.store.campaigns import create_campaign, enrol
from gateway.store.drops import drop_schools
from gateway.store.invariants import check_home
from gateway.store.ledger import drop_of
from gateway.store.models import Campaign, Drop, Part, RegisterVersion
from gateway.store.parts import reading_parts
from gateway.worker import checking, linking, persons, withdrawals
from gateway.worker.checking import check
from gateway.worker.linking import link
from gateway.worker.objections import ReadObjections
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from gateway.worker.serve import upkeep
from gateway.worker.withdrawing import withdraw
from keys.secret import Secret
from policies.errors import Refused
from policies.rules import ObjectingPupils
from tests.support.crash_plays import BOARD, CAMPAIGN, REGISTER, SCHOOLS, VENDOR, deliver, register
from tests.support.objecting import CHILDREN, EMPTY, NUMBERS, RESULTS, WAYS, Child, Town

pytestmark = pytest.mark.slow

ONE, OTHER = SCHOOLS
EVERYBODY = dict.fromkeys(CHILDREN, NUMBERS)


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Nobody has objected yet."""
    made = Town.made(tmp_path_factory.mktemp("town"))
    made.populate(EVERYBODY)
    made.hand_in(EMPTY)
    yield made
    made.home.ledger.engine.dispose()


def linked(town: Town, drop: str) -> Drop:
    town.settle()
    with town.home.ledger.view() as session:
        return drop_of(session, drop)


def everybody_but(*children: Child) -> dict[str, int]:
    return {child.person: RESULTS for child in CHILDREN if child not in children}


def sound(town: Town) -> None:
    assert check_home(town.home, at_rest=True) == []


# ---------------------------------------------------------------- before linking


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by", NUMBERS)
@pytest.mark.parametrize("at", SCHOOLS)
def test_an_objection_holds_whatever_the_pupil_is_delivered_under(town: Town, way: str, by: str, at: str) -> None:
    """Also when the other school's register names the pupil."""
    objecting = CHILDREN[0]
    town.hand_in({at: [objecting.objects(by)]})
    drop = linked(town, town.deliver(ONE, CHILDREN, way))
    assert town.people() == everybody_but(objecting)
    assert drop.counts["objected_pupils"] == 1
    assert [(told["rule"], told["row"]) for told in drop.findings if told["rule"].startswith("objecting")] == [("objecting-pupils", None)]
    assert f"{RESULTS} rijen" in next(told["message"] for told in drop.findings if told["rule"] == "objecting-pupils")
    with town.home.ledger.view() as session:
        assert [(row.school, row.objected_pupils, row.linked_pupils) for row in drop_schools(session, drop.id)] == [(ONE, 1, 5)]
    sound(town)


@pytest.mark.parametrize("way", WAYS)
def test_a_drop_with_an_objecting_pupil_is_refused_whole_when_the_policy_says_so(town: Town, way: str) -> None:
    town.work = Work(town.home, replace(town.rules, objecting_pupils=ObjectingPupils.REJECT), PersonRegister(town.home))
    town.hand_in({OTHER: [CHILDREN[0].objects("bsn")]})
    drop = linked(town, town.deliver(ONE, CHILDREN, way))
    assert (drop.state, town.people()) == ("rejected", {})
    (told,) = drop.findings
    assert (told["rule"], told["row"], told["column"]) == ("objecting-pupils-refused", None, None)
    assert f"{RESULTS} rijen" in told["message"]
    with town.home.ledger.view() as session:
        assert [(row.school, row.objected_pupils) for row in drop_schools(session, drop.id)] == [(ONE, 1)], (
            "an incident, also of a refused drop"
        )
    assert linked(town, town.deliver(ONE, CHILDREN[1:], way)).state == "linked"


def test_a_parent_who_objects_after_a_drop_was_accepted_has_only_that_pupil_left_out(town: Town) -> None:
    town.work = Work(town.home, replace(town.rules, objecting_pupils=ObjectingPupils.REJECT), PersonRegister(town.home))
    accepted = town.deliver(ONE, CHILDREN, "bsn")
    check(town.work, accepted)
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    assert linked(town, accepted).state == "linked" and town.people() == everybody_but(CHILDREN[0])


def test_an_objection_withdrawn_before_linking_is_no_longer_told_of(town: Town) -> None:
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    drop = town.deliver(ONE, CHILDREN, "bsn")
    check(town.work, drop)
    town.hand_in({ONE: [CHILDREN[0].objects("bsn", withdrawn=True)]})
    done = linked(town, drop)
    assert town.people() == everybody_but()
    assert (done.counts["objected_pupils"], done.findings, done.findings_total) == (0, [], 0)


@pytest.mark.parametrize("waits", [False, True])
def test_a_drop_that_is_taken_back_while_it_is_looked_at_stays_so(town: Town, monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    """Whether it is being checked, or what it waits for is being written down: no attempt fails, and it waits for nothing."""
    drop = town.deliver(ONE, CHILDREN, "bsn")
    module, name = (linking, "may_link") if waits else (checking, "require_in_time")
    before = getattr(module, name)

    def meanwhile(*given: object) -> object:
        withdraw(town.home, drop, "onjuist", "administrator")
        return before(False, {ONE: True}, False) if waits else before(*given)

    monkeypatch.setattr(module, name, meanwhile)
    done = linked(town, drop)
    assert (done.state, done.waiting_for, town.people()) == ("withdrawn", [], {})
    assert town.audited("effect.failed") == []
    sound(town)


class Meanwhile(PersonRegister):
    """The register of persons; when the linker asks for it the first time, something happens."""

    def __init__(self, town: Town, happens: Callable[[], None]) -> None:
        super().__init__(town.home)
        self._happens = happens
        self.asked = 0

    def load(self, version: RegisterVersion) -> tuple[pl.DataFrame, Secret]:
        found = super().load(version)
        self.asked += 1
        if self.asked == 1:
            self._happens()
        return found


@pytest.mark.parametrize("at", SCHOOLS)
def test_an_objection_of_any_school_while_a_drop_is_linked_has_it_read_again(town: Town, at: str) -> None:
    meanwhile = Meanwhile(town, lambda: town.hand_in({at: [CHILDREN[0].objects("bsn")]}))
    town.work = Work(town.home, town.rules, meanwhile)
    drop = linked(town, town.deliver(ONE, CHILDREN, "address"))
    assert (meanwhile.asked, drop.state) == (2, "linked")
    assert town.people() == everybody_but(CHILDREN[0])


@pytest.mark.parametrize("swept", [False, True])
def test_a_worker_that_is_late_puts_nothing_in_the_place_of_what_another_linked(town: Town, swept: bool) -> None:
    """Both took up the same drop. The slower one read the objections before one more came in, and ends after the other is done; once
    that one's results are there already when the objection comes, and are swept."""

    def other_links() -> None:
        objection = {OTHER: [CHILDREN[0].objects("bsn")]}
        if not swept:
            town.hand_in(objection)
        link(Work(town.home, town.rules, PersonRegister(town.home)), drop)
        if swept:
            town.hand_in(objection)
            assert town.sweep().rows == RESULTS

    town.work = Work(town.home, town.rules, Meanwhile(town, other_links))
    drop = town.deliver(ONE, CHILDREN, "address")
    town.settle()
    assert town.people() == everybody_but(CHILDREN[0])
    assert [path.name for path in town.home.results.glob("*/*")] == [f"{drop}.1.parquet" if swept else f"{drop}.parquet"]
    sound(town)


def test_a_sweep_does_not_look_past_a_drop_that_is_being_linked(town: Town) -> None:
    """The objection comes and is carried out, on all parts that there are, before the drop's own is one of them."""

    def object_and_sweep() -> None:
        town.hand_in({OTHER: [CHILDREN[0].objects("bsn")]})
        town.sweep()

    first = linked(town, town.deliver(ONE, CHILDREN[2:]))
    town.work = Work(town.home, town.rules, Meanwhile(town, object_and_sweep))
    second = linked(town, town.deliver(ONE, CHILDREN[:2], "address"))
    assert [set(town.people(drop.id)) for drop in (first, second)] == [{c.person for c in CHILDREN[2:]}, {CHILDREN[1].person}]
    sound(town)


def test_a_new_population_register_while_a_drop_is_linked_has_it_read_again(town: Town) -> None:
    """The old one knew nothing of the number by which the parent objected."""
    town.populate({child: ["bsn"] for child in CHILDREN})
    town.hand_in({ONE: [CHILDREN[0].objects("onderwijsnummer")]})
    town.work = Work(town.home, town.rules, Meanwhile(town, lambda: town.populate(EVERYBODY)))
    linked(town, town.deliver(ONE, CHILDREN, "bsn"))
    assert town.people() == everybody_but(CHILDREN[0])


# ---------------------------------------------------------------- after linking


def test_a_late_objection_takes_the_results_out_of_every_part(town: Town) -> None:
    first = linked(town, town.deliver(ONE, CHILDREN))
    second = linked(town, town.deliver(OTHER, CHILDREN[:2], "address"))
    untouched = linked(town, town.deliver(OTHER, CHILDREN[4:]))
    town.hand_in({OTHER: [CHILDREN[0].objects("onderwijsnummer"), CHILDREN[1].objects("bsn"), CHILDREN[1].objects("onderwijsnummer")]})
    done = town.sweep()
    assert (done.complete, done.rows, done.parts) == (True, 4 * RESULTS, 2)
    gone = {CHILDREN[0].person, CHILDREN[1].person}
    for drop, children in ((first, CHILDREN), (second, CHILDREN[:2]), (untouched, CHILDREN[4:])):
        assert town.people(drop.id) == {child.person: RESULTS for child in children if child.person not in gone}
    with town.home.ledger.view() as session:
        files = {part.drop: part.file for part in session.exec(select(Part))}
    names = {first.id: f"{first.id}.1.parquet", second.id: f"{second.id}.1.parquet", untouched.id: f"{untouched.id}.parquet"}
    assert files == {drop: f"{CAMPAIGN}/{name}" for drop, name in names.items()}
    assert {str(path.relative_to(town.home.results)) for path in town.home.results.glob("*/*")} == set(files.values())
    assert [(row.object, row.detail) for row in town.audited(withdrawals.ACTION)] == [
        (school, {"campaign": CAMPAIGN, "rows": 2 * RESULTS, "persons": 2}) for school in SCHOOLS
    ]
    assert town.sweep().rows == 0
    town.hand_in({ONE: [CHILDREN[2].objects("bsn")]})
    assert town.sweep().rows == RESULTS
    assert set(town.people(first.id)) == {child.person for child in CHILDREN[3:]}
    town.settle()
    sound(town)


def test_an_objection_in_one_round_takes_the_results_out_of_all_and_keeps_them_out(town: Town) -> None:
    """Results of an earlier round stand in later reports, and the register of a later one may come after its drop."""
    first = linked(town, town.deliver(ONE, CHILDREN))
    with town.home.ledger.change("administrator") as change:
        days = change.session.get_one(Campaign, CAMPAIGN)
        sooner = days.deliver_until - timedelta(days=1)
        create_campaign(change, "2026-N", days.enrol_until, days.objections_from, days.objections_until, sooner, days.publish_from)
        enrol(change, BOARD, "2026-N", VENDOR, date(2026, 1, 5), date(2026, 1, 6))
    town.home.mortal.create("objections", "2026-N", Secret(b"n" * 32))
    town.hand_in(EMPTY, "2026-N")
    later = linked(town, town.deliver(ONE, CHILDREN[:3], "onderwijsnummer"))
    assert {first.campaign, later.campaign} == {CAMPAIGN, "2026-N"}
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    town.settle()
    assert town.people() == {child.person: RESULTS * (2 if child in CHILDREN[:3] else 1) for child in CHILDREN[1:]}
    again = linked(town, town.deliver(ONE, CHILDREN, "address"))
    assert again.campaign == later.campaign
    assert town.people(again.id) == everybody_but(CHILDREN[0])
    assert {row.detail["campaign"] for row in town.audited(withdrawals.ACTION)} == {CAMPAIGN, "2026-N"}


def test_an_objection_withdrawn_before_it_was_carried_out_changes_nothing(town: Town) -> None:
    linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({ONE: [CHILDREN[0].objects("bsn"), CHILDREN[1].objects("bsn")]})
    town.hand_in({ONE: [CHILDREN[0].objects("bsn", withdrawn=True), CHILDREN[1].objects("bsn")]})
    town.settle()
    assert town.people() == everybody_but(CHILDREN[1])


def test_an_objection_withdrawn_later_lets_the_next_delivery_through(town: Town) -> None:
    linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    town.settle()
    town.hand_in({ONE: [CHILDREN[0].objects("bsn", withdrawn=True)]})
    town.settle()
    assert town.people() == everybody_but(CHILDREN[0]), "what is gone stays gone"
    again = linked(town, town.deliver(ONE, CHILDREN[:1], "onderwijsnummer"))
    assert town.people(again.id) == {CHILDREN[0].person: RESULTS}


@pytest.mark.parametrize("again", [False, True])
def test_objections_that_change_while_results_are_rewritten_are_looked_at_again(
    town: Town, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Withdrawn, and perhaps made again, in the middle: what was rewritten without the pupil does not count because of the first."""
    linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({ONE: [CHILDREN[0].objects("bsn"), CHILDREN[1].objects("bsn")]})
    removing, times = withdrawals.remove_persons, count(1)

    def meanwhile(path: Path, found: set[str], target: Path):  # type: ignore[no-untyped-def]
        answer = removing(path, found, target)
        if next(times) == 1:
            town.hand_in({ONE: [CHILDREN[1].objects("bsn")]})
            town.hand_in({ONE: [CHILDREN[at].objects("bsn") for at in ((0, 1) if again else (1,))]})
        return answer

    monkeypatch.setattr(withdrawals, "remove_persons", meanwhile)
    town.settle()
    assert next(times) == 3, "all of it was done twice"
    assert town.people() == everybody_but(*CHILDREN[:2] if again else CHILDREN[1:2])
    sound(town)


def test_what_a_withdrawal_that_was_killed_left_lying_goes_with_the_workers_next_upkeep(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is killed after its transaction leaves the old file; the worker goes on all the while."""
    drop = linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    monkeypatch.setattr(withdrawals, "remove_replaced", lambda _: None)
    town.sweep()
    names = {path.name for path in town.home.results.glob("*/*")}
    assert names == {f"{drop.id}.parquet", f"{drop.id}.1.parquet"}
    upkeep(town.home)
    assert [path.name for path in town.home.results.glob("*/*")] == [f"{drop.id}.1.parquet"]


def test_results_that_are_being_read_wait(town: Town) -> None:
    linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    with reading_parts(town.home), reading_parts(town.home):
        assert not town.sweep().complete
        assert town.people() == everybody_but()
    assert town.sweep().rows == RESULTS


def test_a_dataset_holds_nobody_whose_results_are_to_go(town: Town, tmp_path: Path) -> None:
    linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({ONE: [CHILDREN[0].objects("bsn")]})
    export = ["--home", str(town.home.path), "dataset", "export", "--project", "kansen", "--to", str(tmp_path / "data")]
    with reading_parts(town.home):
        assert run(export) == 1
    assert not (tmp_path / "data").exists()
    assert run(export) == 0
    assert pl.read_parquet(tmp_path / "data" / DATA_FILE)["persoon"].n_unique() == len(CHILDREN) - 1


def test_objections_that_nobody_read_yet_are_not_taken_back(town: Town) -> None:
    deliver(town.home, REGISTER, register(town.home))
    (received,) = (row.object for row in town.audited("drop.received"))
    with pytest.raises(Refused, match="nothing of it to withdraw"):
        withdraw(town.home, received, "dubbel", "administrator")
    assert linked(town, received).state == "registered"


# ---------------------------------------------------------------- the population register comes later


@pytest.mark.parametrize("linked_before", [False, True])
def test_the_first_register_that_knows_the_number_finds_the_pupil(town: Town, linked_before: bool) -> None:
    town.populate({child: ["bsn"] for child in CHILDREN})
    if linked_before:
        linked(town, town.deliver(ONE, CHILDREN))
    town.hand_in({OTHER: [CHILDREN[0].objects("onderwijsnummer")]})
    town.settle()
    assert town.people() == (everybody_but() if linked_before else {}), "nobody can know who that is"
    town.populate(EVERYBODY)
    town.settle()
    if not linked_before:
        linked(town, town.deliver(ONE, CHILDREN))
    assert town.people() == everybody_but(CHILDREN[0])


def test_a_register_that_lacks_the_number_again_forgets_nobody(town: Town) -> None:
    town.hand_in({OTHER: [CHILDREN[0].objects("onderwijsnummer")]})
    town.populate({child: ["bsn"] for child in CHILDREN})
    linked(town, town.deliver(ONE, CHILDREN))
    assert town.people() == everybody_but(CHILDREN[0])


def test_an_objection_handed_in_while_a_register_is_imported_is_looked_up_in_it(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice in a row: the file is read again, for what came meanwhile."""
    town.populate({child: ["bsn"] for child in CHILDREN})
    linked(town, town.deliver(ONE, CHILDREN))
    importing, seeking = persons.import_persons, persons.seek

    def during_import(*given: object):  # type: ignore[no-untyped-def]
        facts = importing(*given)  # type: ignore[arg-type]
        town.hand_in({ONE: [CHILDREN[0].objects("onderwijsnummer")]})
        return facts

    def during_seek(*given: object) -> None:
        seeking(*given)  # type: ignore[arg-type]
        monkeypatch.setattr(persons, "seek", seeking)
        town.hand_in({OTHER: [CHILDREN[1].objects("onderwijsnummer")]})

    monkeypatch.setattr(persons, "import_persons", during_import)
    monkeypatch.setattr(persons, "seek", during_seek)
    town.populate(EVERYBODY)
    with town.home.ledger.view() as session:
        assert len(session.exec(select(RegisterVersion).where(RegisterVersion.live)).all()) == 1
    town.settle()
    assert town.people() == everybody_but(CHILDREN[0], CHILDREN[1])


def test_a_hand_in_that_read_an_older_register_reads_the_new_one(town: Town) -> None:
    town.populate({child: ["bsn"] for child in CHILDREN})
    linked(town, town.deliver(ONE, CHILDREN))
    read = ReadObjections(town.home, {ONE: [CHILDREN[0].objects("onderwijsnummer")]})
    assert read.unknown == 1
    town.populate(EVERYBODY)
    with town.home.ledger.change("administrator") as change:
        rows = read.keyed(change, CAMPAIGN, [ONE])
        assert read.unknown == 0
    assert [len(row.persons) for row in rows[ONE]] == [1]
