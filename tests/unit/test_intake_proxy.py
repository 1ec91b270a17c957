"""PROXY protocol version 2: what a balancer says is read exactly, and nothing else is taken for it."""

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.front import proxy
from gateway.intake.front.proxy import FIXED, MAX_REST, SIGNATURE, NoProxyHeader, Proxies, header, origin, read_origin, rest_size


def split(given: bytes) -> tuple[bytes, bytes]:
    return given[: FIXED.size], given[FIXED.size :]


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.binary(max_size=200))
def test_the_address_comes_through_whatever_follows_it(address: object, tlvs: bytes) -> None:
    target = "192.0.2.1" if "." in str(address) else "2001:db8::1"
    assert origin(*split(header(str(address), target, 40_000, 22, tlvs))) == str(address)


def test_the_example_of_the_specification() -> None:
    """Byte by byte, as §2.2 draws it: TCP over IPv4, 12 bytes of addresses."""
    told = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c" + bytes([203, 0, 113, 9, 192, 0, 2, 1, 0x9C, 0x40, 0, 22])
    assert origin(*split(told)) == "203.0.113.9"
    assert header("203.0.113.9", "192.0.2.1", 40_000, 22) == told


def test_a_health_check_speaks_for_the_balancer_itself() -> None:
    assert origin(FIXED.pack(SIGNATURE, 0x20, 0, 0), b"") is None
    assert origin(FIXED.pack(SIGNATURE, 0x21, 0, 4), b"\x04\x00\x01x") is None  # AF_UNSPEC


@pytest.mark.parametrize(
    "told",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 22\r\n",  # version 1
        FIXED.pack(SIGNATURE, 0x11, 0x11, 12) + bytes(12),  # version 1 in the clothes of 2
        FIXED.pack(SIGNATURE, 0x22, 0x11, 12) + bytes(12),  # an unknown command
        FIXED.pack(SIGNATURE, 0x21, 0x12, 12) + bytes(12),  # UDP
        FIXED.pack(SIGNATURE, 0x21, 0x31, 216) + bytes(216),  # a Unix socket
        FIXED.pack(SIGNATURE, 0x21, 0x11, 11) + bytes(11),  # addresses cut short
        FIXED.pack(SIGNATURE, 0x21, 0x21, 12) + bytes(12),  # IPv6 with the room of IPv4
        FIXED.pack(SIGNATURE, 0x21, 0x11, MAX_REST + 1) + bytes(MAX_REST + 1),
        FIXED.pack(b"\r\n\r\n\x00\r\nQUIT\r", 0x21, 0x11, 12) + bytes(12),
        b"",
    ],
)
def test_nothing_else_is_taken_for_a_header(told: bytes) -> None:
    with pytest.raises(NoProxyHeader):
        origin(*split(told))


@given(st.binary(max_size=300))
def test_noise_is_refused_or_understood_and_nothing_else(noise: bytes) -> None:
    for told in (noise, SIGNATURE + noise, SIGNATURE + b"\x21\x11" + struct.pack("!H", len(noise)) + noise):
        try:
            origin(*split(told))
        except NoProxyHeader:
            continue


def test_only_the_networks_of_the_configuration_are_proxies() -> None:
    proxies = Proxies(["192.0.2.0/28", "2001:db8::/64"])
    assert "192.0.2.3" in proxies and "::ffff:192.0.2.3" in proxies and "2001:db8::9" in proxies
    assert "192.0.2.16" not in proxies and "2001:db8:1::9" not in proxies and "192.0.2.3" not in Proxies([])


async def told_over_a_socket(*pieces: bytes, end: bool = False) -> tuple[str | None, bytes]:
    """What `read_origin` makes of it, and what is left to read for SSH."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        reading = asyncio.create_task(read_origin(ours))
        for piece in pieces:
            theirs.sendall(piece)
            await asyncio.sleep(0)
        if end:
            theirs.shutdown(socket.SHUT_WR)
        answer = await reading
        return answer, ours.recv(1000)


def test_not_a_byte_of_ssh_is_swallowed() -> None:
    told = header("203.0.113.9", "192.0.2.1", 40_000, 22, b"\x04\x00\x02xy")
    assert asyncio.run(told_over_a_socket(told + b"SSH-2.0-x\r\n")) == ("203.0.113.9", b"SSH-2.0-x\r\n")
    assert asyncio.run(told_over_a_socket(*(bytes([one]) for one in told), b"SSH")) == ("203.0.113.9", b"SSH")


def test_silence_and_half_a_header_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "PATIENCE", 0.05)
    told = header("203.0.113.9", "192.0.2.1", 40_000, 22)
    for pieces, end in (((), False), ((told[:20],), False), ((told[:20],), True), ((b"SSH-2.0-OpenSSH_9.2p1\r\n",), False)):
        with pytest.raises(NoProxyHeader):
            asyncio.run(told_over_a_socket(*pieces, end=end))


def test_a_length_is_believed_only_within_bounds() -> None:
    assert rest_size(FIXED.pack(SIGNATURE, 0x21, 0x11, MAX_REST)) == MAX_REST
    with pytest.raises(NoProxyHeader):
        rest_size(b"short")
