"""Keys and certificates as ssh-keygen makes them are read as it reads them; anything else is Malformed, and nothing worse."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.ssh_keys import read_public_keys
from gateway.store.ssh_offers import read_offer
from gateway.store.ssh_wire import Fields, Malformed, string
from tests.support.ssh_keys import KEY_TYPES, SecurityKey, blob_of, certify, make_pair, public_line


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_pair(folder, kind, kind) for kind in KEY_TYPES} | {"ca": make_pair(folder, "ca")}


def told(path: Path) -> str:
    """The fingerprint that ssh-keygen tells."""
    return subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout.split()[1]


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_keys(kind: str, pairs: dict[str, Path]) -> None:
    line = public_line(pairs[kind])
    offer = read_offer(blob_of(line))
    assert (offer.kind, offer.certificate) == (line.split()[0], None)
    assert offer.fingerprint == told(Path(f"{pairs[kind]}.pub")) == read_public_keys(line)[0].fingerprint


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_security_keys(kind: str, tmp_path: Path) -> None:
    key = SecurityKey(kind)
    (tmp_path / "sk.pub").write_text(key.line + "\n")
    assert read_offer(key.blob).fingerprint == told(tmp_path / "sk.pub") == read_public_keys(key.line)[0].fingerprint


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_certificates_of_security_keys(kind: str, tmp_path: Path, pairs: dict[str, Path]) -> None:
    key = SecurityKey(kind)
    (tmp_path / "sk.pub").write_text(key.line + "\n")
    offer = read_offer(blob_of(certify(pairs["ca"], tmp_path / "sk")))
    assert (offer.kind, offer.blob) == (kind, key.blob) and offer.certificate is not None


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_certificates(kind: str, pairs: dict[str, Path]) -> None:
    line = certify(
        pairs["ca"], pairs[kind], ("cito", "nacht"), serial=2**64 - 1, key_id="süd-1", validity="20260101000000Z:20270101000000Z",
        options=["source-address=192.0.2.0/24,2001:db8::/32", "force-command=id"],
    )  # fmt: skip
    offer = read_offer(blob_of(line))
    certificate = offer.certificate
    assert certificate is not None
    assert offer.blob == blob_of(public_line(pairs[kind])), "the key itself, rebuilt"
    assert certificate.ca == told(Path(f"{pairs['ca']}.pub")) and certificate.ca_blob == blob_of(public_line(pairs["ca"]))
    assert (certificate.type, certificate.serial, certificate.key_id) == (1, 2**64 - 1, "süd-1")
    assert certificate.principals == ("cito", "nacht") and certificate.signed_by == "ssh-ed25519"
    assert (certificate.valid_from, certificate.valid_until) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert set(certificate.critical) == {"source-address", "force-command"}
    assert certificate.sources == ["192.0.2.0/24", "2001:db8::/32"]


def test_a_certificate_for_ever(pairs: dict[str, Path]) -> None:
    certificate = read_offer(blob_of(certify(pairs["ca"], pairs["ed25519"], validity="always:forever"))).certificate
    assert certificate is not None and certificate.valid_from.year == 1970 and certificate.valid_until.year == 9999


@pytest.mark.parametrize(("signed", "algorithm"), [("rsa-sha2-512", "rsa-sha2-512"), ("ssh-rsa", "ssh-rsa")])
def test_what_the_ca_signed_with_is_seen(signed: str, algorithm: str, pairs: dict[str, Path]) -> None:
    certificate = read_offer(blob_of(certify(pairs["rsa"], pairs["ed25519"], algorithm=algorithm))).certificate
    assert certificate is not None and certificate.signed_by == signed


def rewritten(blob: bytes, field: int, value: bytes) -> bytes:
    """A public key with another value in one of its fields."""
    fields, parts = Fields(blob), []
    while fields:
        parts.append(fields.string())
    parts[field] = value
    return b"".join(map(string, parts))


def test_what_is_not_listed_is_not_read(pairs: dict[str, Path], tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "weak")], check=True)
    good = blob_of(public_line(pairs["ed25519"]))
    for blob in (
        b"",
        good + b"x",
        good[:-1],
        blob_of(public_line(tmp_path / "weak")),
        blob_of(certify(pairs["ca"], tmp_path / "weak")),
        *(
            rewritten(good, 0, name)
            for name in (b"ssh-dss", b"ssh-ed448", b"x509v3-ssh-rsa", b"ssh-ed25519\0", b"sk-ssh-ed25519-cert-v01@openssh.com")
        ),
        *(rewritten(good, 0, name) for name in (b"ssh-ed25519@openssh.com-cert-v01@openssh.com", b"-cert-v01@openssh.com", b"\xff")),
    ):
        with pytest.raises(Malformed):
            read_offer(blob)


def test_a_certificate_that_is_too_long_is_not_read(pairs: dict[str, Path]) -> None:
    line = certify(pairs["ca"], pairs["ed25519"], [f"{number:0200}" for number in range(100)])
    with pytest.raises(Malformed):
        read_offer(blob_of(line))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for prefix in (b"", string(b"ssh-ed25519"), string(b"ssh-rsa-cert-v01@openssh.com"), string(b"ssh-ed25519-cert-v01@openssh.com")):
        try:
            read_offer(prefix + data)
        except Malformed:
            continue
