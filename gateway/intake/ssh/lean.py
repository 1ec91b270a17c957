"""The way of bulk data through asyncssh, shortened. The only file that leans on private parts of the library.

What is shorter: bytes are received into one buffer per event loop; AES-GCM has one cipher object per key; the data of an sftp channel
goes straight to its session; no MSG_IGNORE stands before each packet (it is of use with CBC only, which is not offered); TCP acknowledges
at once while somebody logs in. Key exchange, logging in, rekeying, channels, flow control and every other message stay the library's: it
is given the same bytes, and finds the plaintext already there.

What is bounded besides: a packet before the login has at most 35,000 bytes (RFC 4253 §6.1), and a client that does not read what it is
sent, or sends on while a message of it is being worked on, is no longer read from.

PARTS lists what is leaned on. When a version of the library lacks one of them, `accept` takes the public way, which is slower and passes
the same tests; tests/unit/test_intake_lean.py fails then and names the part.
"""

import asyncio
import copy
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncssh
import structlog
from asyncssh.channel import SSHChannel
from asyncssh.connection import SSHConnection, SSHServerConnection
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_IGNORE
from asyncssh.encryption import Encryption, GCMEncryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: one buffer of an event loop: what the kernel hands over at once [bytes]
READ_AT_ONCE = 512 << 10

#: the same before the login, when nobody has a reason to send much [bytes]
READ_BEFORE_LOGIN = 16 << 10

#: what an implementation must take (RFC 4253 §6.1); nobody sends more before the login [bytes]
LONGEST_BEFORE_LOGIN = 35_000

#: what may wait behind a message that is being worked on [bytes]
MOST_WAITING = 64 << 10

#: how often the timer that asks silent clients for a sign of life is set anew [s]
HEAR_EVERY = 1.0

_TAG = 16
_DATA_HEAD = 10  # padding length, type, channel, length of the data

#: what is leaned on, by class: methods that are called or overridden
PARTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (SSHConnection, ("_recv_version", "_recv_pkthdr", "_recv_packet", "_finish_recv_packet", "_reset_keepalive_timer", "send_newkeys")),
    (SSHConnection, ("send_packet", "data_received", "internal_error", "log_received_packet", "log_sent_packet", "eof_received")),
    (SSHChannel, ("_deliver_data", "_accept_data", "_process_data")),
    (GCMEncryption, ("encrypt_packet", "decrypt_header", "decrypt_packet")),
)
#: and attributes of an instance
CONNECTION_ATTRIBUTES = (
    "_inpbuf", "_recv_handler", "_recv_seq", "_recv_encryption", "_next_recv_encryption", "_send_encryption", "_decompressor",
    "_auth_complete", "_next_service", "_channels", "_max_recv_pktlen", "_transport", "_waiter",
)  # fmt: skip
CHANNEL_ATTRIBUTES = ("_env", "_session", "_recv_state", "_send_state", "_recv_paused", "_recv_window", "_init_recv_window")

log = structlog.get_logger("sluis.intake")


def moved_parts() -> list[str]:
    """The private parts that this version of asyncssh does not have any more; empty when all is well."""
    moved = [f"{kind.__name__}.{name}" for kind, names in PARTS for name in names if not hasattr(kind, name)]
    for kind, attributes in ((SSHConnection, CONNECTION_ATTRIBUTES), (SSHChannel, CHANNEL_ATTRIBUTES)):
        used = kind.__init__.__code__.co_names
        moved += [f"{kind.__name__}().{name}" for name in attributes if name not in used]
    return moved


