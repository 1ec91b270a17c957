"""What a vendor comes in with: keys, CAs, certificates and revocation lists by the real ssh-keygen, and security keys in software."""

import struct
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import paramiko  # type: ignore[import-untyped,unused-ignore]
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.store.ssh_wire import string

KEY_TYPES = {"ed25519": ["-t", "ed25519"], "ecdsa": ["-t", "ecdsa"], "rsa": ["-t", "rsa", "-b", "3072"]}


def make_pair(folder: Path, name: str = "id", kind: str = "ed25519") -> Path:
    """A key pair as OpenSSH files; answers the private one."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", *KEY_TYPES[kind], "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


def public_line(path: Path) -> str:
    return Path(f"{path}.pub").read_text().strip()


def blob_of(line: str) -> bytes:
    """The public key or certificate in a line of a .pub file."""
    return b64decode(line.split()[1])


def certify(
    ca: Path,
    key: Path,
    principals: Sequence[str] = ("cito",),
    *,
    serial: int = 1,
    key_id: str = "delivery",
    validity: str = "-1m:+1h",
    options: Sequence[str] = (),
    host: bool = False,
    algorithm: str = "",
) -> str:
    """A certificate for `key`, signed by `ca`; also left where OpenSSH's client looks for it. Answers its line."""
    command = ["ssh-keygen", "-q", "-s", str(ca), "-I", key_id, "-z", str(serial), "-V", validity]
    command += ["-n", ",".join(principals)] if principals else []
    command += ["-h"] if host else []
    command += ["-t", algorithm] if algorithm else []
    for option in options:
        command += ["-O", option]
    subprocess.run([*command, f"{key}.pub"], check=True)
    return Path(f"{key}-cert.pub").read_text().strip()


def make_krl(path: Path, *, ca: Path | None = None, spec: Sequence[str] = (), keys: Sequence[Path] = ()) -> bytes:
    """A revocation list: lines of ssh-keygen's specification (KEY REVOCATION LISTS), and public keys or certificates."""
    command = ["ssh-keygen", "-q", "-k", "-f", str(path)]
    command += ["-s", f"{ca}.pub"] if ca else []
    if spec:
        wanted = path.with_suffix(".spec")
        wanted.write_text("\n".join(spec) + "\n")
        command.append(str(wanted))
    subprocess.run([*command, *map(str, keys)], check=True)
    return path.read_bytes()


class SecurityKey:
    """A FIDO key in software: signs as PROTOCOL.u2f says, with the flags one wants."""

    def __init__(self, kind: str = "sk-ssh-ed25519@openssh.com", flags: int = 1) -> None:
        self.kind, self.flags, self.counter = kind, flags, 0
        self.application = b"ssh:"
        if "ed25519" in kind:
            self._ed = Ed25519PrivateKey.generate()
            parts = [self._ed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)]
        else:
            self._ec = ec.generate_private_key(ec.SECP256R1())
            parts = [b"nistp256", self._ec.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
        self.blob = b"".join(map(string, [kind.encode(), *parts, self.application]))
        self.line = f"{kind} {b64encode(self.blob).decode()}"

    def sign(self, data: bytes) -> bytes:
        """The signature blob that travels in the login."""
        self.counter += 1
        asserted = bytes([self.flags]) + struct.pack(">I", self.counter)
        signed = sha256(self.application).digest() + asserted + sha256(data).digest()
        if "ed25519" in self.kind:
            signature = self._ed.sign(signed)
        else:
            signature = b"".join(string(_mpint(n)) for n in decode_dss_signature(self._ec.sign(signed, ec.ECDSA(SHA256()))))
        return string(self.kind.encode()) + string(signature) + asserted


def _mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


class ParamikoKey(paramiko.PKey):
    """Any key for paramiko's client: what it says it is, and how it signs, are given."""

    def __init__(self, name: str, blob: bytes, sign: Callable[[bytes], bytes]) -> None:
        self._name, self._blob, self._sign = name, blob, sign
        self.public_blob = None

    def get_name(self) -> str:
        return self._name

    def asbytes(self) -> bytes:
        return self._blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        return paramiko.Message(self._sign(data))
