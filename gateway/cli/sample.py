"""The sample report of the portal's `/voorbeeld`: fictitious pupils, real computation, the same code that sets real reports."""

import subprocess
import sys
from datetime import date

from policies.errors import Unsound

#: the fictitious country: enough schools for a predicted reference value
BOARDS, PUPILS, SEED = 16, 190, 7
#: fixed, so that the sample's bytes are
DAY = date(2026, 10, 1)


def make_sample() -> bytes:
    """The PDF; slow to start (it brings the statistics' libraries), so the portal asks a process of its own for it."""
    import numpy as np
    import polars as pl

    from gateway.demo.exports import results_of, rounds
    from gateway.demo.population import pupils_of
    from gateway.demo.schools import made_up_register, taking_part
    from gateway.drop.record import LINKED_COLUMNS
    from gateway.registers.schools import read_duo
    from gateway.reports.campaign import CampaignFigures
    from gateway.reports.pdf import render

    rng = np.random.default_rng(SEED)
    register = read_duo(made_up_register(BOARDS, rng))
    schools = taking_part(register, None, PUPILS, rng)
    taken = rounds(DAY)
    pupils = pupils_of(schools, taken[0].year, rng)
    rows = results_of(pupils.with_columns(objects=pl.lit(False)), schools, taken, (SEED, 0))
    linked = rows.with_columns(
        persoon=pl.format("v{}", pl.col("bsn") + pl.col("onderwijsnummer")),
        school=pl.col("brin_vestiging"),
        kinderdagverblijf=pl.lit(None, pl.Boolean),
        peuterspeelzaal=pl.lit(None, pl.Boolean),
    ).select(pl.col(name).cast(kind) for name, kind in LINKED_COLUMNS.items())
    names = {board.number: board.name for board in register.boards}
    frame = pl.DataFrame(
        {
            "school": [school.row.code for school in schools],
            "code": [school.row.code for school in schools],
            "name": [school.row.name for school in schools],
            "board": [school.row.board for school in schools],
            "board_name": [names[school.row.board] for school in schools],
            "denomination": [school.row.denomination for school in schools],
            "municipality": [school.row.municipality for school in schools],
        }
    )
    report = CampaignFigures.compute(linked.lazy(), frame).school(schools[0].row.code)
    assert report is not None, "the first made-up school has pupils"
    return render(report, DAY, "voorbeeld")


def sample_report() -> bytes:
    """The same, made by a process of its own that ends with it."""
    made = subprocess.run([sys.executable, "-m", "gateway.cli.sample"], capture_output=True, check=False, timeout=120)
    if made.returncode or not made.stdout.startswith(b"%PDF-"):
        raise Unsound("no-sample", "The sample report could not be made.", "See the portal's log.")
    return made.stdout


if __name__ == "__main__":
    sys.stdout.buffer.write(make_sample())
