"""Rows a second from the stored blob to checked, typed batches, beside a bare polars script that only reads the same CSV."""

import io
from itertools import pairwise

import polars as pl

from gateway.checks.check import Checked
from gateway.checks.objections import ObjectionRow, Objections, macs_of
from gateway.checks.stream import open_delivery
from policies.rules import packaged_rules
from tests.bench.runner import Result, compare
from tests.support.deliveries import DROP_KEY, IDENTITY, OBJECTION_KEY, TODAY, age, blob, bsn, context, rows, standing, write_csv

ROWS, REPEATED = 200_000, 5
SCHOOLS = [f"{number:02}AA00" for number in range(100)]


def run() -> list[Result]:
    header, body = write_csv(rows(ROWS, schools=SCHOOLS, per_pupil=12)).split(b"\n", 1)
    plain = header + b"\n" + body * REPEATED
    stored = blob(age(plain))
    numbers = [bsn(number) for number, _ in pairwise(range(0, 500, 5))]
    macs = macs_of([ObjectionRow(number, None, TODAY) for number in numbers], OBJECTION_KEY)
    objections = Objections([(SCHOOLS[index % 100], *pair) for index, pair in enumerate(macs)], OBJECTION_KEY)
    where = context(schools={code: standing(code) for code in SCHOOLS}, objections=objections)

    def ours() -> None:
        stored.seek(0)
        with open_delivery(stored, DROP_KEY, [IDENTITY]) as stream:
            checked = Checked(stream, where, packaged_rules("nco-lvs-1"))
            for _ in checked.batches():
                pass
        assert not checked.outcome.refused
        assert checked.outcome.counts["rows"] == ROWS * REPEATED

    def bare() -> None:
        pl.read_csv(io.BytesIO(plain), separator=";", infer_schema=False)

    return [compare("decrypt_parse_check", ours, "polars reads the plain CSV", bare, unit="rows/s", amount=ROWS * REPEATED, per=False)]
