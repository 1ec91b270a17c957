"""Deliveries of a vendor that has a signing key: what is not signed by it, as gpg and others make it, is refused by name."""

import gzip
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from gateway.checks.findings import DropRefused
from gateway.checks.openpgp import Statuses, rule_of
from gateway.checks.pgp_signature import Signers, signature_rule
from gateway.checks.stream import open_delivery
from keys.openpgp import new_openpgp_key
from keys.secret import Secret
from keys.signing_keys import read_signing_key
from tests.support.deliveries import DROP_KEY, IDENTITY, age, blob
from tests.support.openpgp import VendorGpg

TEXT = b"".join(b"%d;%d\n" % (number, number * 7919) for number in range(60_000))
#: when it was received; keys were made long before, and some end soon after
#: when the deliveries came: later than the keys are made, also when this file is read long before its tests begin
AT = datetime.now(UTC) + timedelta(hours=2)
BEFORE, SOON = AT - timedelta(days=400), AT + timedelta(days=8)


@dataclass
class Parties:
    """A key of the gateway's, a vendor with keys of many kinds, and what is registered for it."""

    key: Secret
    vendor: VendorGpg
    to: str
    registered: Mapping[str, str]

    def signed(self, *names: str, options: tuple[str, ...] = (), at: datetime | None = None, plain: bytes = TEXT) -> bytes:
        return self.vendor.signed(plain, self.to, *names, options=options, at=at)


@pytest.fixture(scope="module")
def parties() -> Iterator[Parties]:
    key, public = new_openpgp_key("Sluis")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        vendor = VendorGpg(Path(folder) / "v")
        vendor.own_key("Right", "ed25519", "sign", "never", at=BEFORE)
        vendor.own_key("Right too", "rsa3072", "sign", "never", at=BEFORE)
        vendor.own_key("Ends", "ed25519", "sign", f"{SOON:%Y-%m-%d}", at=BEFORE)
        below = vendor.own_key("Below", "ed25519", "cert", "never", at=BEFORE)
        vendor.own_subkey(below, "ed25519", "sign", f"{SOON:%Y-%m-%d}", at=BEFORE)
        taken = [read_signing_key(vendor.public(name), AT) for name in ("Right", "Right too", "Ends", "Below")]
        vendor.own_key("Other", "ed25519", "sign", "never", at=BEFORE)
        yield Parties(key, vendor, vendor.learn(public), {one.fingerprint: one.armoured for one in taken})
        vendor.end()


def opened(parties: Parties, delivered: bytes, at: datetime = AT, registered: Mapping[str, str] | None = None) -> bytes:
    signers = Signers(parties.registered if registered is None else registered, at)
    with open_delivery(blob(delivered), DROP_KEY, [IDENTITY], openpgp=[parties.key], signers=signers) as stream:
        return stream.read()


def refusal(parties: Parties, delivered: bytes, at: datetime = AT, registered: Mapping[str, str] | None = None) -> str:
    with pytest.raises(DropRefused) as refused:
        opened(parties, delivered, at, registered)
    (found,) = refused.value.findings
    return found.rule


