"""Which OpenPGP keys are taken as vendors' signing keys, and how much of them is kept."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.signing_keys import MAX_KEY_BYTES, read_signing_key
from policies.errors import Refused, Unsound
from tests.support.openpgp import VendorGpg

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BEFORE = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def vendor() -> Iterator[VendorGpg]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        one = VendorGpg(Path(folder) / "v")
        yield one
        one.end()


def refusal(data: bytes, at: datetime = NOW) -> str:
    with pytest.raises(Refused) as refused:
        read_signing_key(data, at)
    return refused.value.code


@pytest.mark.parametrize("kind", ["ed25519", "rsa3072", "nistp256"])
def test_a_key_that_signs_is_taken_armoured_or_not(vendor: VendorGpg, kind: str) -> None:
    fingerprint = vendor.own_key(f"Signs {kind}", kind, "sign", "never", at=BEFORE)
    for data in (vendor.public(f"Signs {kind}"), vendor.run("--export", fingerprint)):
        key = read_signing_key(data, NOW)
        assert (key.fingerprint, key.valid_until) == (fingerprint, None)
        assert key.armoured.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
        assert vendor.learn(key.armoured) == fingerprint


def test_a_subkey_may_be_what_signs_and_the_last_end_counts(vendor: VendorGpg) -> None:
    fingerprint = vendor.own_key("Subkey", "ed25519", "cert", "2027-01-01", at=BEFORE)
    assert refusal(vendor.public("Subkey")) == "no-signing-key"
    vendor.own_subkey(fingerprint, "cv25519", "encr", "never", at=BEFORE)
    assert refusal(vendor.public("Subkey")) == "no-signing-key"
    vendor.own_subkey(fingerprint, "ed25519", "sign", "2026-06-01", at=BEFORE)
    first = read_signing_key(vendor.public("Subkey"), NOW).valid_until
    assert first is not None and first.date().isoformat() == "2026-06-01"
    vendor.own_subkey(fingerprint, "ed25519", "sign", "never", at=BEFORE)
    last = read_signing_key(vendor.public("Subkey"), NOW).valid_until
    assert last is not None and last.date().isoformat() == "2027-01-01", "the primary key's own end"
    assert refusal(vendor.public("Subkey"), last + timedelta(days=1)) == "expired-openpgp-key"


def test_an_end_is_that_of_the_moment_asked_for(vendor: VendorGpg) -> None:
    vendor.own_key("Ended", "ed25519", "sign", "2026-03-01", at=BEFORE)
    assert refusal(vendor.public("Ended")) == "expired-openpgp-key"
    assert read_signing_key(vendor.public("Ended"), NOW - timedelta(days=9)).valid_until is not None


def test_a_subkey_that_ended_signs_no_more(vendor: VendorGpg) -> None:
    fingerprint = vendor.own_key("Spent", "ed25519", "cert", "never", at=BEFORE)
    vendor.own_subkey(fingerprint, "ed25519", "sign", "2026-03-01", at=BEFORE)
    assert refusal(vendor.public("Spent")) == "no-signing-key"


def test_what_was_revoked_is_not_taken(vendor: VendorGpg) -> None:
    fingerprint = vendor.own_key("Revoked", "ed25519", "sign", "never")
    now = datetime.now(UTC) + timedelta(minutes=1)
    read_signing_key(vendor.public("Revoked"), now)
    vendor.revoke(fingerprint)
    assert refusal(vendor.public("Revoked"), now) == "revoked-openpgp-key"


def test_what_gpg_does_not_take_as_valid_is_not_taken(vendor: VendorGpg) -> None:
    vendor.own_key("Later", "ed25519", "sign", "never", at=NOW + timedelta(days=2))
    assert refusal(vendor.public("Later")) == "unusable-openpgp-key"
    vendor.run("--passphrase=", "--cert-digest-algo=SHA1", "--quick-generate-key", "By SHA-1", "rsa3072", "sign", "never")
    assert refusal(vendor.public("By SHA-1"), datetime.now(UTC) + timedelta(minutes=1)) == "unusable-openpgp-key"


def test_what_is_weak_is_not_taken(vendor: VendorGpg) -> None:
    for kind in ("rsa2048", "dsa2048"):
        vendor.own_key(f"Weak {kind}", kind, "sign", "never", at=BEFORE)
        assert refusal(vendor.public(f"Weak {kind}")) == "weak-openpgp-key"
    fingerprint = vendor.own_key("Weak below", "ed25519", "sign", "never", at=BEFORE)
    vendor.own_subkey(fingerprint, "rsa1024", "sign", "never", at=BEFORE)
    assert refusal(vendor.public("Weak below")) == "weak-openpgp-key"


def test_a_private_key_is_refused_in_whatever_form(vendor: VendorGpg) -> None:
    fingerprint = vendor.own_key("Secret", "ed25519", "sign", "never", at=BEFORE)
    for way in ("--export-secret-keys", "--export-secret-subkeys"):
        for form in ((), ("--armor",)):
            private = vendor.run("--passphrase=", *form, way, fingerprint)
            assert refusal(private) == "private-openpgp-key", (way, form)
    assert refusal(vendor.public("Secret") + private) == "private-openpgp-key"
    assert refusal(b"-----BEGIN PGP PRIVATE KEY BLOCK-----" + bytes(MAX_KEY_BYTES)) == "private-openpgp-key"


def test_one_file_holds_one_key(vendor: VendorGpg) -> None:
    first, second = (vendor.own_key(name, "ed25519", "sign", "never", at=BEFORE) for name in ("One", "Two"))
    assert refusal(vendor.run("--export", first, second)) == "one-openpgp-key"


def test_what_is_no_key_is_told(vendor: VendorGpg) -> None:
    fingerprint = vendor.own_key("Whole", "ed25519", "sign", "never", at=BEFORE)
    whole = vendor.run("--export", fingerprint)
    signature = vendor.run("--passphrase=", f"--local-user={fingerprint}", "--detach-sign", given=b"x")
    for data in (b"", b"hello", os.urandom(500), b"ssh-ed25519 AAAA", whole[:20], signature, whole + bytes(MAX_KEY_BYTES)):
        assert refusal(data) == "bad-openpgp-key", data[:20]
    assert refusal(whole[:100]) in ("bad-openpgp-key", "unusable-openpgp-key")


def test_no_more_is_kept_than_verifying_needs(vendor: VendorGpg) -> None:
    """Others' signatures on a key say who knows whom."""
    fingerprint = vendor.own_key("Known", "ed25519", "sign", "never", at=BEFORE)
    vendor.own_key("Friend", "ed25519", "cert", "never", at=BEFORE)
    vendor.run("--passphrase=", "--local-user==Friend", "--quick-sign-key", fingerprint)
    packets = vendor.run("--list-packets", given=read_signing_key(vendor.public("Known"), datetime.now(UTC)).armoured.encode())
    assert packets.count(b":signature packet") == 1 < vendor.run("--list-packets", given=vendor.public("Known")).count(b":signature packet")


def test_without_gpg_nothing_is_guessed(vendor: VendorGpg, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.own_key("Any", "ed25519", "sign", "never", at=BEFORE)
    public = vendor.public("Any")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unsound, match="gpg is not installed"):
        read_signing_key(public, NOW)
