"""What the endpoint speaks: asyncssh's defaults fail an audit, so each list is written out, best first.

Post-quantum key exchange where the library has it, then curve25519; AES-GCM before AES-CTR with encrypt-then-MAC; no chacha20 (slower
here, and what the Terrapin attack, CVE-2023-48795, aims at), no SHA-1, no NIST-curve or finite-field key exchange.
"""

from typing import Any

import asyncssh

_KEX_WANTED = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
ENCRYPTION = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes128-ctr")
#: the last two are for libssh2 before 1.11 (curl of Debian 12 and Ubuntu 24.04), which knows neither AES-GCM nor encrypt-then-MAC: an
#: audit warns of encrypt-and-MAC, every other client takes something better (the client's order decides, RFC 4253 §7.1)
MAC = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512", "hmac-sha2-256")
#: of vendors' keys; RSA by SHA-2 only
SIGNATURE = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip


def _has(name: str) -> bool:
    try:
        asyncssh.SSHServerConnectionOptions(kex_algs=[name])
    except ValueError:
        return False
    return True


def hardened() -> dict[str, Any]:
    """The algorithm options of `asyncssh.listen`."""
    return {
        "kex_algs": [name for name in _KEX_WANTED if _has(name)],
        "encryption_algs": list(ENCRYPTION),
        "mac_algs": list(MAC),
        "signature_algs": list(SIGNATURE),
        "compression_algs": ["none"],
    }
