"""Fuzzes the zip of a delivery: any bytes behind its signature. Needs atheris; see tests/support/fuzzing.py.

Whatever comes: findings and never a crash, no value of the file told, and what is accepted is what an independent reader finds in it.
"""

import io
import struct
import zipfile

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["gateway.checks"]):
    import gateway.checks.check
    from gateway.checks import archive

from tests.support.deliveries import SCHOOL, row
from tests.support.exchange import edexml, packed, uwlr
from tests.support.fuzzing import SCHOOLS, fuzz, judged

archive.MAX_PACKED, archive.MAX_FILE, archive.MAX_UNPACKED, archive.MAX_ENTRIES = 1 << 16, 1 << 18, 1 << 19, 50
TABLE = [row(toetscode="RW-3.0-M5")]
PUPILS, RESULTS = edexml(SCHOOL, TABLE), uwlr(SCHOOL, TABLE)
NAMES = (f"{SCHOOL}/leerlingen.xml", f"{SCHOOL}/resultaten.xml")
PAIR = {NAMES[0]: PUPILS, NAMES[1]: RESULTS}
GOOD = {method: packed(PAIR, method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)}
HEADERS = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")


def one(data: bytes) -> None:
    given = atheris.FuzzedDataProvider(data)
    content = archive.SIGNATURES[0] + data[:-1] if given.ConsumeBool() else edited(given)
    accepted, outcome = judged(io.BytesIO(content), b"")
    if outcome.refused:
        return
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        assert zipped.testzip() is None
        assert {name for name in zipped.namelist() if not name.endswith("/")} <= {f"{s}/{n[7:]}" for s in SCHOOLS for n in NAMES}
        texts = b"".join(zipped.read(name) for name in zipped.namelist())
    assert all(row["postcode"].encode() in texts for row in accepted if row["postcode"])


def edited(given: "atheris.FuzzedDataProvider") -> bytes:
    """A good zip with some numbers in its headers changed, and some bytes anywhere."""
    content = bytearray(GOOD[zipfile.ZIP_DEFLATED if given.ConsumeBool() else zipfile.ZIP_STORED])
    for _ in range(given.ConsumeIntInRange(1, 4)):
        choice = given.ConsumeIntInRange(0, 3)
        if choice < 2:
            at = content.find(HEADERS[given.ConsumeIntInRange(0, 2)])
            if given.ConsumeBool():
                at = max(at, content.find(HEADERS[0], at + 4))
            form, most = (("<H", 0xFFFF), ("<I", 0xFFFFFFFF))[choice]
            field = at + given.ConsumeIntInRange(4, 46)
            if 0 <= field <= len(content) - 4:
                struct.pack_into(form, content, field, given.ConsumeIntInRange(0, most))
        else:
            at = given.ConsumeIntInRange(0, len(content))
            taken = given.ConsumeIntInRange(0, 8) if choice == 2 else len(content)
            content[at : at + taken] = given.ConsumeBytes(given.ConsumeIntInRange(0, 40))
    return bytes(content)


def seeds() -> dict[str, bytes]:
    """Zips as tools write them, the first four bytes left off."""
    with_folder = packed([(f"{SCHOOL}/", b""), *PAIR.items()])
    made = {
        "stored": GOOD[zipfile.ZIP_STORED], "deflated": GOOD[zipfile.ZIP_DEFLATED], "folder": with_folder, "streamed": streamed(),
        "nested": packed({**PAIR, NAMES[0]: GOOD[zipfile.ZIP_STORED]}), "odd": packed({f"../{NAMES[0]}": PUPILS}),
        "empty": packed({}), "one": packed({NAMES[0]: PUPILS}),
    }  # fmt: skip
    return {name: content[4:] + b"\1" for name, content in made.items()} | {"edited": bytes(range(64)) + b"\0", "cut": bytes(80)}


def streamed() -> bytes:
    """As a tool writes that can't seek: the sizes follow the data (APPNOTE 4.3.9)."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            super().__init__()
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in PAIR.items():
            zipped.writestr(name, content)
    return pipe.written


WORDS = [
    *HEADERS,
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
    b"\x01\x00",
    b"\xff\xff\xff\xff",
    b"\x08\x00",
    b"\x63\x00",
    *(n.encode() for n in NAMES),
]

if __name__ == "__main__":
    assert gateway.checks.check
    fuzz(one, seeds(), WORDS)
