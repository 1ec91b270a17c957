"""Long-lived keys of the home's own: the audit log's signing key, the SSH host key, and TLS for a machine without a certificate."""

import contextlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keys.secret import Secret
from policies.errors import WrongUsage

#: A certificate starts this much earlier, for clients whose clock is behind.
CLOCK_SKEW = timedelta(minutes=5)
COMMON_NAME_CHARACTERS = 64  # RFC 5280, upper bound of a common name


def new_signing_key() -> Secret:
    """A fresh Ed25519 private key (RFC 8032): its 32-byte seed."""
    return Secret(Ed25519PrivateKey.generate().private_bytes_raw())


def public_key(seed: Secret) -> bytes:
    """The 32-byte public half; ValueError when the seed has not 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed.reveal()).public_key().public_bytes_raw()


def sign(seed: Secret, message: bytes) -> bytes:
    """The 64-byte Ed25519 signature of `message`."""
    return Ed25519PrivateKey.from_private_bytes(seed.reveal()).sign(message)


def new_ssh_host_key() -> Secret:
    """A fresh Ed25519 host key as the text of an OpenSSH private key file."""
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
    return Secret(Ed25519PrivateKey.generate().private_bytes(encoding, layout, serialization.NoEncryption()))


def new_tls(hostnames: Sequence[str], not_after: datetime) -> tuple[Secret, bytes]:
    """A fresh P-256 key and a self-signed server certificate for host names and IP addresses, both as PEM.

    `not_after` is aware and in the future. For one machine that tries things out; a public portal has a certificate that
    browsers know. WrongUsage (`tls-hostnames`, `tls-not-after`).
    """
    if not hostnames:
        raise WrongUsage("tls-hostnames", "A certificate needs at least one host name.")
    now = datetime.now(UTC)
    if not_after.tzinfo is None or not_after <= now:
        raise WrongUsage("tls-not-after", "A certificate ends in the future, at a time with a zone.")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostnames[0][:COMMON_NAME_CHARACTERS])])
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([_general_name(hostname) for hostname in hostnames]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, layout, serialization.NoEncryption())
    return Secret(private), certificate.public_bytes(encoding)


def _general_name(hostname: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(hostname))
    try:
        return x509.DNSName(hostname)
    except ValueError:  # not ASCII: an international name is written as xn--…
        raise WrongUsage("tls-hostnames", "A host name in a certificate is ASCII.", "Write an international name as xn--….") from None


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
