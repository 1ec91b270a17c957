"""What is known to break readers of files, in each wrapper in which it can be delivered: refused by name, in bounded time and memory, and
nothing of it is told.
"""

import gzip
import io
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys.openpgp import new_openpgp_key
from keys.secret import Secret
from tests.support.deliveries import SCHOOL, age, blob, row, rows, rules_told, write_csv
from tests.support.exchange import edexml, exchange, packed, uwlr
from tests.support.golden import GOLDEN
from tests.support.leaks import leaked, told
from tests.support.openpgp import VendorGpg
from tests.support.reading import MIB, deliver, measured

pytestmark = pytest.mark.slow

#: stands in every attack and may stand nowhere else
MARK = "zevenblad7316"
TABLE = [row(toetscode="RW-3.0-M5")]
PUPILS, RESULTS = edexml(SCHOOL, TABLE).replace("Zonneschijn", MARK), uwlr(SCHOOL, TABLE)
NAMES = (f"{SCHOOL}/leerlingen.xml", f"{SCHOOL}/resultaten.xml")
GOOD = write_csv(rows(300))
HEADER, LINE = (line + b"\n" for line in write_csv([row()]).splitlines())
#: [s] on a busy machine; reading all of what is attacked with would take minutes
SOON = 30


def doctype(declared: str) -> bytes:
    return exchange(TABLE, pupils=PUPILS.replace("?>", f"?><!DOCTYPE EDEX {declared}>", 1).replace("<land>NL", f"<land>{MARK}&a;"))


