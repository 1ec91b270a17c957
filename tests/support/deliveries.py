"""Valid deliveries and what goes around them, for tests: rows of nco-lvs-1, blobs as the intake leaves them, a context."""

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pyrage

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.objections import Objections
from gateway.checks.schools import SchoolStanding
from keys.drop_cipher import DropCipher
from keys.sealing import new_identity
from keys.secret import Secret
from policies.rules import Rules, packaged_rules

TODAY = date(2026, 2, 20)
VENDOR = "cito"
SCHOOL = "01AA00"
COLUMNS = tuple(column.name for column in packaged_rules("nco-lvs-1").columns)
OBJECTION_COLUMNS = tuple(column.name for column in packaged_rules("nco-bezwaar-1").columns)

IDENTITY, RECIPIENT = new_identity()
DROP_KEY = DropCipher.generate()
OBJECTION_KEY = Secret(bytes(range(32)))

Row = dict[str, str]


def elf_number(stem: int, remainder: int) -> int | None:
    """The nine-digit number of an eight-digit stem whose elfproef gives `remainder`; None where there is none."""
    total = sum(weight * int(digit) for weight, digit in zip(range(9, 1, -1), f"{stem:08}", strict=True))
    last = (total - remainder) % 11
    return None if last > 9 else stem * 10 + last


def bsn(number: int) -> int:
    """The number-th synthetic BSN."""
    return _nth(1_000_000 + number * 20, 0)


def onderwijsnummer(number: int) -> int:
    """The number-th synthetic onderwijsnummer."""
    return _nth(10_000_000 + number * 20, 5)


def _nth(stem: int, remainder: int) -> int:
    while (value := elf_number(stem, remainder)) is None:
        stem += 1
    return value


def row(**fields: str) -> Row:
    """A valid row; `fields` replace its values."""
    values = {
        "brin_vestiging": SCHOOL,
        "bsn": str(bsn(1)),
        "onderwijsnummer": "",
        "geslacht": "V",
        "geboortedatum": "2015-03-14",
        "postcode": "1234AB",
        "huisnummer": "12",
        "toevoeging": "A",
        "schooljaar": "2025-2026",
        "jaargroep": "5",
        "kinderdagverblijf": "J",
        "peuterspeelzaal": "",
        "uitgever": "cito",
        "toetscode": "RW2006-12-155",
        "domein": "rekenen_wiskunde",
        "afnamemoment": "M5",
        "afnamedatum": "2026-01-20",
        "score": "213.5",
    }
    return {**values, **fields}


def rows(count: int, *, schools: Sequence[str] = (SCHOOL,), per_pupil: int = 5, seed: int = 1) -> list[Row]:
    """`count` valid rows, sorted by pupil, `per_pupil` results each, of different days, over the schools in turn."""
    rng = random.Random(seed)
    made: list[Row] = []
    pupil: Row = {}
    for index in range(count):
        if index % per_pupil == 0:
            number = index // per_pupil
            foreign = number % 50 == 49
            pupil = {
                "brin_vestiging": schools[number % len(schools)],
                "bsn": "" if foreign else str(bsn(number)),
                "onderwijsnummer": str(onderwijsnummer(number)) if foreign else "",
                "geslacht": rng.choice("MV"),
                "geboortedatum": str(date(2014, 10, 1) + timedelta(days=rng.randrange(365))),
                "postcode": f"{rng.randrange(1000, 9999)}{rng.choice('ABCDE')}{rng.choice('BCEGH')}",
                "huisnummer": str(rng.randrange(1, 400)),
                "toevoeging": rng.choice(("", "", "A", "12")),
            }
        day = date(2026, 1, 20) - timedelta(days=index % per_pupil)
        made.append(row(**pupil, afnamedatum=str(day), score=f"{rng.uniform(150, 280):.1f}"))
    return made


def write_csv(table: Sequence[Mapping[str, str]], columns: Sequence[str] = COLUMNS, separator: str = ";", eol: str = "\n") -> bytes:
    """The rows as plain CSV; no value may hold the separator."""
    lines = [separator.join(columns), *(separator.join(entry[name] for name in columns) for entry in table)]
    return (eol.join(lines) + eol).encode()


def age(plain: bytes, recipient: str = RECIPIENT) -> bytes:
    """`plain` as an age file."""
    encrypted: bytes = pyrage.encrypt(plain, [pyrage.x25519.Recipient.from_str(recipient)])
    return encrypted


def blob(delivered: bytes) -> io.BytesIO:
    """The delivered bytes as the intake leaves them on disk: under the drop key."""
    return io.BytesIO(DropCipher(DROP_KEY).transform(0, delivered))


def standing(code: str = SCHOOL, **changes: object) -> SchoolStanding:
    """A school that may be delivered."""
    return replace(SchoolStanding(code, "12345", True, "bo", VENDOR), **changes)  # type: ignore[arg-type]


def context(**changes: object) -> CheckContext:
    """A context in which the default school may be delivered today."""
    usual = CheckContext(VENDOR, TODAY, {SCHOOL: standing()}, Objections([], OBJECTION_KEY))
    return replace(usual, **changes)  # type: ignore[arg-type]


def check(
    plain: bytes, where: CheckContext | None = None, batch_bytes: int = 16 << 20, rules: Rules | None = None
) -> tuple[list[dict[str, object]], Outcome]:
    """The accepted rows and the outcome of a plain CSV or zip, by the packaged rules or others."""
    checked = Checked(io.BytesIO(plain), where or context(), rules or packaged_rules("nco-lvs-1"), batch_bytes)
    accepted = [entry for batch in checked.batches() for entry in batch.to_dicts()]
    return accepted, checked.outcome


def rules_told(outcome: Outcome) -> set[str]:
    """The codes of an outcome's findings."""
    return {item.rule for item in outcome.findings}


def header_of(delivered: bytes) -> bytes:
    """Up to and including the line with its MAC; age puts stanzas of any length before that, so that nobody counts on their number."""
    mac = delivered.index(b"\n--- ")
    return delivered[: delivered.index(b"\n", mac + 1) + 1]
