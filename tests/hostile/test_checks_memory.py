"""A process that reads a delivery takes little memory, and not more for a larger one: in processes of their own, as the kernel counts."""

from pathlib import Path

import pytest

from tests.bench.bench_checks import csv_file, made, zip_file
from tests.bench.delivery_files import peak_mib

pytestmark = pytest.mark.slow

#: [MiB] that are promised whatever the size; and what five times as many pupils may add
PROMISED, GROWTH = 700, 60


@pytest.mark.parametrize(("make", "amount"), [(csv_file, 400_000), (zip_file, 20_000)], ids=["csv", "xml"])
def test_five_times_the_rows_take_hardly_more(make: object, amount: int) -> None:
    peaks = []
    for size in (amount, 5 * amount):
        with made(make, size) as (_plain, blob):  # type: ignore[arg-type]
            peaks.append(peak_mib("ours", Path(blob), size))
    assert peaks[1] < PROMISED
    assert peaks[1] - peaks[0] < GROWTH, peaks
