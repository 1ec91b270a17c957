"""The bounded buffer between the thread that decrypts and the one that checks."""

import threading

from gateway.checks.handover import Handover

MIB = 1 << 20


def test_all_bytes_come_over_in_order_and_memory_is_bounded() -> None:
    handover = Handover(ahead_bytes=2 * MIB)
    pieces = [bytes([number]) * 8192 for number in range(256)] * 8
    held: list[int] = []

    def write() -> None:
        for piece in pieces:
            handover.write(piece)
            held.append(handover._held)
        handover.finish()

    writer = threading.Thread(target=write)
    writer.start()
    got = b""
    while data := handover.read():
        got += data
    writer.join()
    assert got == b"".join(pieces)
    assert handover.read() == b""
    assert max(held) <= 3 * MIB


def test_a_writer_whose_reader_is_gone_is_told_so() -> None:
    handover = Handover(ahead_bytes=MIB)
    told = threading.Event()

    def write() -> None:
        try:
            while True:
                handover.write(bytes(MIB))
        except BrokenPipeError:
            told.set()
        handover.finish()  # also then the writer comes to its end

    writer = threading.Thread(target=write)
    writer.start()
    assert handover.read()
    handover.abandon()
    writer.join(timeout=30)
    assert told.is_set()
    assert not writer.is_alive()


def test_an_empty_stream_ends() -> None:
    handover = Handover()
    handover.finish()
    assert handover.read() == b""
