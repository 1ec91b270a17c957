"""Fuzzes what lies around a delivery's content: age, in bytes or armour, and gzip in it. Needs atheris; see tests/support/fuzzing.py.

Whatever comes: either the very bytes that were encrypted and packed, or a finding; no thread is left, and no value is told.
"""

import gzip
import io
import zlib

import atheris  # type: ignore[import-not-found,unused-ignore]
import pyrage

with atheris.instrument_imports(include=["gateway.checks", "gateway.drop.formats"]):
    from gateway.checks.findings import DropRefused
    from gateway.checks.stream import Limits, open_delivery

from tests.support.deliveries import DROP_KEY, IDENTITY, RECIPIENT, age, blob, row, rows, write_csv
from tests.support.fuzzing import fuzz, quiet_threads
from tests.support.leaks import carried, leaked

LIMITS = Limits(max_plain_bytes=1 << 20, max_ratio=50, ratio_grace_bytes=1 << 16)
#: three of age's chunks of 64 KiB, and less than one
PLAIN = (write_csv([row()]), write_csv(rows(1200)))
SEALED = tuple(age(plain) for plain in PLAIN)
ARMOURED = pyrage.encrypt(PLAIN[0], [pyrage.x25519.Recipient.from_str(RECIPIENT)], armored=True)
WHOLE = ((SEALED[0], PLAIN[0]), (SEALED[1], PLAIN[1]), (ARMOURED, PLAIN[0]))


class Halting(io.BytesIO):
    """A blob of which each reading gives a little, as a pipe does, and that may fail."""

    def __init__(self, content: bytes, step: int, fails: bool) -> None:
        super().__init__(content)
        self._step, self._fails = step, fails

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(self._step if size is None or size < 0 else min(size, self._step))
        if self._fails and not data:
            raise OSError(5, "Input/output error")
        return data


def one(data: bytes) -> None:
    given = atheris.FuzzedDataProvider(data)
    way, fails = given.ConsumeIntInRange(0, 3), given.ConsumeIntInRange(0, 9) == 9
    step = (1 << 20, 1, 97, 65_536)[given.ConsumeIntInRange(0, 3)]
    content: bytes | None
    if way == 0:  # anything at all
        delivered, content = given.ConsumeBytes(len(data)), None
    elif way == 1:  # a good file, changed
        delivered, content = edited(given)
    else:  # good encryption around anything
        content = given.ConsumeBytes(len(data))
        delivered = age(content)
    if len(delivered) > 5000:
        step = max(step, 4096)
    with quiet_threads():
        judge(Halting(blob(delivered).getvalue(), step, fails), delivered, content)


def judge(stored: io.BytesIO, delivered: bytes, content: bytes | None) -> None:
    try:
        with open_delivery(stored, DROP_KEY, [IDENTITY], LIMITS) as stream:
            read = stream.read()
    except DropRefused as stop:
        assert not leaked(content or delivered, carried(stop))
        if delivered.startswith(b"age-encryption.org/v1") and content is not None and not content.startswith(b"\x1f\x8b"):
            assert stop.findings[0].rule in ("truncated", "damaged", "wrong-recipient", "expansion", "empty-file", "not-age")
        elif content is not None and stop.findings[0].rule == "gzip-damaged" and len(content) < 20_000:
            assert unpacked(content) is None, "the standard library reads it"
        return
    except OSError as error:
        assert error.errno == 5 and not leaked(content or delivered, carried(error))
        return
    if content is None:
        assert read in PLAIN, "bytes that nobody encrypted were taken"
    else:
        assert read == (unpacked(content) if content.startswith(b"\x1f\x8b") else content)


def unpacked(content: bytes) -> bytes | None:
    """All members, read at once: zeros may follow the last one (RFC 1952, section 2.2; gzip(1)), and nothing else. None: it is damaged."""
    whole = b""
    while content.strip(b"\0"):
        member = zlib.decompressobj(wbits=31)
        try:
            whole += member.decompress(content)
        except zlib.error:
            return None
        if not member.eof:
            return None
        content = member.unused_data
    return whole


def edited(given: "atheris.FuzzedDataProvider") -> tuple[bytes, bytes]:
    """A good file with some bytes changed, taken out or put in; and what is in it."""
    whole, content = WHOLE[given.ConsumeIntInRange(0, 2)]
    delivered = bytearray(whole)
    for _ in range(given.ConsumeIntInRange(1, 3)):
        at = given.ConsumeIntInRange(0, len(delivered))
        delivered[at : at + given.ConsumeIntInRange(0, 70_000)] = given.ConsumeBytes(given.ConsumeIntInRange(0, 40))
    return bytes(delivered), content


def seeds() -> dict[str, bytes]:
    """Whole numbers are taken from the end: way, fails, step."""
    packed = gzip.compress(PLAIN[0], mtime=0)
    inside = {"gzip": packed, "members": packed * 3, "padded": packed + bytes(40), "cut": packed[:-5], "plain": PLAIN[0], "empty": b"",
              "behind": packed + b"x", "bomb": gzip.compress(bytes(1 << 19), mtime=0)}  # fmt: skip
    outside = {"sealed": SEALED[0], "armoured": ARMOURED, "not": PLAIN[0], "openpgp": b"\x85\x02" + bytes(300), "head": SEALED[0][:150]}
    made = {name: content + b"\0\0\2" for name, content in inside.items()} | {name: got + b"\0\0\0" for name, got in outside.items()}
    return made | {f"edited-{number}": bytes(range(90)) + bytes([number, 0, 0, 1]) for number in range(3)}


WORDS = [
    b"age-encryption.org/v1\n", b"-> X25519 ", b"-> scrypt ", b"\n--- ", b"-----BEGIN AGE ENCRYPTED FILE-----\n",
    b"-----END AGE ENCRYPTED FILE-----\n", b"-----BEGIN PGP MESSAGE-----\n", b"\x1f\x8b\x08\x00", b"\x1f\x8b\x08\x08", b"\x85\x01",
    b"\xc1", b"\r\n",
]  # fmt: skip

if __name__ == "__main__":
    fuzz(one, seeds(), WORDS)
