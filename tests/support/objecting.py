"""Children of two schools, whose parents object when they like: a small real home, its worker step by step, and whose results it holds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

import polars as pl
from sqlmodel import select

from gateway.checks.objections import ObjectionRow
from gateway.registers.persons import PERSON_FIELDS
from gateway.store.auditing import sequence
from gateway.store.effects import due_drops
from gateway.store.home import Home
from gateway.store.models import AuditRow, Part
from gateway.store.objections import hand_in
from gateway.worker.engine import attempt
from gateway.worker.objections import ReadObjections
from gateway.worker.persons import import_population
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from gateway.worker.stages import carry_out
from gateway.worker.withdrawals import Withdrawal, withdraw_persons
from policies.rules import Rules, packaged_rules
from tests.support.crash_plays import CAMPAIGN, SCHOOLS, deliver, make_home
from tests.support.deliveries import Row, age, bsn, onderwijsnummer, row, write_csv

FILED = date(2026, 1, 20)
NUMBERS = ("bsn", "onderwijsnummer")
#: under what a child can be delivered
WAYS = (*NUMBERS, "address")
RESULTS = 3  # of each child in a delivery


@dataclass(frozen=True)
class Child:
    """The person of the population register that a child is, by its place among the children."""

    at: int

    @property
    def person(self) -> str:
        return f"P{self.at:04}"

    @property
    def numbers(self) -> dict[str, int]:
        return {"bsn": bsn(100 + self.at), "onderwijsnummer": onderwijsnummer(100 + self.at)}

    def fields(self, numbers: Iterable[str]) -> dict[str, str]:
        """What identifies it, with these of its numbers only."""
        given = {name: str(number) if name in numbers else "" for name, number in self.numbers.items()}
        birth = date(2015, 1, 1 + self.at)
        return {**given, "geslacht": "MV"[self.at % 2], "geboortedatum": str(birth), "postcode": "2491BC", "huisnummer": str(10 + self.at)}

    def objects(self, number: str, withdrawn: bool = False) -> ObjectionRow:
        by = {name: value if name == number else None for name, value in self.numbers.items()}
        return ObjectionRow(by["bsn"], by["onderwijsnummer"], FILED, FILED if withdrawn else None)


CHILDREN = tuple(Child(at) for at in range(6))


@dataclass
class Town:
    """A home with two schools, both of whose registers have to be in before anything is linked."""

    home: Home
    rules: Rules = field(default_factory=lambda: packaged_rules("nco-lvs-1"))
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.work = Work(self.home, self.rules, PersonRegister(self.home))

    @classmethod
    def made(cls, folder: Path) -> "Town":
        return cls(make_home(folder / "home", populated=False))

    # ------------------------------------------------------------ what happens

    def hand_in(self, registers: Mapping[str, Sequence[ObjectionRow]], campaign: str = CAMPAIGN) -> None:
        """As `sluis objection import` does it, but for what was linked already."""
        read = ReadObjections(self.home, registers)
        with self.home.ledger.change("administrator") as change:
            hand_in(change, campaign, read.keyed(change, campaign, registers), "cli")

    def populate(self, known: Mapping[Child, Iterable[str]]) -> None:
        """A new population register: these children, each with these of its numbers."""
        rows = [{**child.fields(numbers), "toevoeging": "", "persoon_id": child.person} for child, numbers in known.items()]
        file = self.home.path.parent / "personen.csv"
        file.write_bytes(write_csv([{**one, "peildatum": "2026-01-01"} for one in rows], PERSON_FIELDS))
        import_population(self.home, file, "administrator")
        file.unlink()

    def deliver(self, school: str, children: Iterable[Child], way: str = "bsn") -> str:
        """Results of these children, by SFTP's own way in; the drop's id."""
        with self.home.ledger.view() as session:
            before = set(session.exec(select(AuditRow.object).where(AuditRow.action == "drop.received")))
        number = next(self._numbers)
        plain = write_csv([one for child in children for one in _results(child, school, way, number)])
        deliver(self.home, f"leveringen/{number}.csv.age", age(plain, self.home.recipients.public()))
        with self.home.ledger.view() as session:
            (drop,) = set(session.exec(select(AuditRow.object).where(AuditRow.action == "drop.received"))) - before
        return drop

    def step(self) -> bool:
        """One effect of the drop that waits longest; False when nothing is due."""
        with self.home.ledger.view() as session:
            due = due_drops(session, self.home.clock(), limit=1)
        return bool(due) and attempt(self.home, lambda effect, drop: carry_out(self.work, effect, drop), due[0])

    def sweep(self) -> Withdrawal:
        return withdraw_persons(self.home)

    def settle(self) -> None:
        """All that is due is done."""
        while self.step():
            pass
        assert self.sweep().complete
        sequence(self.home)

    # ------------------------------------------------------------ what there is

    def people(self, drop: str | None = None) -> dict[str, int]:
        """Whose results count (of one drop), by the register's own id, and how many."""
        with self.home.ledger.view() as session:
            files = [self.home.results / part.file for part in session.exec(select(Part)) if drop in (None, part.drop)]
        domain = self.home.pseudonyms("person")
        frame = pl.concat([pl.read_parquet(file, columns=["persoon"]) for file in files]) if files else pl.DataFrame({"persoon": []})
        return {domain.reveal(name): rows for name, rows in frame.group_by("persoon").len().iter_rows()}

    def audited(self, action: str) -> list[AuditRow]:
        with self.home.ledger.view() as session:
            return list(session.exec(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id)))  # type: ignore[arg-type]


def _results(child: Child, school: str, way: str, number: int) -> list[Row]:
    who = {**child.fields([way]), "toevoeging": ""}
    days = [date(2026, 1, 5 + later).isoformat() for later in range(RESULTS)]
    return [row(**who, brin_vestiging=school, afnamedatum=day, score=f"{200 + number % 50}.{child.at}") for day in days]


EMPTY: dict[str, list[ObjectionRow]] = {school: [] for school in SCHOOLS}
