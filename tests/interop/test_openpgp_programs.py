"""OpenPGP deliveries that other programs than gpg make: Sequoia (sqop), GopenPGP (gosop) and RNP, the library in Thunderbird.

RNP writes the packet that gpg 2.4 writes to a key that asks for it (OCB Encrypted Data, tag 20 of LibrePGP), and its older kin (EAX).
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.checks.findings import DropRefused
from gateway.checks.pgp_signature import Signers
from gateway.checks.stream import open_delivery
from keys.openpgp import new_openpgp_key
from keys.secret import Secret
from keys.signing_keys import read_signing_key
from tests.support.deliveries import DROP_KEY, IDENTITY, blob

#: some of it does not compress: lengths come in parts
TEXT = b"".join(b"%d;%d\n" % (number, number * 7919) for number in range(60_000)) + os.urandom(1 << 20)


@dataclass
class Programs:
    """Their files in one folder: the gateway's key, a signing key that Sequoia made, one of RNP's, and a stranger's."""

    key: Secret
    folder: Path
    signers: Mapping[str, Signers]  # by who made the key

    def sop(self, program: str, *arguments: str, given: bytes = TEXT) -> bytes:
        """The Stateless OpenPGP Command Line Interface, as Sequoia and GopenPGP have it."""
        return subprocess.run([program, *arguments], input=given, capture_output=True, check=True, cwd=self.folder).stdout

    def rnp(self, *arguments: str, given: bytes = TEXT) -> bytes:
        command = ["rnp", "--homedir", str(self.folder), "--password=x", "--notty", *arguments, "--output=-", "-"]
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    key, public = new_openpgp_key("Sluis")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        made = Programs(key, folder, {})
        (folder / "sluis.asc").write_text(public)
        for who in ("vendor", "stranger"):
            (folder / f"{who}.key").write_bytes(made.sop("sqop", "generate-key", who, given=b""))
            (folder / f"{who}.crt").write_bytes(made.sop("sqop", "extract-cert", given=(folder / f"{who}.key").read_bytes()))
        rnpkeys = ["rnpkeys", "--homedir", name, "--password=x"]
        for arguments in (["--generate-key", "--userid=rnp", "--numbits=3072"], ["--import", f"{name}/sluis.asc"]):
            subprocess.run([*rnpkeys, *arguments], capture_output=True, check=True)
        exported = subprocess.run([*rnpkeys, "--export-key", "rnp"], capture_output=True, check=True).stdout
        at = datetime.now(UTC) + timedelta(minutes=1)
        taken = {"sequoia": read_signing_key((folder / "vendor.crt").read_bytes(), at), "rnp": read_signing_key(exported, at)}
        made.signers = {maker: Signers({one.fingerprint: one.armoured}, at) for maker, one in taken.items()}
        yield made


def opened(programs: Programs, delivered: bytes, signers: Signers | None = None) -> bytes:
    with open_delivery(blob(delivered), DROP_KEY, [IDENTITY], openpgp=[programs.key], signers=signers) as stream:
        return stream.read()


def refusal(programs: Programs, delivered: bytes, signers: Signers | None = None) -> str:
    with pytest.raises(DropRefused) as refused:
        opened(programs, delivered, signers)
    (found,) = refused.value.findings
    return found.rule


@pytest.mark.parametrize("program", ["sqop", "gosop"])
@pytest.mark.parametrize("form", [(), ("--no-armor",), ("--no-armor", "stranger.crt")], ids=" ".join)
def test_sequoia_and_gopenpgp(programs: Programs, program: str, form: tuple[str, ...]) -> None:
    sequoia, rnp = programs.signers["sequoia"], programs.signers["rnp"]
    options, others = [word for word in form if word.startswith("--")], [word for word in form if not word.startswith("--")]
    plain = programs.sop(program, "encrypt", *options, "sluis.asc", *others)
    assert opened(programs, plain) == TEXT
    assert refusal(programs, plain, sequoia) == "unsigned"
    signed = programs.sop(program, "encrypt", *options, "--sign-with=vendor.key", "sluis.asc", *others)
    assert opened(programs, signed) == opened(programs, signed, sequoia) == TEXT
    assert refusal(programs, signed, rnp) == "wrong-signature"
    foreign = programs.sop(program, "encrypt", *options, "--sign-with=stranger.key", "sluis.asc", *others)
    assert refusal(programs, foreign, sequoia) == "wrong-signature"
    assert refusal(programs, signed[: len(signed) // 2], sequoia) == "truncated"


@pytest.mark.parametrize("program", ["sqop", "gosop"])
def test_what_is_not_for_us(programs: Programs, program: str) -> None:
    (programs.folder / "words").write_text("not a key")
    assert refusal(programs, programs.sop(program, "encrypt", "--with-password=words")) == "wrong-recipient"
    assert refusal(programs, programs.sop(program, "encrypt", "stranger.crt")) == "wrong-recipient"
    assert refusal(programs, programs.sop(program, "sign", "--as=binary", "vendor.key")) in ("not-age", "damaged")


@pytest.mark.parametrize(
    "form",
    [(), ("--aead=OCB",), ("--aead=EAX",), ("--aead=OCB", "--zlib"), ("--zip",), ("--bzip",), ("--aead=OCB", "--armor"),
     ("--cipher=CAMELLIA256",), ("--hash=SHA512", "--aead=OCB")],
    ids=" ".join,
)  # fmt: skip
def test_rnp(programs: Programs, form: tuple[str, ...]) -> None:
    sequoia, rnp = programs.signers["sequoia"], programs.signers["rnp"]
    plain = programs.rnp("--encrypt", "--recipient=Sluis", *form)
    assert opened(programs, plain) == TEXT
    assert refusal(programs, plain, rnp) == "unsigned"
    signed = programs.rnp("--encrypt", "--sign", "--userid=rnp", "--recipient=Sluis", *form)
    assert opened(programs, signed) == opened(programs, signed, rnp) == TEXT
    assert refusal(programs, signed, sequoia) == "wrong-signature"


@pytest.mark.parametrize("mode", ["OCB", "EAX"])
def test_what_was_cut_or_changed_in_the_newer_modes(programs: Programs, mode: str) -> None:
    for signers, sign in ((None, ()), (programs.signers["rnp"], ("--sign", "--userid=rnp"))):
        whole = programs.rnp("--encrypt", "--recipient=Sluis", f"--aead={mode}", *sign)
        for position in (len(whole) // 2, len(whole) - 20, len(whole) - 3):
            changed = bytearray(whole)
            changed[position] ^= 1
            assert refusal(programs, bytes(changed), signers) in ("damaged", "wrong-signature"), position
        for cut in (len(whole) // 2, len(whole) - 16):
            assert refusal(programs, whole[:cut], signers) == "truncated", cut


def test_what_rnp_makes_of_a_weak_digest_or_a_password(programs: Programs) -> None:
    weak = programs.rnp("--encrypt", "--sign", "--userid=rnp", "--recipient=Sluis", "--hash=SHA1")
    assert opened(programs, weak) == TEXT
    assert refusal(programs, weak, programs.signers["rnp"]) == "wrong-signature"
    assert refusal(programs, programs.rnp("--symmetric")) == "wrong-recipient"
