"""Deliveries of any size as files, each pupil another, and what a process of its own takes to read one.

python -m tests.bench.delivery_files ours|polars|expat|elementtree FILE      its largest memory [KiB], then how much it read
"""

import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

import numpy as np
import polars as pl
import pyrage
from numpy.typing import NDArray

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.objections import ObjectionRow, Objections, macs_of
from gateway.checks.stream import open_delivery
from gateway.checks.uwlr import NAMESPACE
from keys.drop_cipher import DropCipher
from keys.secret import Secret
from policies.identifiers import elf_sum
from policies.rules import packaged_rules
from tests.support.deliveries import COLUMNS, OBJECTION_KEY, TODAY, context, standing
from tests.support.exchange import edexml, uwlr
from tests.support.vectors import load_vectors

SCHOOLS = [f"{number:02}AA00" for number in range(100)]
PER_PUPIL = 10
BLOCK_ROWS = 240_000  # written at once
FIRST_STEM = 10_000_000  # eight digits: the BSNs begin at 100,000,000
#: the gateway's keys for these files, the same in every process; nothing is kept under them
IDENTITY = Secret(load_vectors("sealed_age")["identity"].encode())
DROP_KEY = Secret(bytes(range(32)))


def bsns(first: int, count: int) -> NDArray[np.uint32]:
    """The BSNs of `count` pupils; those of other blocks are others."""
    stems = np.arange(FIRST_STEM + first * 2, FIRST_STEM + first * 2 + count * 2, dtype=np.uint32)
    last = elf_sum(stems * np.uint32(10)).astype(np.uint32)
    return (stems * np.uint32(10) + last)[last < 10][:count]


