"""Fuzzes the CSV of a delivery: any bytes, read in batches of any size. Needs atheris; tests/support/fuzzing.py says how it is run.

Whatever comes: findings and never a crash, no value of the file told, and the same rows, counts and findings in batches of any size.
"""

import io

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["gateway.checks", "policies"]):
    from gateway.checks.check import Outcome

from tests.support.deliveries import COLUMNS, onderwijsnummer, row, rows, write_csv
from tests.support.fuzzing import RULES, SCHOOLS, fuzz, judged

SIZES = (16 << 20, 900, 200, 1)
#: what ends a reading wherever it stands: what came before it was counted or not
ENDS = {"not-utf-8", "line-too-long", "unreadable"}


def one(data: bytes) -> None:
    content, size = data[:-1], SIZES[data[-1] % len(SIZES)] if data else SIZES[0]
    whole = judged(io.BytesIO(content), content)
    if size != SIZES[0]:
        parts = judged(io.BytesIO(content), content, size)
        if not {told.rule for told in (*whole[1].findings, *parts[1].findings)} & ENDS:
            assert said(whole[1]) == said(parts[1])
            assert whole[1].refused or whole[0] == parts[0]


def said(outcome: Outcome) -> object:
    return outcome.refused, outcome.counts, outcome.findings_total, outcome.schools, outcome.findings


def seeds() -> dict[str, bytes]:
    """Deliveries as vendors write them, good and bad."""
    few = rows(6, schools=SCHOOLS, per_pupil=2)
    good = write_csv(few)
    quoted = "\r\n".join(";".join(f'"{value}"' for value in line) for line in [COLUMNS, *([r[c] for c in COLUMNS] for r in few)])
    wrong = [
        row(bsn="=HYPERLINK(1)"), row(bsn="618273646"), row(score="213,5", postcode="1234 ab"), row(geboortedatum="31-12-2014"),
        row(bsn="", onderwijsnummer=str(onderwijsnummer(7))), row(uitgever="CITO ", toevoeging="-a"), row(toetscode="123456789"),
        row(bsn="", postcode=""), row(schooljaar="2025"), row(afnamedatum="2031-01-20"), row(score="1e9"), row(brin_vestiging="41ZZ00"),
    ]  # fmt: skip
    return {
        "good": good + b"\0", "small-batches": good + b"\2", "commas": write_csv(few, separator=",") + b"\1",
        "bom": b"\xef\xbb\xbf" + good + b"\0", "quoted": quoted.encode() + b"\2", "faulty": write_csv(few * 9 + wrong) + b"\0",
        "faulty-cut": write_csv(wrong) + b"\2", "short": good + b"01AA00;1;2\n\n\r\n" + b"\1", "empty": b"\0",
        "latin-1": good.replace(b"cito", "citó".encode("latin-1")) + b"\0", "nul": good.replace(b";V;", b";\0;") + b"\2",
        "column": write_csv([row(geloof="zevendedagsadventist")], [*COLUMNS, "geloof"]) + b"\0",
    }  # fmt: skip


WORDS = [
    *(column.name.encode() for column in RULES.columns), *(value.encode() for column in RULES.columns for value in column.values),
    b'"', b'""', b";", b",", b"\r\n", b"\n", b"\xef\xbb\xbf", b"\0", b"2025-2026", b"2026-02-29", b"1e308", b"nan", b"inf", b"=cmd|",
    b"4294967296", b"999999999", "é".encode(), b"\xff", b"9999-12-31", b"0000-00-00", b" ", b"-",
]  # fmt: skip

if __name__ == "__main__":
    fuzz(one, seeds(), WORDS)
