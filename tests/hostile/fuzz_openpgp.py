"""Fuzzes OpenPGP: the framing of its packets, what gpg says, and now and then gpg itself. Needs atheris; see tests/support/fuzzing.py.

Whatever comes: the framing says the same however the bytes are cut; gpg's words refuse by a known rule unless all of them are there; and of
a changed message nothing is taken but the very bytes that were encrypted.
"""

import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["gateway.checks.openpgp", "gateway.checks.pgp_framing", "gateway.drop.formats"]):
    from gateway.checks.findings import DropRefused
    from gateway.checks.openpgp import Statuses, rule_of
    from gateway.checks.pgp_framing import Framing
    from gateway.checks.stream import Limits, open_delivery

from gateway.checks.catalogue import CATALOGUE
from keys.openpgp import new_openpgp_key
from tests.support.deliveries import DROP_KEY, IDENTITY, blob, row, write_csv
from tests.support.fuzzing import fuzz, quiet_threads
from tests.support.leaks import carried, leaked
from tests.support.openpgp import VendorGpg

PLAIN = write_csv([row()])
LIMITS = Limits(max_plain_bytes=1 << 20, max_ratio=50, ratio_grace_bytes=1 << 16)
#: one input in so many goes through gpg, which takes a tenth of a second
RARELY = 50
GOOD = ("BEGIN_DECRYPTION", "PLAINTEXT 62 0", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION")
SAID = (*GOOD, "DECRYPTION_KEY A B u", "ENC_TO 1 1 0", "NEED_PASSPHRASE_SYM 9", "NODATA 3", "DECRYPTION_FAILED", "DECRYPTION_INFO 2 9 0")


def messages() -> list[bytes]:
    """What gpg makes for a key of ours."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        vendor = VendorGpg(Path(folder) / "v")
        to = vendor.learn(PUBLIC)
        ways = (("--compress-algo=none",), ("--compress-algo=zlib",), ("--armor",), ("--rfc2440", "--disable-mdc"), ("--throw-keyids",))
        made = [vendor.encrypt(PLAIN, to, *way) for way in ways]
        made.append(vendor.encrypt(PLAIN * 80, to, "--compress-algo=none"))  # in parts of known and unknown length
        vendor.end()
    return made


KEY, PUBLIC = new_openpgp_key("Sluis")
MADE = messages()
TURNS = 0


def one(data: bytes) -> None:
    global TURNS
    TURNS += 1
    given = atheris.FuzzedDataProvider(data)
    way = given.ConsumeIntInRange(0, 3)
    if way == 0:
        words(given)
    else:
        message = given.ConsumeBytes(len(data)) if way == 1 else edited(given)
        framed(message)
        if TURNS % RARELY == 0 and message not in MADE:
            with quiet_threads():
                read(message)


def words(given: "atheris.FuzzedDataProvider") -> None:
    """gpg's status lines in any order, and between them anything."""
    lines = []
    for _ in range(given.ConsumeIntInRange(0, 12)):
        choice = given.ConsumeIntInRange(0, len(SAID))
        lines.append(SAID[choice].encode() if choice < len(SAID) else given.ConsumeBytes(given.ConsumeIntInRange(0, 30)))
    said = b"".join(b"[GNUPG:] " + line + b"\n" for line in lines)
    code, cut, bare = given.ConsumeIntInRange(0, 2), given.ConsumeBool(), given.ConsumeBool()
    whole, step = Statuses(), given.ConsumeIntInRange(1, 40)
    pieces = Statuses()
    whole.take(said)
    for at in range(0, len(said), step):
        pieces.take(said[at : at + step])
    assert whole.lines == pieces.lines
    rule = rule_of(whole, code, cut, bare)
    assert rule is None or rule in CATALOGUE
    if rule is None:
        assert code == 0 and all(whole.count(line.split()[0]) == 1 for line in GOOD)


def framed(message: bytes) -> None:
    """However it is cut."""
    whole = Framing()
    whole.take(message)
    for step in (1, 13):
        pieces = Framing()
        for at in range(0, len(message), step):
            pieces.take(message[at : at + step])
        # armour is told by the first piece, and the gateway's are never so small
        if not message.startswith(b"-"):
            assert (pieces.whole, pieces.bare) == (whole.whole, whole.bare)
    for made in MADE:
        if message == made:
            assert whole.whole


def read(message: bytes) -> None:
    try:
        with open_delivery(blob(message), DROP_KEY, [IDENTITY], LIMITS, [KEY]) as stream:
            plain = stream.read()
    except DropRefused as stop:
        assert not leaked(PLAIN, carried(stop))
        return
    assert plain in (PLAIN, PLAIN * 80), "bytes that nobody encrypted were taken"


def edited(given: "atheris.FuzzedDataProvider") -> bytes:
    """A good message with some bytes changed, taken out or put in."""
    message = bytearray(MADE[given.ConsumeIntInRange(0, len(MADE) - 1)])
    for _ in range(given.ConsumeIntInRange(1, 3)):
        at = given.ConsumeIntInRange(0, len(message))
        message[at : at + given.ConsumeIntInRange(0, 300)] = given.ConsumeBytes(given.ConsumeIntInRange(0, 40))
    return bytes(message)


def seeds() -> dict[str, bytes]:
    """Messages as they are, and words; whole numbers are taken from the end."""
    made = {f"message-{number}": message[:8000] + b"\1" for number, message in enumerate(MADE)}
    made |= {f"edited-{number}": bytes(range(80)) + bytes([1, 5, 9, number, 2]) for number in range(len(MADE))}
    return made | {"words": bytes(range(60)) + b"\0", "good-words": bytes([0, 0, 0, 4, 3, 2, 1, 0, 5, 0])}


WORDS = [
    b"-----BEGIN PGP MESSAGE-----\n", b"-----END PGP MESSAGE-----\n", b"\n\n", b"\xd2\xff\x00\x00\x01\x00", b"\xd4", b"\xc9",
    b"\x85\x01\x0c", b"\xa3", b"\xe0", b"\xfe", b"\x84\x5e\x03", b"\xcb\x01",
]  # fmt: skip

if __name__ == "__main__":
    fuzz(one, seeds(), WORDS)
