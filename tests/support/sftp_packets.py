"""SFTP requests as a client writes them, right or wrong, and answers as it reads them. Independent of the endpoint's own wire.py."""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

READ, WRITE, APPEND, CREAT, TRUNC, EXCL = 1, 2, 4, 8, 16, 32
NEW = WRITE | CREAT | TRUNC


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


def request(kind: int, number: int, *fields: bytes) -> bytes:
    return packet(kind, struct.pack(">I", number) + b"".join(fields))


def init(version: int = 3) -> bytes:
    return packet(1, struct.pack(">I", version))


def attributes(size: int | None = None, permissions: int | None = None, times: int | None = None, owners: int | None = None) -> bytes:
    flags, parts = 0, b""
    if size is not None:
        flags, parts = flags | 1, parts + struct.pack(">Q", size)
    if owners is not None:
        flags, parts = flags | 2, parts + struct.pack(">II", owners, owners)
    if permissions is not None:
        flags, parts = flags | 4, parts + struct.pack(">I", permissions)
    if times is not None:
        flags, parts = flags | 8, parts + struct.pack(">II", times, times)
    return struct.pack(">I", flags) + parts


def open_(number: int, path: bytes, flags: int = NEW) -> bytes:
    return request(3, number, text(path), struct.pack(">I", flags), attributes())


def close(number: int, handle: bytes) -> bytes:
    return request(4, number, text(handle))


def read(number: int, handle: bytes, offset: int, size: int) -> bytes:
    return request(5, number, text(handle), struct.pack(">QI", offset, size))


def write(number: int, handle: bytes, offset: int, data: bytes) -> bytes:
    return request(6, number, text(handle), struct.pack(">Q", offset), text(data))


def stat(number: int, path: bytes) -> bytes:
    return request(17, number, text(path))


def rename(number: int, old: bytes, new: bytes) -> bytes:
    return request(18, number, text(old), text(new))


def extended(number: int, name: bytes, *fields: bytes) -> bytes:
    return request(200, number, text(name), *fields)


class Answer(NamedTuple):
    kind: int
    number: int
    body: bytes

    @property
    def code(self) -> int:
        """Of a status."""
        assert self.kind == 101, self
        return int(struct.unpack_from(">I", self.body)[0])

    @property
    def said(self) -> str:
        """The text of a status."""
        size = struct.unpack_from(">I", self.body, 4)[0]
        return self.body[8 : 8 + size].decode()

    @property
    def handle(self) -> bytes:
        assert self.kind == 102, self
        return self.body[4:]

    @property
    def data(self) -> bytes:
        assert self.kind == 103, self
        return self.body[4:]

    @property
    def names(self) -> list[bytes]:
        """Of a NAME answer, which is read to its very end."""
        assert self.kind == 104, self
        found, at = [], 4
        for _ in range(struct.unpack_from(">I", self.body)[0]):
            for part in range(2):
                size = struct.unpack_from(">I", self.body, at)[0]
                if part == 0:
                    found.append(self.body[at + 4 : at + 4 + size])
                at += 4 + size
            at += len(attribute_bytes(self.body[at:]))
        assert at == len(self.body)
        return found

    @property
    def size(self) -> int:
        """Of ATTRS."""
        assert self.kind == 105, self
        return int(struct.unpack_from(">Q", self.body, 4)[0])


def attribute_bytes(given: bytes) -> bytes:
    flags = struct.unpack_from(">I", given)[0]
    return given[: 4 + 8 * bool(flags & 1) + 8 * bool(flags & 2) + 4 * bool(flags & 4) + 8 * bool(flags & 8)]


def answers(sent: bytes) -> Iterator[Answer]:
    """What a server sent, whole packets only; VERSION has no number, its version stands there."""
    at = 0
    while at < len(sent):
        size, kind, number = struct.unpack_from(">IBI", sent, at)
        yield Answer(kind, number, sent[at + 9 : at + 4 + size])
        at += 4 + size
        assert at <= len(sent), "a packet is cut off"


class MemoryChannel:
    """What a session wants of asyncssh's channel; keeps what it is given."""

    def __init__(self, version: str = "SSH-2.0-Other") -> None:
        self.sent = b""
        self.told = b""  # on stderr
        self.reading = True
        self.status: int | None = None
        self.version = version
        self.pauses = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.version if name == "client_version" else default

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes, datatype: int | None = None) -> None:
        assert self.status is None, "written after the end"
        if datatype:
            self.told += data
        else:
            self.sent += data

    def pause_reading(self) -> None:
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.status is not None

    def exit(self, status: int) -> None:
        self.status = status