class _Gcm(Encryption):
    """AES-GCM of one key (RFC 5647), with one cipher object instead of one per packet."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:], "big")
        self._ready: bytes | None = None  # plaintext of the packet that the library is about to decrypt

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) & 0xFFFFFFFFFFFFFFFF
        return nonce

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        return header + self._cipher.encrypt(self._nonce(), packet, header), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, first_block[:header_len]

    def decrypt_packet(self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        if self._ready is not None:
            ready, self._ready = self._ready, None
            return ready
        try:
            return self._cipher.decrypt(self._nonce(), first[header_len:] + rest + mac, first[:header_len])
        except InvalidTag:
            return None

    def decrypt_into(self, header: memoryview, sealed: memoryview, plain: memoryview) -> bool:
        """Decrypt a packet; False when it is forged (then nothing has changed)."""
        count = self._count
        try:
            self._cipher.decrypt_into(self._nonce(), sealed, header, plain)
        except InvalidTag:
            self._count = count
            return False
        return True

    def hand_over(self, plain: memoryview) -> None:
        """The next decrypt_packet answers this."""
        self._ready = bytes(plain)


def _quicker(encryption: Encryption | None) -> Encryption | None:
    if type(encryption) is not GCMEncryption:
        return encryption
    return _Gcm(encryption._cipher._key, encryption._cipher._iv)


class _Silent:
    """What formats a line for every packet, and then does not write it, costs more than small packets do."""

    def log_sent_packet(self, *_: object) -> None:
        pass


_SILENT: Any = _Silent()


class _Forgetful(dict[bytes, bytes]):
    """The environment that a client wants for its session. Nobody reads it, and the library keeps whatever comes."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        pass


class LeanConnection(SSHServerConnection):
    """A server's connection whose bulk data takes the short way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions) -> None:
        super().__init__(loop, options, wait="auth")
        self._max_recv_pktlen = LONGEST_BEFORE_LOGIN  # a channel raises it to what it takes
        self._unread = False  # the client does not read what it is sent
        self._resting = False  # it is not read from
        self.in_session = False  # data of a session has come
        self._clock, self._heard_at = loop.time, 0.0  # [s]

    def create_server_channel(self, *args: Any, **named: Any) -> asyncssh.SSHServerChannel[Any]:
        channel = super().create_server_channel(*args, **named)
        channel._env = _Forgetful()
        return channel

    # ------------------------------------------------------------ sending

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=_SILENT)

    def log_received_packet(self, *_: object) -> None:
        pass

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        super().send_newkeys(k, h)
        self._send_encryption = _quicker(self._send_encryption)
        self._next_recv_encryption = _quicker(self._next_recv_encryption)

    def pause_writing(self) -> None:
        self._unread = True
        self._mind()

    def resume_writing(self) -> None:
        self._unread = False
        self._mind()

    # ------------------------------------------------------------ receiving

    @property
    def logged_in(self) -> bool:
        return bool(self._auth_complete)

    def receive(self, data: memoryview, plain: memoryview) -> memoryview | None:
        """Take what came in; answers the beginning of a packet that is not whole yet. `plain` is scratch space."""
        at, stop = 0, len(data)
        short = False
        while (cipher := self._short_way()) is not None and stop - at >= 4:
            if not short:
                short = True
                self._hear()
            end = at + 4 + int.from_bytes(data[at : at + 4], "big") + _TAG
            if end - at > self._max_recv_pktlen + 4 + _TAG:
                break  # the library says what is wrong with it
            if end > stop:
                return data[at:]
            opened = plain[: end - at - 4 - _TAG]
            if not cipher.decrypt_into(data[at : at + 4], data[at + 4 : end], opened):
                break  # likewise
            if not self._deliver(opened):
                cipher.hand_over(opened)
                self.data_received(bytes(data[at:end]))
            at = end
        if self._transport is None:
            return None
        if self._short_way() is not None and stop - at < 4:
            return data[at:] if at < stop else None
        self.data_received(bytes(data[at:]))
        self._mind()
        return None

    def _hear(self) -> None:
        """The client is there: the timer that would ask begins anew, though not for every read as in the library."""
        now = self._clock()
        if now - self._heard_at > HEAR_EVERY:
            self._heard_at = now
            self._reset_keepalive_timer()

    def _short_way(self) -> _Gcm | None:
        """The cipher, when nothing but whole packets under it is awaited; None: the library does it all."""
        cipher = self._recv_encryption
        if (
            type(cipher) is _Gcm
            and self._auth_complete
            and not self._inpbuf
            and self._recv_handler == self._recv_pkthdr
            and self._decompressor is None
            and self._transport is not None
        ):
            return cipher
        return None

    def _deliver(self, packet: memoryview) -> bool:
        """Data of an sftp channel that reads: straight to its session. False for anything else, or anything odd."""
        if len(packet) < _DATA_HEAD or packet[1] != MSG_CHANNEL_DATA:
            return False
        channel = self._channels.get(int.from_bytes(packet[2:6], "big"))
        size = int.from_bytes(packet[6:10], "big")
        if (
            channel is None
            or not 0 < size <= channel._recv_window
            or packet[0] < 4
            or _DATA_HEAD + size + packet[0] != len(packet)
            or channel._recv_paused
            or channel._recv_state != "open"
            or channel._send_state in ("close_pending", "closed")
            or not getattr(channel._session, "takes_views", False)
        ):
            return False
        self.in_session = True
        self._recv_seq = (self._recv_seq + 1) & 0xFFFFFFFF
        channel._recv_window -= size
        try:
            channel._deliver_data(packet[_DATA_HEAD : _DATA_HEAD + size], None)  # type: ignore[arg-type]
        except Exception:
            self.internal_error()
        return True

    def _finish_recv_packet(self, *args: Any, **named: Any) -> None:
        super()._finish_recv_packet(*args, **named)
        if self._resting:
            self._mind()

    def _mind(self) -> None:
        """Read from the client, unless it does not read itself or sends on while a message of it is being worked on."""
        transport = self._transport
        if transport is None:
            return
        working = self._recv_handler not in (self._recv_pkthdr, self._recv_packet, self._recv_version)
        rest = self._unread or (working and len(self._inpbuf) > MOST_WAITING)
        if rest != self._resting:
            self._resting = rest
            transport.pause_reading() if rest else transport.resume_reading()


class _Buffers:
    """What an event loop reads into, and decrypts into. One of each: a read is worked on before the next one begins."""

    _of: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Buffers]" = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self.read = memoryview(bytearray(READ_AT_ONCE))
        self.plain = memoryview(bytearray(READ_AT_ONCE))

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "_Buffers":
        if (found := cls._of.get(loop)) is None:
            found = cls._of[loop] = cls()
        return found


class _Reader(asyncio.BufferedProtocol):
    """Between the transport and a LeanConnection."""

    def __init__(self, connection: LeanConnection, line: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._buffers = _Buffers.of(loop)
        self._left = b""  # of a packet that is not whole yet
        internet = line.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_QUICKACK")
        self._line = line if internet else None  # until the login is over
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        kept = len(self._left)
        if kept:
            self._buffers.read[:kept] = self._left
        return self._buffers.read[kept:] if self._connection.logged_in else self._buffers.read[kept : kept + READ_BEFORE_LOGIN]

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffers.read[: len(self._left) + nbytes]
        left = self._connection.receive(data, self._buffers.plain)
        self._left = bytes(left) if left is not None else b""
        if self._line is not None:
            self._acknowledge(self._line)

    def _acknowledge(self, line: socket.socket) -> None:
        """Now, and not 40 ms later: the client's next message waits for it (Nagle) until a session has begun. The kernel forgets it."""
        if self._connection.in_session:
            self._line = None
            return
        with suppress(OSError):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