@pytest.mark.parametrize(
    "options",
    [(), ("--compress-algo=none",), ("--compress-algo=bzip2",), ("--armor", "--throw-keyids"), ("--textmode",), ("--digest-algo=SHA512",),
     ("--set-filename=a.csv",)],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("name", ["Right", "Right too", "Below"])
def test_what_a_registered_key_signed_is_read(parties: Parties, name: str, options: tuple[str, ...]) -> None:
    assert opened(parties, parties.signed(name, options=options)) == TEXT


def test_gzip_within_a_signed_message_is_read(parties: Parties) -> None:
    assert opened(parties, parties.signed("Right", plain=gzip.compress(TEXT))) == TEXT


def test_what_is_not_signed_is_refused(parties: Parties) -> None:
    assert refusal(parties, parties.vendor.encrypt(TEXT, parties.to)) == "unsigned"
    assert refusal(parties, parties.vendor.encrypt(TEXT, parties.to, "--armor", "--compress-algo=none")) == "unsigned"


def test_age_can_not_sign(parties: Parties) -> None:
    assert refusal(parties, age(TEXT)) == "unsigned"
    assert refusal(parties, pyrage.encrypt(TEXT, [pyrage.x25519.Identity.generate().to_public()])) == "unsigned"
    assert refusal(parties, TEXT) == "not-age"
    assert refusal(parties, b"") == "empty-file"


def test_another_ones_signature_is_refused(parties: Parties) -> None:
    assert refusal(parties, parties.signed("Other")) == "wrong-signature"
    (first, *_), other = parties.registered, read_signing_key(parties.vendor.public("Other"), AT)
    assert refusal(parties, parties.signed("Right"), registered={other.fingerprint: other.armoured}) == "wrong-signature"
    mislabelled = {other.fingerprint: parties.registered[first]}
    assert refusal(parties, parties.signed("Right"), registered=mislabelled) == "wrong-signature", "the fingerprint is what was registered"


def test_one_signature_is_taken_and_no_more(parties: Parties) -> None:
    assert refusal(parties, parties.signed("Right", "Other")) == "wrong-signature"
    assert refusal(parties, parties.signed("Other", "Right")) == "wrong-signature"
    assert refusal(parties, parties.signed("Right", "Right too")) == "wrong-signature"


@pytest.mark.parametrize("name", ["Ends", "Below"])
def test_a_key_is_judged_as_it_was_when_the_delivery_came(parties: Parties, name: str) -> None:
    """Linking reads it again, and the key may have ended since."""
    whole = parties.signed(name)
    assert opened(parties, whole) == TEXT
    assert refusal(parties, whole, at=SOON + timedelta(days=1)) == "wrong-signature"


def test_a_subkey_that_was_not_there_at_registration_is_not_known(parties: Parties) -> None:
    fingerprint = parties.vendor.fingerprint("Below")
    parties.vendor.own_subkey(fingerprint, "rsa3072", "sign", "never", at=AT - timedelta(days=1))
    whole = parties.signed("Below")  # gpg takes the newest
    assert refusal(parties, whole) == "wrong-signature"
    again = read_signing_key(parties.vendor.public("Below"), AT)
    assert opened(parties, whole, registered={again.fingerprint: again.armoured}) == TEXT


def test_a_revoked_key_is_refused(parties: Parties) -> None:
    fingerprint = parties.vendor.own_key("Withdrawn", "ed25519", "sign", "never")
    at = datetime.now(UTC) + timedelta(minutes=1)
    public = read_signing_key(parties.vendor.public("Withdrawn"), at)
    whole = parties.signed("Withdrawn")
    assert opened(parties, whole, at, {fingerprint: public.armoured}) == TEXT
    parties.vendor.revoke(fingerprint)
    revoked = parties.vendor.public("Withdrawn").decode()
    assert refusal(parties, whole, at, {fingerprint: revoked}) == "wrong-signature"


def test_weak_digests_are_refused(parties: Parties) -> None:
    for digest in ("SHA1", "RIPEMD160"):
        assert refusal(parties, parties.signed("Right", options=(f"--digest-algo={digest}",))) == "wrong-signature", digest


def test_a_signature_of_the_future_or_past_its_own_end_is_refused(parties: Parties) -> None:
    assert opened(parties, parties.signed("Right", at=AT + timedelta(hours=23))) == TEXT, "clocks differ"
    assert refusal(parties, parties.signed("Right", at=AT + timedelta(hours=25))) == "wrong-signature"
    short = parties.signed("Right", at=AT - timedelta(days=3), options=("--default-sig-expire=1d",))
    assert refusal(parties, short) == "wrong-signature"


def test_what_was_changed_or_cut_is_told_as_ever(parties: Parties) -> None:
    whole = parties.signed("Right", options=("--compress-algo=none",))
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    assert refusal(parties, bytes(changed)) == "wrong-signature", "gpg does not get as far as the proof of integrity"
    assert refusal(parties, whole[: len(whole) // 2]) == "truncated"
    assert refusal(parties, whole + whole) == "damaged"


def test_a_signature_for_another_text_is_refused(parties: Parties) -> None:
    """The packets of a signed message, with another content between them, encrypted anew: by whoever can encrypt to us."""
    signed = parties.vendor.run("--local-user==Right", "--passphrase=", "--compress-algo=none", "--sign", given=b"score;7")
    assert signed.count(b"score;7") == 1
    forged = parties.vendor.encrypt(signed.replace(b"score;7", b"score;9"), parties.to, "--compress-algo=none", "--no-literal")
    assert refusal(parties, forged) == "wrong-signature"
    same = parties.vendor.encrypt(signed, parties.to, "--compress-algo=none", "--no-literal")
    assert opened(parties, same) == b"score;7"


def test_a_signature_outside_or_beside_does_not_count(parties: Parties) -> None:
    encrypted = parties.vendor.encrypt(TEXT, parties.to)
    sign = ("--local-user==Right", "--passphrase=")
    outside = parties.vendor.run(*sign, "--sign", given=encrypted)
    assert refusal(parties, outside) == "not-age"
    detached = parties.vendor.run(*sign, "--detach-sign", given=encrypted)
    assert refusal(parties, detached) == "not-age"
    assert refusal(parties, encrypted + detached) in ("unsigned", "damaged", "truncated")
    assert refusal(parties, parties.vendor.run(*sign, "--armor", "--detach-sign", given=encrypted)) in ("not-age", "damaged")
    inside = parties.vendor.run(*sign, "--detach-sign", given=TEXT)
    assert refusal(parties, parties.vendor.encrypt(inside, parties.to, "--no-literal")) in ("damaged", "unsigned", "wrong-signature")


RIGHT = (
    "ENC_TO 1 18 0", "DECRYPTION_KEY a b u", "BEGIN_DECRYPTION", "PLAINTEXT 62 1 x", "NEWSIG", "GOODSIG 1D93 Right",
    "VALIDSIG SUB 2026-03-02 1772442000 0 4 0 22 10 00 PRIMARY", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION",
)  # fmt: skip
SIGNERS = Signers({"PRIMARY": ""}, datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


def said(*lines: str) -> Statuses:
    statuses = Statuses()
    statuses.take("".join(f"[GNUPG:] {line}\n" for line in lines).encode())
    return statuses


def test_every_word_that_gpg_has_to_say_of_a_signature_is_needed() -> None:
    assert rule_of(said(*RIGHT), 0, False, signers=SIGNERS) is None
    assert rule_of(said(*RIGHT), 2, False, signers=SIGNERS) == "damaged"
    for at in (4, 5, 6):
        assert rule_of(said(*RIGHT[:at], *RIGHT[at + 1 :]), 0, False, signers=SIGNERS) == "wrong-signature", RIGHT[at]
    for worse in ("BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY", "GOODSIG", "VALIDSIG", "NEWSIG"):
        for at in (1, 5, 7, 10):
            assert rule_of(said(*RIGHT[:at], f"{worse} 1D93 x", *RIGHT[at:]), 0, False, signers=SIGNERS) == "wrong-signature", worse
        assert rule_of(said(*RIGHT[:5], f"{worse} 1D93", *RIGHT[6:]), 0, False, signers=SIGNERS) in ("wrong-signature", None)
    moved = [line for line in RIGHT if line not in RIGHT[4:7]]
    assert rule_of(said(*RIGHT[4:7], *moved), 0, False, signers=SIGNERS) == "wrong-signature", "before the content it is of something else"
    assert rule_of(said(*moved), 0, False, signers=SIGNERS) == "unsigned"
    assert rule_of(said(*moved), 2, False, signers=SIGNERS) == "damaged"


def test_each_field_of_a_signature_is_looked_at() -> None:
    def rule(valid: str) -> str | None:
        return signature_rule([line.split() for line in (*RIGHT[:6], valid, *RIGHT[7:])], SIGNERS)

    assert rule(RIGHT[6]) is None
    for wrong in ("PRIMARY 2026-03-02 1772442000 0 4 0 22 10 00 OTHER", "SUB 2026-03-02 1772442000 0 4 0 22 2 00 PRIMARY",
                  "SUB 2026-03-02 1772442000 0 4 0 22 1 00 PRIMARY", "SUB 2026-03-02 1772442000 0 4 0 22 10 10 PRIMARY",
                  "SUB 2026-03-02 1772542000 0 4 0 22 10 00 PRIMARY", "SUB 2026-03-02 20260302T090000 0 4 0 22 10 00 PRIMARY",
                  "PRIMARY 2026-03-02 1772442000 0 4 0 22 10 00", ""):  # fmt: skip
        assert rule(f"VALIDSIG {wrong}") == "wrong-signature", wrong
