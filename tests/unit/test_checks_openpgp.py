"""OpenPGP deliveries, as the gpg of this machine makes them: opened as a stream, and refused by name where they end wrongly."""

import contextlib
import gzip
import io
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESOCB3

from gateway.checks import openpgp
from gateway.checks.findings import DropRefused
from gateway.checks.openpgp import Statuses, rule_of
from gateway.checks.pgp_framing import Framing
from gateway.checks.recipients import DeliveryKey, about_key
from gateway.checks.stream import Limits, open_delivery
from keys.openpgp import gpg_environment, gpg_home, new_openpgp_key
from keys.secret import Secret
from tests.support.deliveries import DROP_KEY, IDENTITY, blob
from tests.support.openpgp import VendorGpg

TEXT = b"".join(b"%d;%d\n" % (number, number * 7919) for number in range(60_000))


@dataclass
class Parties:
    """Two keys of the gateway's, and a vendor who knows both."""

    key: Secret
    older: Secret
    vendor: VendorGpg
    to: str
    to_older: str


@pytest.fixture(scope="module")
def parties() -> Iterator[Parties]:
    (key, public), (older, older_public) = new_openpgp_key("Sluis"), new_openpgp_key("Sluis")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        vendor = VendorGpg(Path(folder) / "v")
        vendor.own_key("Vendor", "ed25519", "sign", "never")
        vendor.own_key("Other", "rsa2048", "encrypt", "never")
        yield Parties(key, older, vendor, vendor.learn(public), vendor.learn(older_public))
        vendor.end()


def opened(delivered: bytes, *keys: Secret, limits: Limits | None = None) -> bytes:
    with open_delivery(blob(delivered), DROP_KEY, [IDENTITY], limits, keys) as stream:
        return stream.read()


def refusal(delivered: bytes, *keys: Secret, limits: Limits | None = None) -> str:
    with pytest.raises(DropRefused) as refused:
        opened(delivered, *keys, limits=limits)
    (found,) = refused.value.findings
    return found.rule


def homes() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob(f"sluis-gpg.{os.getpid()}.*")}


