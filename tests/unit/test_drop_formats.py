"""What counts as encrypted by the vendor, and that no digest is kept of anything else."""

import gzip
import hashlib
from pathlib import Path

import pytest

from gateway.drop.formats import AGE, HEAD, is_encrypted
from keys.sealing import new_identity
from tests.support.deliveries import age
from tests.support.desk_plays import deliver
from tests.support.desks import played
from tests.support.intake import audit_rows, drops

ROWS = b"brin_vestiging;bsn;onderwijsnummer;ingediend_op;ingetrokken_op\n41AA00;618273641;;2026-01-16;\n"


@pytest.mark.parametrize(
    "head",
    [
        age(ROWS, new_identity()[1]), AGE, b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", b"-----BEGIN PGP MESSAGE-----\nComment: x\n\nhQEM",
        b"\x85\x01\x0c\x03", b"\xc1\xc0\x4c\x03",
        b"\x84\x5e\x03", b"\x8c\x0d\x04", b"\xc3\x0d\x04", b"\xc3\xff\0\0\0\x1e\x06", b"\x86\0\0\1\x0c\x03",
        b"-----BEGIN PGP MESSAGE-----\r\n\r\njA0ECQMI\r\n",
    ],
)  # fmt: skip
def test_what_encryption_makes_is_known(head: bytes) -> None:
    assert is_encrypted(head[:HEAD])


@pytest.mark.parametrize(
    "head",
    [
        b"", ROWS, gzip.compress(ROWS), b"PK\x03\x04", b"\xef\xbb\xbf" + ROWS, ROWS.decode().encode("utf-16"), b"<?xml",
        AGE[:10], b" " + AGE,
        b"-----BEGIN PGP SIGNED MESSAGE-----\n\n" + ROWS, b"-----BEGIN PGP PUBLIC KEY BLOCK-----",
        # of a file without its header the first octets may be those of a packet
        *(f"{name};618273641;{'x' * 200}\n".encode(code) for name in ("Élise", "Ömer", "„Jan”") for code in ("utf-8", "windows-1252")),
        "Áron;618273641\n".encode("windows-1252"), "Ãñ;618273641\n".encode("windows-1252"), b"\xc1\xe9\x03",
        b"-----BEGIN PGP MESSAGE-----\n\nw4lsaXNlOzYxODI3\n",
        b"-----BEGIN PGP MESSAGE-----\n\nowEB", b"-----BEGIN PGP MESSAGE-----\n\n?", b"-----BEGIN PGP MESSAGE-----",  # compressed, and none
    ],
)  # fmt: skip
def test_what_anybody_can_read_is_not(head: bytes) -> None:
    assert not is_encrypted(head[:HEAD])


@pytest.mark.parametrize("size", [1, 6000], ids=["small", "large"])
def test_no_digest_is_kept_of_what_the_vendor_did_not_encrypt(tmp_path: Path, size: int) -> None:
    """Who guesses the rows could check the guess against it, for as long as ledger and log are kept: a BSN has nine digits."""

    async def nothing(_stage: object) -> None:
        return None

    home = played(tmp_path, nothing)
    readable, sealed = ROWS * size, age(ROWS * size, home.recipients.public())
    deliver(home, "vergeten.csv", readable)
    deliver(home, "goed.csv.age", sealed)
    found = {drop.file_name: drop.sha256 for drop in drops(home)}
    assert found == {"vergeten.csv": "", "goed.csv.age": hashlib.sha256(sealed).hexdigest()}
    assert sorted(row.detail["sha256"] for row in audit_rows(home, "drop.received")) == sorted(found.values())
    everything = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    digest = hashlib.sha256(readable)
    assert digest.digest() not in everything and digest.hexdigest().encode() not in everything
