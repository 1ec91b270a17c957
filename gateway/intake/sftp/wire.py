"""SFTP version 3 as bytes: what stands in a request, and how an answer is written. Pure: no channel, no file.

Sources: draft-ietf-secsh-filexfer-02 (requests, attributes, status), OpenSSH's PROTOCOL file (extensions). Lengths and numbers are big
endian; a string is its length in 4 bytes and then its bytes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from stat import filemode
from struct import Struct

VERSION = 3

# requests (draft §3)
INIT, FXP_VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT = (
    range(1, 18)
)
RENAME, READLINK, SYMLINK, EXTENDED = 18, 19, 20, 200

# answers
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201

# codes of a status (draft §7)
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, OP_UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8

# flags of OPEN (draft §6.3)
FXF_READ, FXF_WRITE, FXF_APPEND, FXF_CREAT, FXF_TRUNC, FXF_EXCL = 1, 2, 4, 8, 16, 32

# which attributes are there (draft §5)
_SIZE, _OWNERS, _PERMISSIONS, _TIMES, _EXTENDED = 1, 2, 4, 8, 1 << 31

#: the longest packet that is taken or sent, without its length field; the same as OpenSSH's server announces [bytes]
MAX_PACKET = 256 << 10
#: the longest piece of a file in one request, announced by limits@openssh.com [bytes]
MAX_PIECE = 255 << 10

_U32 = Struct(">I")
_U64 = Struct(">Q")
_TWO = Struct(">II")
_STATUS = Struct(">IBII")
_WRITE = Struct(">BIIIQI")  # kind, request, length of the handle (4), handle, offset, length of the data
_WRITE_HEAD = _WRITE.size
_STATVFS = Struct(">11Q")


class Malformed(ValueError):
    """The bytes are not what the protocol wants there."""


class Fields:
    """Reads the fields of one packet in order; Malformed when one is not there, or something is left over."""

    def __init__(self, packet: memoryview, at: int = 0) -> None:
        self._packet = packet
        self._at = at

    def _take(self, size: int) -> memoryview:
        end = self._at + size
        if end > len(self._packet):
            raise Malformed("the packet ends too early")
        taken = self._packet[self._at : end]
        self._at = end
        return taken

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def view(self) -> memoryview:
        """A string, not copied."""
        return self._take(self.u32())

    def text(self) -> bytes:
        """A string."""
        return bytes(self.view())

    def attributes(self) -> "Attributes":
        """What a client wants attributes to be (draft §5)."""
        flags = self.u32()
        if flags & ~(_SIZE | _OWNERS | _PERMISSIONS | _TIMES | _EXTENDED):
            raise Malformed("attributes of another version")
        size = self.u64() if flags & _SIZE else None
        owners = (self.u32(), self.u32()) if flags & _OWNERS else None
        permissions = self.u32() if flags & _PERMISSIONS else None
        times = (self.u32(), self.u32()) if flags & _TIMES else None
        if flags & _EXTENDED:
            for _ in range(self.u32()):  # each takes at least 8 bytes of the packet: the loop ends with it
                self.view()
                self.view()
        return Attributes(size, owners, permissions, times)

    def end(self) -> None:
        if self._at != len(self._packet):
            raise Malformed("the packet is too long for what it holds")


@dataclass(frozen=True)
class Attributes:
    """Attributes of a file; None: not told."""

    size: int | None = None  # [bytes]
    owners: tuple[int, int] | None = None
    permissions: int | None = None
    times: tuple[int, int] | None = None  # last read, last changed [s since 1970]

    def encode(self) -> bytes:
        """Size, owners, permissions and times, those that are told."""
        flags, parts = 0, []
        if self.size is not None:
            flags |= _SIZE
            parts.append(_U64.pack(self.size))
        if self.owners is not None:
            flags |= _OWNERS
            parts.append(_TWO.pack(*self.owners))
        if self.permissions is not None:
            flags |= _PERMISSIONS
            parts.append(_U32.pack(self.permissions))
        if self.times is not None:
            flags |= _TIMES
            parts.append(_TWO.pack(*self.times))
        return _U32.pack(flags) + b"".join(parts)


def quick_write(packet: memoryview) -> tuple[int, int, int, memoryview] | None:
    """A WRITE with a handle of 4 bytes, as ours are, in one step: request, handle, offset [bytes], data. None: read it by Fields.

    The data is a view into `packet`. Bytes behind it are left alone: clients built with Go's pkg/sftp 1.13 (rclone of Debian 12) send a
    whole buffer after a short read, and OpenSSH takes that too.
    """
    if len(packet) < _WRITE_HEAD:
        return None
    _, request, handle_size, handle, offset, size = _WRITE.unpack_from(packet)
    if handle_size != 4 or _WRITE_HEAD + size > len(packet):
        return None
    return request, handle, offset, packet[_WRITE_HEAD : _WRITE_HEAD + size]


# ---------------------------------------------------------------- answers


def _packet(kind: int, request: int, body: bytes) -> bytes:
    return (5 + len(body)).to_bytes(4, "big") + bytes((kind,)) + _U32.pack(request) + body


def string(value: bytes) -> bytes:
    """A string field."""
    return _U32.pack(len(value)) + value


def version(extensions: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The answer to INIT (draft §4)."""
    body = _U32.pack(VERSION) + b"".join(string(name) + string(data) for name, data in extensions)
    return (1 + len(body)).to_bytes(4, "big") + bytes((FXP_VERSION,)) + body