def agents() -> set[str]:
    """The processes that work in a home of this process's."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"sluis-gpg.{os.getpid()}.".encode() in line:
            found.add(process.name)
    return found


@pytest.mark.parametrize(
    "options",
    [
        ("--compress-algo=none",), ("--compress-algo=zip",), ("--compress-algo=zlib",), ("--compress-algo=bzip2",), ("--armor",),
        ("--rfc4880", "--cipher-algo=3DES"), ("--cipher-algo=TWOFISH",), ("--throw-keyids",), ("--sign", "--local-user=Vendor"),
        ("--recipient=Other",), ("--hidden-recipient=Other", "--throw-keyids"), ("--symmetric", "--passphrase=x"),
        ("--sign", "--local-user=Vendor", "--compress-algo=bzip2", "--recipient=Other"),
        ("--armor", "--sign", "--local-user=Vendor", "--throw-keyids"), ("--set-filename=a.csv", "--textmode"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_gpg_makes_is_read(parties: Parties, options: tuple[str, ...]) -> None:
    assert opened(parties.vendor.encrypt(TEXT, parties.to, *options), parties.older, parties.key) == TEXT


def test_gzip_within_is_read_too(parties: Parties) -> None:
    assert opened(parties.vendor.encrypt(gzip.compress(TEXT), parties.to), parties.key) == TEXT


def test_off_is_off(parties: Parties) -> None:
    assert refusal(parties.vendor.encrypt(TEXT, parties.to)) == "format-not-yet-openpgp"


def test_what_is_not_for_us_is_told(parties: Parties) -> None:
    assert refusal(parties.vendor.encrypt(TEXT, "Other"), parties.key) == "wrong-recipient"
    assert refusal(parties.vendor.encrypt(TEXT, parties.to_older), parties.key) == "wrong-recipient"
    with_words = parties.vendor.run("--passphrase=x", "--symmetric", given=TEXT)
    assert refusal(with_words, parties.key) == "wrong-recipient"


def test_what_is_not_encrypted_is_told(parties: Parties) -> None:
    vendor = parties.vendor
    for way in ("--clear-sign", "--sign", "--store"):
        signed = vendor.run("--local-user=Vendor", "--armor", way, given=TEXT)
        assert refusal(signed, parties.key) == "not-age", way
    key = vendor.run("--armor", "--export", "Vendor")
    assert refusal(key, parties.key) in ("not-age", "damaged")


def test_without_protection_of_integrity_nothing_counts(parties: Parties) -> None:
    for way in ((), ("--armor",)):
        bare = parties.vendor.encrypt(TEXT, parties.to, "--rfc2440", "--disable-mdc", *way)
        assert refusal(bare, parties.key) == "openpgp-no-integrity"
        assert refusal(bare[:5_000], parties.key) == "openpgp-no-integrity"


@pytest.mark.parametrize("options", [("--compress-algo=none",), ("--compress-algo=zlib",), ("--armor",)], ids=" ".join)
def test_every_cut_is_a_truncation(parties: Parties, options: tuple[str, ...]) -> None:
    whole = parties.vendor.encrypt(TEXT, parties.to, *options)
    for cut in (200, 5_000, 100_000, len(whole) - 80):
        assert refusal(whole[:cut], parties.key) == "truncated", cut


@pytest.mark.parametrize("options", [("--compress-algo=none",), ("--compress-algo=zlib",)], ids=" ".join)
def test_what_was_changed_is_damaged(parties: Parties, options: tuple[str, ...]) -> None:
    whole = parties.vendor.encrypt(TEXT, parties.to, *options)
    for position in (5_000, len(whole) // 2 + 17, len(whole) - 300, len(whole) - 3):
        changed = bytearray(whole)
        changed[position] ^= 1
        assert refusal(bytes(changed), parties.key) == "damaged", position
    assert refusal(whole + whole, parties.key) == "damaged"
    assert refusal(whole + b"more", parties.key) == "damaged"
    for noise in (b"\x85" + os.urandom(5_000), b"\xc1" + os.urandom(5_000)):
        assert refusal(noise, parties.key) in ("damaged", "truncated")


def test_what_unpacks_without_end_is_stopped(parties: Parties) -> None:
    bomb = parties.vendor.encrypt(bytes(200 << 20), parties.to, "--compress-algo=bzip2")
    assert len(bomb) < 10_000
    assert refusal(bomb, parties.key, limits=Limits(ratio_grace_bytes=4 << 20)) == "expansion"
    assert refusal(bomb, parties.key, limits=Limits(max_plain_bytes=8 << 20)) == "expansion"


def test_what_unpacks_without_end_and_never_comes_out_is_stopped(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4095 << 20  # gpg is busy with it for many seconds; with a few bytes more it would be for days
    deflate = zlib.compressobj(9, wbits=-15)
    begin = deflate.compress(bytes([0xC0 | 60, 255]) + size.to_bytes(4)) + deflate.flush(zlib.Z_FULL_FLUSH)
    zeros = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    # an old packet of no length with compressed data (RFC 9580, 5.6), and in that one of a kind that is passed over (4.3)
    packet = b"\xa3\x01" + begin + zeros * (size >> 20) + deflate.flush()
    bomb = parties.vendor.encrypt(packet, parties.to, "--no-literal", "--compress-algo=zlib")
    assert len(bomb) < 100_000
    monkeypatch.setattr(openpgp, "_FREE_SECONDS", 1)
    assert refusal(bomb, parties.key) == "expansion"


def test_a_key_is_not_looked_for_in_what_comes_out_without_one(parties: Parties) -> None:
    stored = parties.vendor.run("--armor", "--compress-algo=bzip2", "--store", given=bytes(1 << 28))
    assert len(stored) < 10_000
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert not openpgp.opens(io.BytesIO(stored), parties.key)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.5


def test_a_large_delivery_leaves_memory_small(parties: Parties) -> None:
    plain = os.urandom(1 << 20) * 200
    stored = blob(parties.vendor.encrypt(plain, parties.to, "--compress-algo=none"))
    length, most, of_gpg = 0, 0, 0
    before = _resident()
    with open_delivery(stored, DROP_KEY, [IDENTITY], openpgp=[parties.key]) as stream:
        while data := stream.read(1 << 20):
            length += len(data)
            most = max(most, _resident())
            if length == len(plain) // 2:
                of_gpg = _most_of_gpg()
    assert 0 < of_gpg < 40 << 20
    assert length == len(plain)
    assert most - before < 40 << 20


def _most_of_gpg() -> int:
    """[bytes] the most memory that the gpg at work for this process held so far."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            told = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if told["Name"].strip() == "gpg" and int(told["PPid"]) == os.getpid():
                return int(told["VmHWM"].split()[0]) << 10
    return 0