def laughs() -> bytes:
    return doctype(f'[<!ENTITY l0 "{MARK}">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)) + "]")


def zipped(*files: tuple[str, str | bytes]) -> bytes:
    return packed(files)


def large_file(size: int) -> bytes:
    """A zip in which one file is so much larger than it looks."""
    return zipped((NAMES[0], PUPILS.encode() + b" " * size), (NAMES[1], RESULTS))


def with_flags(flag: int) -> bytes:
    content = bytearray(zipped((NAMES[0], PUPILS), (NAMES[1], RESULTS)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= flag
    return bytes(content)


def line_of_1_gb() -> bytes:
    """In gzip: a megabyte."""
    return gzip.compress(f"{MARK}".encode() + b"x" * (100 * MIB), 9) * 10


def formulas() -> bytes:
    """One in each column that a spreadsheet would carry out."""
    columns = HEADER.decode().strip().split(";")
    return write_csv([row(**{name: f"{sign}cmd|'/C {MARK}'!A0"}) for name in columns for sign in "=+-@"])


@dataclass(frozen=True)
class Attack:
    """`make` gives the plain content; `rules` are those by which it is refused. `wrapped`: the wrappers in which it comes."""

    make: Callable[[], bytes]
    rules: frozenset[str]
    wrapped: tuple[str, ...] = ("age", "gzip in age", "OpenPGP")


def attack(make: Callable[[], bytes], *rules: str, wrapped: tuple[str, ...] = ("age", "gzip in age", "OpenPGP")) -> Attack:
    return Attack(make, frozenset(rules), wrapped)


#: what is packed by itself already
PACKED = ("age", "OpenPGP")
ATTACKS = {
    "billion laughs": attack(laughs, "xml-doctype"),
    "XXE": attack(lambda: doctype('[<!ENTITY a SYSTEM "file:///etc/passwd">]'), "xml-doctype"),
    "XXE by a parameter": attack(lambda: doctype('[<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]'), "xml-doctype"),
    "an external DTD": attack(lambda: doctype('SYSTEM "http://127.0.0.1:1/x.dtd"'), "xml-doctype"),
    "a zip bomb": attack(lambda: large_file(200 * MIB), "expansion"),
    "a zip bomb in the zip": attack(lambda: zipped((NAMES[0], large_file(50 * MIB)), (NAMES[1], RESULTS)), "xml-damaged"),
    "a zip beside the files": attack(lambda: zipped((NAMES[0], PUPILS), (NAMES[1], RESULTS), ("meer.zip", large_file(MIB))), "zip-names"),
    "a gzip bomb": attack(lambda: gzip.compress(HEADER) + gzip.compress(b"\n" * (100 * MIB), 9) * 100, "unreadable", wrapped=PACKED),
    "short lines without end": attack(lambda: HEADER + b"1\n" * (50 * MIB), "unreadable"),
    "a gzip bomb of rows": attack(lambda: gzip.compress(HEADER) + gzip.compress(LINE * 100_000, 9) * 20, "expansion", wrapped=PACKED),
    "a gzip bomb in gzip": attack(lambda: gzip.compress(gzip.compress(bytes(100 * MIB), 9), 9), "not-utf-8", wrapped=PACKED),
    "a swarm of gzip members": attack(lambda: gzip.compress(b"") * 300_000, "gzip-damaged", wrapped=PACKED),
    "a path out of the zip": attack(lambda: zipped((f"../../{NAMES[0]}", PUPILS), (NAMES[1], RESULTS)), "zip-names"),
    "an absolute path": attack(lambda: zipped((f"/{NAMES[0]}", PUPILS), (NAMES[1], RESULTS)), "zip-names"),
    "a backslash": attack(lambda: zipped((NAMES[0].replace("/", "\\"), PUPILS), (NAMES[1], RESULTS)), "zip-names"),
    "a name twice": attack(lambda: zipped((NAMES[0], PUPILS), (NAMES[1], RESULTS), (NAMES[0], PUPILS)), "zip-names"),
    "an encrypted entry": attack(lambda: with_flags(0x1), "zip-method"),
    "entries with a password": attack(lambda: (GOLDEN / "zip" / "password.zip").read_bytes(), "zip-method"),
    "10 million columns": attack(lambda: b";".join([MARK.encode()] * 10_000_000) + b"\n", "line-too-long"),
    "10 million fields in a row": attack(lambda: HEADER + LINE + b";" * 10_000_000 + MARK.encode() + b"\n", "line-too-long"),
    "a million attributes": attack(
        lambda: exchange(TABLE, pupils=PUPILS.replace("<land>", f"<land {' '.join(f'n{n}={chr(39)}{chr(39)}' for n in range(10**6))}>")),
        "xml-limits",
    ),
    "one line of 1 GB": attack(line_of_1_gb, "line-too-long", wrapped=PACKED),
    "NUL bytes": attack(lambda: GOOD + LINE.replace(b";V;", b";\0;") + MARK.encode() + b"\n", "not-utf-8"),
    "NUL bytes only": attack(lambda: bytes(50 * MIB), "line-too-long", "not-utf-8"),
    "two encodings": attack(lambda: GOOD + LINE.replace(b"12;A", "12;é".encode()) + LINE.replace(b"12;A", b"12;\xe9"), "not-utf-8"),
    "UTF-16 after UTF-8": attack(lambda: GOOD + LINE.decode().encode("utf-16"), "not-utf-8"),
    "formulas": attack(
        formulas, "too-many-refused", "addition", "brin", "bsn", "code", "date", "number", "onderwijsnummer", "pattern", "postcode",
        "schooljaar",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Wrapper:
    key: Secret
    vendor: VendorGpg
    to: str

    def wrap(self, plain: bytes, way: str) -> bytes:
        if way == "OpenPGP":
            return self.vendor.encrypt(plain, self.to, "--compress-algo=zlib")
        return age(plain if way == "age" else gzip.compress(plain, 1))


@pytest.fixture(scope="module")
def wrapper() -> Iterator[Wrapper]:
    key, public = new_openpgp_key("Sluis")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        vendor = VendorGpg(Path(folder) / "v")
        yield Wrapper(key, vendor, vendor.learn(public))
        vendor.end()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused_by_name_in_little_time_and_memory(wrapper: Wrapper, name: str) -> None:
    attack = ATTACKS[name]
    plain = attack.make()
    for way in attack.wrapped:
        stored = blob(wrapper.wrap(plain, way))
        outcome, seconds, memory = measured(stored, openpgp=[wrapper.key])
        assert outcome.refused and outcome.counts["accepted_rows"] == 0, way
        allowed = {*attack.rules, "expansion"} if way != "age" else attack.rules
        assert rules_told(outcome) <= allowed and rules_told(outcome), (way, rules_told(outcome))
        assert seconds < SOON and memory < 200 * MIB, (way, seconds, memory // MIB)
        assert MARK not in told(outcome) and leaked(plain[:2000], told(outcome)) <= {SCHOOL}, way
    assert deliver(wrapper.wrap(GOOD, attack.wrapped[-1]), openpgp=[wrapper.key])[0] == 300, "the next is read as if nothing had been"


def test_one_line_of_1_gb_that_openpgp_compressed(wrapper: Wrapper) -> None:
    """Made as it is piped: gpg packs it into a megabyte."""
    made = subprocess.Popen(["sh", "-c", "head -c 1073741824 /dev/zero | tr '\\0' x"], stdout=subprocess.PIPE)
    assert made.stdout is not None
    with made, tempfile.TemporaryFile() as sealed:
        command = [
            "gpg",
            f"--homedir={wrapper.vendor.folder}",
            "--batch",
            "--no-tty",
            "--quiet",
            "--trust-model=always",
            "--compress-algo=zlib",
        ]
        subprocess.run([*command, f"--recipient={wrapper.to}", "--encrypt"], stdin=made.stdout, stdout=sealed, check=True)
        sealed.seek(0)
        message = sealed.read()
    assert len(message) < 3 * MIB
    outcome, seconds, memory = measured(blob(message), openpgp=[wrapper.key])
    assert rules_told(outcome) <= {"line-too-long", "expansion"} and outcome.refused
    assert seconds < SOON and memory < 200 * MIB


def test_every_attack_would_be_one() -> None:
    """Python's own readers take them, or would fill the memory."""
    assert zipfile.ZipFile(io.BytesIO(large_file(MIB))).getinfo(NAMES[0]).file_size > MIB
    assert len(zlib.decompressobj(wbits=31).decompress(gzip.compress(bytes(MIB)))) == MIB
    assert all(
        MARK.encode() in attack.make() for name, attack in ATTACKS.items() if name in ("10 million columns", "NUL bytes", "formulas")
    )
