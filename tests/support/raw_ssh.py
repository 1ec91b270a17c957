"""SSH as bytes on a socket, as far as an attacker without keys needs it: greeting, packets in the clear, KEXINIT (RFC 4253)."""

import os
import socket
import struct
from collections.abc import Sequence

(DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, EXT_INFO, KEXINIT, KEX_ECDH_INIT, KEX_ECDH_REPLY, USERAUTH_REQUEST,
 USERAUTH_SUCCESS, CHANNEL_OPEN, PING) = 1, 2, 3, 4, 5, 7, 20, 30, 31, 50, 52, 90, 192  # fmt: skip

_LISTS = (
    "kex",
    "host_key",
    "encryption",
    "encryption_back",
    "mac",
    "mac_back",
    "compression",
    "compression_back",
    "language",
    "language_back",
)


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def name_lists(kexinit: bytes) -> dict[str, list[str]]:
    """What a KEXINIT offers."""
    lists, at = {}, 17
    for name in _LISTS:
        size = int.from_bytes(kexinit[at : at + 4], "big")
        lists[name] = kexinit[at + 4 : at + 4 + size].decode().split(",")
        at += 4 + size
    return lists


class Raw:
    """A connection to a server of which only the greeting and its KEXINIT were read."""

    def __init__(self, port: int, greet: bool = True, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20, source_address=(address, 0))
        self._input = self.socket.makefile("rb")
        self.their_kexinit = b""
        if greet:
            self.socket.sendall(b"SSH-2.0-hostile\r\n")
            while not (line := self._input.readline()).startswith(b"SSH-"):
                if not line:
                    raise EOFError
            self.their_kexinit = self.receive()

    def send(self, payload: bytes) -> None:
        """One packet in the clear; a server that has closed meanwhile is no error here."""
        padding = 8 - (5 + len(payload)) % 8
        padding += 8 if padding < 4 else 0
        try:
            self.socket.sendall(struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding))
        except OSError:
            return

    def send_kexinit(self, *, strict: bool, kex: Sequence[str] = ("curve25519-sha256",), guess: bool = False) -> None:
        kex = [*kex, "kex-strict-c-v00@openssh.com"] if strict else kex
        lists = [",".join(kex), "ssh-ed25519", *["aes128-gcm@openssh.com"] * 2, *["hmac-sha2-256"] * 2, *["none"] * 2, "", ""]
        self.send(bytes([KEXINIT]) + os.urandom(16) + b"".join(string(one.encode()) for one in lists) + bytes([guess]) + bytes(4))

    def receive(self) -> bytes:
        """The payload of the next packet in the clear; EOFError."""
        head = self._input.read(5)
        if len(head) < 5:
            raise EOFError
        size, padding = struct.unpack(">IB", head)
        rest: bytes = self._input.read(size - 1)
        return rest[: size - 1 - padding]

    def ended(self, seconds: float = 20) -> bool:
        """Whether the server ends the connection within that time [s]; what it says before is passed over."""
        self.socket.settimeout(seconds)
        try:
            while self._input.read1(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True
