"""From the stored blob to checked, typed batches: rows a second and memory, for CSV and for XML, beside scripts that only read the same.

Memory is that of a process of its own, for two sizes: what grows with the size shows.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.checks.tally import MOST_PUPILS
from keys.drop_cipher import DropCipher
from keys.openpgp import new_openpgp_key
from tests.bench import delivery_files as files
from tests.bench.runner import RUNS, Result, Side, contest
from tests.support.openpgp import VendorGpg

ROWS, MEMORY_ROWS = 1_000_000, (2_000_000, 10_000_000)
MOST = 29 * MOST_PUPILS // 30
RESULTS, MEMORY_RESULTS = 120_000, (200_000, 1_000_000)


def run() -> list[Result]:
    return [*csv(), *xml(), *openpgp(), *memories()]


def csv() -> list[Result]:
    with made(csv_file, ROWS) as (plain, blob):
        return contest(
            "check_csv", Side("ours", lambda: files.read(blob)), [Side("polars reads the plain CSV", lambda: files.bare_csv(plain))],
            unit="rows/s", amount=ROWS, rss=lambda: files.peak_mib("ours", blob, ROWS),
        )  # fmt: skip


def xml() -> list[Result]:
    with made(zip_file, RESULTS) as (plain, blob):
        return contest(
            "check_xml", Side("ours", lambda: files.read(blob)),
            [
                Side("expat alone counts the results", lambda: files.expat_alone(plain)),
                Side("ElementTree", lambda: files.element_tree(plain)),
            ],
            unit="results/s", amount=RESULTS, rss=lambda: files.peak_mib("ours", blob, RESULTS),
        )  # fmt: skip


def memories() -> list[Result]:
    """Of each format two sizes; and of a CSV with almost as many pupils as one may hold, who are what is kept to the end."""
    with made(pupils_file, MOST) as (plain, blob):
        results = [memory(f"check_csv_memory_{MOST // 1000}k_pupils", blob, "polars", plain, MOST)]
    for make, reader, amounts in ((csv_file, "polars", MEMORY_ROWS), (zip_file, "elementtree", MEMORY_RESULTS)):
        for amount in amounts:
            with made(make, amount) as (plain, blob):
                format_name = make.__name__.removesuffix("_file").replace("zip", "xml")
                results.append(memory(f"check_{format_name}_memory_{amount // 1000}k", blob, reader, plain, amount))
    return results


def openpgp() -> list[Result]:
    """The same CSV by gpg, which decrypts alone as its own peer."""
    with made(csv_file, ROWS) as (plain, blob), tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        key, public = new_openpgp_key("Sluis")
        vendor = VendorGpg(Path(folder) / "v")
        try:
            message = vendor.encrypt(plain.read_bytes(), vendor.learn(public), "--compress-algo=none")
            blob.write_bytes(DropCipher(files.DROP_KEY).transform(0, message))
            sealed = plain.with_suffix(".gpg")
            sealed.write_bytes(message)
            vendor.run("--import", given=key.reveal())
            alone = Side("gpg decrypts alone", lambda: vendor.run("--output=/dev/null", "--yes", "--decrypt", str(sealed)))
            files.openpgp_key_of(blob).write_bytes(key.reveal())
            return contest(
                "check_csv_openpgp", Side("ours", lambda: files.read(blob, [key])), [alone],
                unit="rows/s", amount=ROWS, rss=lambda: files.peak_mib("ours by gpg", blob, ROWS),
            )  # fmt: skip
        finally:
            vendor.end()


def memory(name: str, blob: Path, reader: str, plain: Path, amount: int) -> Result:
    """The largest memory of reading it, beside a script's."""
    ours, peers = zip(*((files.peak_mib("ours", blob, amount), files.peak_mib(reader, plain, amount)) for _ in range(RUNS)), strict=True)
    value, peer = statistics.median(ours), statistics.median(peers)
    return Result(
        name, round(value, 1), "MiB", f"{reader} on the plain file", round(peer, 1), round(peer / value, 3), round(max(ours), 1), RUNS
    )


def csv_file(plain: Path, rows: int) -> None:
    with plain.open("wb") as file:
        for block in files.csv_blocks(rows):
            file.write(block)


def pupils_file(plain: Path, pupils: int) -> None:
    with plain.open("wb") as file:
        for block in files.csv_blocks(pupils, per_pupil=1):
            file.write(block)


def zip_file(plain: Path, results: int) -> None:
    with plain.open("wb") as file:
        files.exchange_zip(file, results)


@contextmanager
def made(make: Callable[[Path, int], None], amount: int) -> Iterator[tuple[Path, Path]]:
    """The plain file of that size, and the blob of its delivery."""
    with tempfile.TemporaryDirectory() as folder:
        plain, blob = Path(folder) / "plain", Path(folder) / "blob"
        make(plain, amount)
        files.store(plain, blob)
        yield plain, blob