def _resident() -> int:
    """[bytes] of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_two_at_once_do_not_meet(parties: Parties) -> None:
    messages = {
        parties.vendor.encrypt(TEXT, parties.to): (parties.key, TEXT),
        parties.vendor.encrypt(TEXT[::-1], parties.to_older): (parties.older, TEXT[::-1]),
    }
    right: list[bool] = []
    threads = [
        threading.Thread(target=lambda m=message, k=key, t=text: right.append(opened(m, k) == t))
        for message, (key, text) in messages.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True, True]


def test_no_plaintext_is_in_the_home_and_nothing_is_left_of_it(parties: Parties) -> None:
    whole = parties.vendor.encrypt(TEXT * 20, parties.to)
    with open_delivery(blob(whole), DROP_KEY, [IDENTITY], openpgp=[parties.key]) as stream:
        first = stream.read(1000)
        assert first == TEXT[:1000]
        (home,) = homes()
        files = [path for path in (Path("/dev/shm") / home).rglob("*") if path.is_file()]
        assert files and not any(TEXT[:50] in path.read_bytes() for path in files)
        assert len(agents()) == 2, "gpg and its agent"
        open_files = set()
        for file in (file for process in agents() for file in Path(f"/proc/{process}/fd").iterdir()):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                open_files.add(os.readlink(file))
        assert all(name.startswith(("pipe:", "socket:", "anon_inode:", "/dev/null", f"/dev/shm/{home}/")) for name in open_files)
    assert homes() == set()
    until = time.monotonic() + 20
    while agents() and time.monotonic() < until:
        os.sched_yield()
    assert agents() == set()


def test_which_key_it_was_is_told(parties: Parties) -> None:
    late = DeliveryKey(IDENTITY, date(2026, 3, 20), date(2026, 4, 3), parties.older)
    gone = DeliveryKey(IDENTITY, date(2026, 1, 9), None, parties.older)
    keys = DeliveryKey(IDENTITY, openpgp=parties.key)
    stored = blob(parties.vendor.encrypt(TEXT, parties.to_older, "--throw-keyids"))
    assert [told.rule for told in about_key(stored, DROP_KEY, [keys, late])] == ["replaced-key"]
    with pytest.raises(DropRefused, match="retired-key"):
        about_key(stored, DROP_KEY, [keys, gone])
    assert about_key(blob(parties.vendor.encrypt(TEXT, parties.to)), DROP_KEY, [keys, gone]) == []
    assert about_key(blob(parties.vendor.encrypt(TEXT, "Other")), DROP_KEY, [keys, gone]) == []


def test_a_blob_that_can_not_be_read_is_our_trouble(parties: Parties) -> None:
    class Failing:
        def __init__(self, data: bytes) -> None:
            self.stored = blob(data)

        def read(self, size: int) -> bytes:
            if self.stored.tell() > 2 << 20:
                raise OSError(5, "Input/output error")
            return self.stored.read(size)

    failing = Failing(parties.vendor.encrypt(os.urandom(5 << 20), parties.to))
    with (
        pytest.raises(OSError, match="Input/output"),
        open_delivery(failing, DROP_KEY, [IDENTITY], openpgp=[parties.key]) as stream,  # type: ignore[arg-type]
    ):
        stream.read()


def said(*lines: str) -> Statuses:
    statuses = Statuses()
    statuses.take("".join(f"[GNUPG:] {line}\n" for line in lines).encode())
    return statuses


GOOD = (
    "ENC_TO 1 18 0", "DECRYPTION_KEY a b u", "BEGIN_DECRYPTION", "DECRYPTION_INFO 2 9 0", "PLAINTEXT 62 1 x", "DECRYPTION_OKAY",
    "GOODMDC", "END_DECRYPTION",
)  # fmt: skip


def test_every_word_that_gpg_has_to_say_is_needed() -> None:
    assert rule_of(said(*GOOD), 0, False) is None
    assert rule_of(said(*GOOD), 2, False) == "damaged", "gpg 2.2 says so of a message in OCB that was changed"
    assert rule_of(said(*GOOD), 2, False, bare=True) == "openpgp-no-integrity"
    for at in (2, *range(4, len(GOOD))):
        assert rule_of(said(*GOOD[:at], *GOOD[at + 1 :]), 0, False) is not None, GOOD[at]
    assert rule_of(said(*GOOD[:4], "PLAINTEXT 62 1 y", *GOOD[4:]), 0, False) == "damaged"
    assert rule_of(said("PLAINTEXT 62 1 y", *GOOD), 0, False) == "damaged"
    assert rule_of(said(*GOOD, "PLAINTEXT 62 1 y"), 0, False) == "damaged"


def in_ocb(parties: Parties, chunk_bits: int) -> bytes:
    """TEXT as gpg 2.4 encrypts it by default to a key that says it reads OCB (OCB Encrypted Data Packet, tag 20, of LibrePGP; the gpg of
    this machine may only read it): the session key that gpg made for another message, and its packet."""
    other = parties.vendor.encrypt(b"x", parties.to, "--cipher-algo=AES256")
    with gpg_home() as home:
        home.take_in([parties.key])
        command = home.command("--status-fd=1", "--show-session-key", "--decrypt")
        shown = subprocess.run(command, input=other, capture_output=True, env=gpg_environment(), check=True).stdout
    session_key = bytes.fromhex(next(line.split(b"9:")[1] for line in shown.splitlines() if b"SESSION_KEY" in line).decode())
    assert other[0] == 0x84, "an old packet with one octet of length"
    literal = b"\xcb\xff" + (len(TEXT) + 6).to_bytes(4) + b"b\0\0\0\0\0" + TEXT
    begin = bytes([1, 9, 2, chunk_bits - 6])
    start, cipher, size = os.urandom(15), AESOCB3(session_key), 1 << chunk_bits
    body, count = begin + start, 0

    def sealed(plain: bytes, more: bytes = b"") -> bytes:
        nonce = start[:7] + (int.from_bytes(start[7:]) ^ count).to_bytes(8)
        return cipher.encrypt(nonce, plain, b"\xd4" + begin + count.to_bytes(8) + more)

    for at in range(0, len(literal), size):
        body += sealed(literal[at : at + size])
        count += 1
    body += sealed(b"", len(literal).to_bytes(8))
    return other[: 2 + other[1]] + b"\xd4\xff" + len(body).to_bytes(4) + body


@pytest.mark.parametrize("chunk_bits", [12, 16, 22])
def test_the_newer_mode_is_read_and_its_faults_are_told(parties: Parties, chunk_bits: int) -> None:
    whole = in_ocb(parties, chunk_bits)
    assert opened(whole, parties.key) == TEXT
    for position in (300, len(whole) // 2, len(whole) - 20, len(whole) - 3):
        changed = bytearray(whole)
        changed[position] ^= 1
        assert refusal(bytes(changed), parties.key) == "damaged", position
    for cut in (300, len(whole) // 2, len(whole) - 16):
        assert refusal(whole[:cut], parties.key) == "truncated", cut


def test_framing_knows_each_form_of_length() -> None:
    new = (b"\xd2\x05" + bytes(5), b"\xd2\xc0\x08" + bytes(200), b"\xd2\xff\0\0\1\0" + bytes(256), b"\xd2\xe1\0\0\x03abc")
    old = (b"\xa4\x05" + bytes(5), b"\xa5\1\0" + bytes(256), b"\xa6\0\0\1\0" + bytes(256))
    for message in (*new, *old):
        for split in (1, 2, len(message)):
            whole = Framing()
            for at in range(0, len(message), split):
                whole.take(message[at : at + split])
            assert whole.whole, message[:8]
        for cut in range(len(message)):
            part = Framing()
            part.take(message[:cut])
            assert not part.whole, (message[:8], cut)


def test_a_swarm_of_tiny_packets_costs_no_time() -> None:
    for first, swarm in ((b"", b"\xca\0"), (b"\xd2", b"\xe0x")):
        framing, begun = Framing(), time.process_time()
        framing.take(first)
        for _ in range(64):
            framing.take(swarm * (1 << 20))
        assert framing.whole and time.process_time() - begun < 10
    framing = Framing()
    framing.take(b"-----BEGIN PGP MESSAGE-----\n\n")
    for _ in range(64):
        framing.take(b"x" * (1 << 20))
    assert sys.getsizeof(framing._line) < 4 << 20
