"""The PROXY protocol, version 2: how a load balancer says for whom it connects.

haproxy.org/download/3.0/doc/proxy-protocol.txt §2.2: a signature of 12 bytes, version and command, family and protocol, the length of
what follows, addresses, and then TLVs, which are skipped. It is read from the proxies of the configuration only, and required from them:
anybody else could claim any address with it.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Iterable

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
#: signature, version and command, family and protocol, length
FIXED = struct.Struct("!12sBBH")
#: more than any balancer sends: addresses and its TLVs [bytes]
MAX_REST = 2048
#: how long the header may take: it is the first thing that a balancer sends [s]
PATIENCE = 5.0

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_SIZES = {_TCP4: (4, 12), _TCP6: (16, 36)}


class NoProxyHeader(ValueError):
    """What came first was no PROXY header of version 2."""


def rest_size(fixed: bytes) -> int:
    """How many bytes follow the first sixteen [bytes]. NoProxyHeader when those are none, or announce too many."""
    if len(fixed) != FIXED.size:
        raise NoProxyHeader("shorter than a header")
    signature, command, _family, size = FIXED.unpack(fixed)
    if signature != SIGNATURE:
        raise NoProxyHeader("another signature")
    if command not in (_LOCAL, _PROXY):
        raise NoProxyHeader("another version or command")
    if size > MAX_REST:
        raise NoProxyHeader("longer than allowed")
    return int(size)


def origin(fixed: bytes, rest: bytes) -> str | None:
    """The address for which the proxy connects; None when it speaks for itself (LOCAL: a health check) or does not say.

    NoProxyHeader for a family of sockets that can't be SSH (UDP, Unix), and for addresses that were cut short.
    """
    if len(rest) != rest_size(fixed):
        raise NoProxyHeader("another length than announced")
    _signature, command, family, _size = FIXED.unpack(fixed)
    if command == _LOCAL or family == 0:
        return None
    if family not in _SIZES:
        raise NoProxyHeader("not TCP")
    length, needed = _SIZES[family]
    if len(rest) < needed:
        raise NoProxyHeader("addresses cut short")
    return str(ipaddress.ip_address(rest[:length]))


def header(source: str, target: str, source_port: int, target_port: int, tlvs: bytes = b"") -> bytes:
    """What a balancer sends for a TCP connection."""
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(target)
    rest = first.packed + second.packed + struct.pack("!HH", source_port, target_port) + tlvs
    return FIXED.pack(SIGNATURE, _PROXY, _TCP4 if first.version == 4 else _TCP6, len(rest)) + rest


class Proxies:
    """The networks whose connections begin with a header."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        given = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
            given = given.ipv4_mapped
        return any(given in network for network in self._networks)


async def read_origin(connection: socket.socket) -> str | None:
    """Read the header off a connection, and not a byte more; answers as `origin`. NoProxyHeader also when it does not come in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            fixed = await _exactly(connection, FIXED.size)
            return origin(fixed, await _exactly(connection, rest_size(fixed)))
    except (TimeoutError, OSError):
        raise NoProxyHeader("nothing came") from None


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    read = b""
    while len(read) < size:
        if not (piece := await loop.sock_recv(connection, size - len(read))):
            raise NoProxyHeader("the connection ended")
        read += piece
    return read