def table(first: int, count: int, per_pupil: int = PER_PUPIL) -> pl.DataFrame:
    """Rows of nco-lvs-1, `per_pupil` of each pupil, a school's pupils together."""
    rng = np.random.default_rng(first)
    pupils = count // per_pupil

    def some(values: Sequence[str], size: int) -> pl.Series:
        return pl.Series(values).gather(rng.integers(0, len(values), size))

    born = pl.Series(rng.integers(16_344, 16_700, pupils, dtype=np.int32)).cast(pl.Date).cast(pl.String)
    people = pl.DataFrame(
        {
            "brin_vestiging": pl.Series(SCHOOLS).gather(np.arange(pupils) * len(SCHOOLS) // pupils),
            "bsn": pl.Series(bsns(first // per_pupil, pupils)).cast(pl.String),
            "onderwijsnummer": pl.Series([""] * pupils),
            "geslacht": some(["M", "V"], pupils),
            "geboortedatum": born,
            "postcode": pl.Series(rng.integers(1000, 9999, pupils)).cast(pl.String) + some(["AB", "CX", "KL", "ZZ"], pupils),
            "huisnummer": pl.Series(rng.integers(1, 400, pupils)).cast(pl.String),
            "toevoeging": some(["", "", "", "A", "12"], pupils),
            "kinderdagverblijf": some(["J", "N", ""], pupils),
            "peuterspeelzaal": some(["J", "N", ""], pupils),
        }
    )
    rows = people[np.repeat(np.arange(pupils), per_pupil)]
    dates = pl.Series([f"2026-01-{day:02}" for day in range(10, 31)])
    return rows.with_columns(
        schooljaar=pl.lit("2025-2026"), jaargroep=pl.lit("5"), uitgever=pl.lit("cito"), toetscode=pl.lit("RW2006-12-155"),
        domein=pl.lit("rekenen_wiskunde"), afnamemoment=pl.lit("M5"), afnamedatum=dates.gather(np.arange(rows.height) % len(dates)),
        score=pl.Series(rng.integers(1500, 2800, rows.height) / 10).cast(pl.String),
    ).select(COLUMNS)  # fmt: skip


def csv_blocks(rows: int, per_pupil: int = PER_PUPIL) -> Iterator[bytes]:
    """The CSV of so many rows, in pieces."""
    yield ";".join(COLUMNS).encode() + b"\n"
    for first in range(0, rows, BLOCK_ROWS):
        block = table(first, min(BLOCK_ROWS, rows - first), per_pupil)
        yield block.write_csv(separator=";", include_header=False, quote_style="never").encode()


def exchange_zip(target: BinaryIO, results: int) -> None:
    """A zip of EDEXML and UWLR with so many results, over SCHOOLS, unpacked one school at a time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped:
        each = results // len(SCHOOLS)
        for number, school in enumerate(SCHOOLS):
            rows = table(number * each, each).with_columns(brin_vestiging=pl.lit(school), toetscode=pl.lit("RW-3.0-M5")).to_dicts()
            zipped.writestr(f"{school}/leerlingen.xml", edexml(school, rows))
            zipped.writestr(f"{school}/resultaten.xml", uwlr(school, rows))


def store(plain: Path, blob: Path) -> None:
    """The file in age, under the drop key, as the intake leaves it."""
    cipher = DropCipher(DROP_KEY).stream()

    class Under(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            target.write(cipher.update(bytes(data)))
            return len(data)

    with plain.open("rb") as source, blob.open("wb") as target:
        pyrage.encrypt_io(source, Under(), [pyrage.x25519.Identity.from_str(IDENTITY.reveal().decode()).to_public()])


def where() -> CheckContext:
    """All schools may be delivered; objections of so many pupils hold who are not in the file."""
    macs = macs_of([ObjectionRow(int(number), None, TODAY) for number in bsns(40_000_000, len(SCHOOLS))], OBJECTION_KEY)
    objections = Objections(macs, OBJECTION_KEY)
    return context(schools={code: standing(code) for code in SCHOOLS}, objections=objections, today=date(2026, 2, 20))


def read(blob: Path, openpgp: Sequence[Secret] = ()) -> Outcome:
    """As the worker reads it: every batch made, none kept."""
    with blob.open("rb") as stored, open_delivery(stored, DROP_KEY, [IDENTITY], openpgp=openpgp) as stream:
        checked = Checked(stream, where(), packaged_rules("nco-lvs-1"))
        for _ in checked.batches():
            pass
    assert not checked.outcome.refused, checked.outcome.findings[:3]
    return checked.outcome


def openpgp_key_of(blob: Path) -> Path:
    """Where a process of its own finds the key of a blob that is encrypted with OpenPGP."""
    return blob.with_suffix(".key")


def bare_csv(plain: Path) -> int:
    """What a script would do."""
    return pl.read_csv(plain, separator=";", infer_schema=False).height


def expat_alone(plain: Path) -> int:
    """The parser that is below ours, with nothing but a count of the results."""
    found = 0

    def begins(name: str, _: dict[str, str]) -> None:
        nonlocal found
        found += name == "resultaat"

    with zipfile.ZipFile(plain) as zipped:
        for name in zipped.namelist():
            parser = expat.ParserCreate("UTF-8")
            parser.StartElementHandler = begins
            with zipped.open(name) as file:
                parser.ParseFile(file)
    return found


def element_tree(plain: Path) -> int:
    """What a script would do: the elements as they come, joined with nothing and checked for nothing."""
    found = 0
    with zipfile.ZipFile(plain) as zipped:
        for name in zipped.namelist():
            with zipped.open(name) as file:
                for _, element in ET.iterparse(file):
                    found += element.tag == f"{{{NAMESPACE}}}resultaat"
                    if element.tag in ("leerling", f"{{{NAMESPACE}}}toetsafname"):
                        element.clear()
    return found


READERS: dict[str, Callable[[Path], int]] = {
    "ours": lambda path: read(path).counts["rows"],
    "ours by gpg": lambda path: read(path, [Secret(openpgp_key_of(path).read_bytes())]).counts["rows"],
    "polars": bare_csv,
    "expat": expat_alone,
    "elementtree": element_tree,
}


def peak_mib(reader: str, file: Path, amount: int) -> float:
    """The largest resident set of a new process that reads the file [MiB]; it must find `amount`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.delivery_files", reader, str(file)], stdout=subprocess.PIPE, text=True, check=True
    )
    peak, found = map(int, done.stdout.split())
    assert found == amount, (found, amount)
    return peak / 1024


if __name__ == "__main__":
    found = READERS[sys.argv[1]](Path(sys.argv[2]))
    (peak,) = re.findall(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    print(peak, found)