MOVED = moved_parts()
if MOVED:
    log.warning("ssh.lean-off", library=asyncssh.__version__, moved=MOVED)


async def accept(
    sock: socket.socket,
    server_factory: Callable[[], asyncssh.SSHServer],
    options: asyncssh.SSHServerConnectionOptions,
    lean: bool = True,
) -> SSHServerConnection:
    """Speak SSH on an accepted socket; answers the connection once somebody has logged in.

    `options` may serve many connections. Raises asyncssh.Error or OSError when the login fails or the line is lost. `lean=False` takes the
    public way (asyncssh.run_server).
    """
    if MOVED or not lean:
        return await asyncssh.run_server(sock, options=options, server_factory=server_factory)
    loop = asyncio.get_running_loop()
    own = copy.copy(options)
    own.waiter = loop.create_future()
    own.protocol_factory = server_factory
    connection = LeanConnection(loop, own)
    await loop.connect_accepted_socket(lambda: _Reader(connection, sock, loop), sock)
    await own.waiter
    return connection


def may_ask_again(connection: SSHConnection) -> None:
    """Take a second request for the login service on a connection that has not logged in: paramiko sends one before each key that it
    tries, OpenSSH's server lets it, and asyncssh would cut the line."""
    if not connection._auth_complete:
        connection._next_service = b"ssh-userauth"
