"""Keys made from one root, so that the authority guards one secret instead of many."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.secret import Secret

ROOT_BYTES_AT_LEAST = 16


def derive(root: Secret, info: str | bytes, length: int = 32, salt: bytes = b"") -> Secret:
    """HKDF-SHA256 (RFC 5869) of `root` to `length` [bytes]; `info` names the use, and each use has its own.

    Without `salt` the RFC's default of zeros is used: fine for roots that are uniformly random, as ours are. ValueError for
    a root under 16 bytes.
    """
    if len(root.reveal()) < ROOT_BYTES_AT_LEAST:
        raise ValueError(f"a root has at least {ROOT_BYTES_AT_LEAST} bytes")
    context = info.encode() if isinstance(info, str) else info
    return Secret(HKDF(SHA256(), length, salt or None, context).derive(root.reveal()))
