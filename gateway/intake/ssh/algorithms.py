"""What the endpoint speaks: asyncssh's defaults fail an audit, so each list is written out, best first.

Post-quantum key exchange, then curve25519; AES-GCM before AES-CTR with encrypt-then-MAC; no chacha20 unless it is asked for (slower here,
and what the Terrapin attack, CVE-2023-48795, aims at; strict key exchange, which ends that attack, is always offered); no SHA-1, no
NIST-curve or finite-field key exchange, no compression.
"""

from collections.abc import Sequence
from typing import Any

import asyncssh
from asyncssh import SSHKey, SSHServerConnectionOptions

from gateway.store.config import Intake

#: the first one needs ML-KEM in the OpenSSL that `cryptography` brings; without it the second is the best there is
KEX = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
ENCRYPTION = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes128-ctr")
CHACHA20 = "chacha20-poly1305@openssh.com"
#: the last two are for libssh2 before 1.11 (curl of Debian 12 and Ubuntu 24.04), which knows neither AES-GCM nor encrypt-then-MAC: an
#: audit warns of encrypt-and-MAC, every other client takes something better (the client's order decides, RFC 4253 §7.1)
MAC = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512", "hmac-sha2-256")
#: of vendors' keys; RSA by SHA-2 only (gateway/intake/ssh/certificates.py holds each signature to it)
SIGNATURE = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip

#: the receive window of a session; 16 MiB and more collapses throughput (measured) [bytes]
WINDOW = 4 << 20
#: the largest message of a channel that is taken: 64 KiB are a quarter faster than 32 (measured), larger ones no more [bytes]
PACKET = 64 << 10
#: a new key after so much [bytes], well below what AES-GCM takes under one, and after so long [s]
REKEY_BYTES, REKEY_SECONDS = 4 << 30, 3600
#: a peer that has not answered so many of these questions, this far apart [s], is gone
KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 60, 3


def has_kex(name: str) -> bool:
    """Whether asyncssh can do that key exchange with the libraries of this machine."""
    try:
        asyncssh.SSHServerConnectionOptions(kex_algs=[name])
    except ValueError:
        return False
    return True


def hardened(chacha20: bool = False) -> dict[str, Any]:
    """The algorithm options of an asyncssh server."""
    return {
        "kex_algs": [name for name in KEX if has_kex(name)],
        "encryption_algs": [*ENCRYPTION, *([CHACHA20] if chacha20 else [])],
        "mac_algs": list(MAC),
        "signature_algs": list(SIGNATURE),
        "compression_algs": ["none"],
    }


def server_options(config: Intake, host_keys: Sequence[SSHKey]) -> SSHServerConnectionOptions:
    """The options of every connection; made anew when the configuration or the host keys change. `host_keys`: the one that is shown first.

    Every way in but public keys is off here, and refused once more by VendorConnection.
    """
    return asyncssh.SSHServerConnectionOptions(
        **hardened(config.allow_chacha20),
        server_host_keys=list(host_keys),
        send_server_host_keys=True,
        server_version="Sluis",
        encoding=None,
        window=WINDOW,
        max_pktsize=PACKET,
        login_timeout=config.login_timeout_seconds,
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVE_COUNT,
        rekey_bytes=REKEY_BYTES,
        rekey_seconds=REKEY_SECONDS,
        public_key_auth=True,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        x509_trusted_certs=None,
        allow_pty=False,
        line_editor=False,
        agent_forwarding=False,
        x11_forwarding=False,
        allow_scp=False,
        rdns_lookup=False,
    )