def status(request: int, code: int, text: str, language: bytes = b"nl") -> bytes:
    """How a request ended, with a text for people (draft §7)."""
    said = text.encode()
    return _STATUS.pack(17 + len(said) + len(language), STATUS, request, code) + string(said) + string(language)


def done(request: int) -> bytes:
    """SSH_FX_OK, without words: the answer to each write."""
    return b"\0\0\0\x11\x65" + _U32.pack(request) + b"\0\0\0\0\0\0\0\0\0\0\0\0"


def handle(request: int, number: int) -> bytes:
    """The answer to OPEN and OPENDIR: 4 bytes that name the handle."""
    return _packet(HANDLE, request, b"\0\0\0\4" + _U32.pack(number))


def data(request: int, content: bytes) -> bytes:
    return _packet(DATA, request, string(content))


def attributes(request: int, told: Attributes) -> bytes:
    return _packet(ATTRS, request, told.encode())


def names(request: int, entries: Sequence[tuple[bytes, Attributes]]) -> bytes:
    """The answer to READDIR and REALPATH: names with attributes, and each as a line of `ls -l`, which some clients show (draft §7)."""
    parts = [_U32.pack(len(entries))]
    for name, told in entries:
        parts += (string(name), string(long_name(name, told)), told.encode())
    return _packet(NAME, request, b"".join(parts))


def long_name(name: bytes, told: Attributes) -> bytes:
    """One line as `ls -l` writes it. No account of this machine stands in it."""
    changed = time.strftime("%b %d %H:%M" if _recent(told) else "%b %d  %Y", time.gmtime(told.times[1] if told.times else 0))
    return f"{filemode(told.permissions or 0)}    1 sluis    sluis    {told.size or 0:>12} {changed} ".encode() + name


def _recent(told: Attributes) -> bool:
    return told.times is not None and abs(time.time() - told.times[1]) < 180 * 86_400


def limits(request: int, handles: int) -> bytes:
    """The answer to limits@openssh.com: packet, read and write [bytes], handles."""
    return _packet(EXTENDED_REPLY, request, b"".join(map(_U64.pack, (MAX_PACKET, MAX_PIECE, MAX_PIECE, handles))))


def space(request: int, *numbers: int) -> bytes:
    """The answer to statvfs@openssh.com: bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax."""
    return _packet(EXTENDED_REPLY, request, _STATVFS.pack(*numbers))
