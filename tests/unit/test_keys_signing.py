"""Keys of the home's own: signatures, the SSH host key, the self-signed certificate."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.secret import Secret
from keys.signing import new_signing_key, new_ssh_host_key, new_tls, public_key, sign
from policies.errors import WrongUsage

LATER = datetime.now(UTC) + timedelta(days=30)


def test_the_key_pair_is_that_of_rfc_8032() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")  # section 7.1, test 2
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert public_key(Secret(seed)).hex() == public
    assert sign(Secret(seed), b"\x72").hex() == signature


def test_a_new_key_signs() -> None:
    seed = new_signing_key()
    assert len(seed.reveal()) == 32
    assert seed != new_signing_key()
    public = Ed25519PublicKey.from_public_bytes(public_key(seed))
    public.verify(sign(seed, b"message"), b"message")
    with pytest.raises(InvalidSignature):
        public.verify(sign(seed, b"message"), b"another")


def test_a_seed_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        public_key(Secret(b"short"))


def test_the_host_key_is_one_for_ssh() -> None:
    key = asyncssh.import_private_key(new_ssh_host_key().reveal())
    assert key.get_algorithm() == "ssh-ed25519"
    assert new_ssh_host_key() != new_ssh_host_key()


def handshake(tmp_path: Path, key: Secret, certificate: bytes, hostname: str) -> str | None:
    """A whole TLS handshake in memory; the client trusts this certificate only. The version that was agreed on."""
    (tmp_path / "tls.pem").write_bytes(certificate + key.reveal())
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tmp_path / "tls.pem")
    client_context = ssl.create_default_context(cadata=certificate.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=hostname)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version()


@pytest.mark.parametrize("hostname", ["localhost", "sluis.example.nl", "127.0.0.1", "::1"])
def test_clients_that_trust_it_accept_the_certificate(tmp_path: Path, hostname: str) -> None:
    key, certificate = new_tls(["localhost", "sluis.example.nl", "127.0.0.1", "::1"], LATER)
    assert handshake(tmp_path, key, certificate, hostname) == "TLSv1.3"


def test_for_another_name_they_do_not(tmp_path: Path) -> None:
    key, certificate = new_tls(["localhost"], LATER)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, key, certificate, "elsewhere.nl")


def host_names(certificate: x509.Certificate) -> list[str]:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_what_the_certificate_says() -> None:
    certificate = x509.load_pem_x509_certificate(new_tls(["sluis.example.nl"], LATER)[1])
    assert certificate.not_valid_after_utc == LATER.replace(microsecond=0)
    assert certificate.not_valid_before_utc < datetime.now(UTC)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [
        "sluis.example.nl"
    ]


def test_a_name_longer_than_a_common_name_will_do() -> None:
    name = "a" * 60 + ".example.nl"
    certificate = x509.load_pem_x509_certificate(new_tls([name], LATER)[1])
    assert host_names(certificate) == [name]


@pytest.mark.parametrize("hostnames", [[], ["sluïs.nl"]])
def test_names_that_are_none_are_refused(hostnames: list[str]) -> None:
    with pytest.raises(WrongUsage) as refusal:
        new_tls(hostnames, LATER)
    assert refusal.value.code == "tls-hostnames"


@pytest.mark.parametrize("moment", [datetime.now(UTC) - timedelta(seconds=1), datetime(2999, 1, 1)])
def test_an_end_in_the_past_or_without_a_zone_is_refused(moment: datetime) -> None:
    with pytest.raises(WrongUsage) as refusal:
        new_tls(["localhost"], moment)
    assert refusal.value.code == "tls-not-after"
