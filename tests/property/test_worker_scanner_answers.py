"""Whatever a scanner answers: only clamd's own "OK" is a clean verdict, and a signature's name is repeated only when it looks like one."""

import io
import socket
import struct
from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.worker.scanner import UNNAMED, Conversation, Scanning
from policies.errors import Unsound

DATA = b"brin_vestiging;bsn\n" * 3
CODES = ("scanner-away", "scanner-limit", "scanner-odd")
pieces = st.sampled_from([b"stream: ", b"OK", b" FOUND", b" ERROR", b"\0", b"\n", b"size limit exceeded", b"Win.Test-1", b"(00ff:12)"])
answers = st.lists(st.one_of(pieces, st.binary(max_size=12)), max_size=8).map(b"".join)


def heard(answer: bytes) -> tuple[str | None, bytes]:
    """The verdict on DATA when this is all that comes back, and what the scanner was told."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)  # it hangs up; what it is told it still takes in
        ours.settimeout(5)
        verdict = Scanning(Conversation(ours, 5), io.BytesIO(DATA), 1000).verdict()
        return verdict, theirs.recv(1000)


def code(answer: bytes) -> str:
    with pytest.raises(Unsound) as caught:
        heard(answer)
    return caught.value.code


@given(answers)
@example(b"stream: OK\0")
@example(b"stream: OK\0stream: Win.Test-1 FOUND\0")
@example(b"stream: OK")
@example(b" stream: OK\0")
def test_nothing_but_ok_is_clean(answer: bytes) -> None:
    try:
        verdict, _ = heard(answer)
    except Unsound as error:
        assert error.code in CODES and "Win.Test" not in str(error)
        assert not answer.startswith(b"stream: OK\0")
    else:
        first, nul, _ = answer.partition(b"\0")
        assert nul
        if verdict is None:
            assert first == b"stream: OK"
        else:
            assert first.startswith(b"stream: ") and first.endswith(b" FOUND") and verdict.isprintable()


def test_what_is_told_is_the_protocols() -> None:
    assert heard(b"stream: OK\0") == (None, b"zINSTREAM\0" + struct.pack("!I", len(DATA)) + DATA + bytes(4))


@pytest.mark.parametrize(
    "answer, expected",
    [
        (b"", "scanner-away"),
        (b"stream: OK", "scanner-away"),
        (b"INSTREAM size limit exceeded. ERROR\0", "scanner-limit"),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", "scanner-limit"),
        (b"stream: Can't allocate memory ERROR\0", "scanner-odd"),
        (b"UNKNOWN COMMAND\0", "scanner-odd"),
        (b"stream: OK \0", "scanner-odd"),
        (b"\0", "scanner-odd"),
        (b"a" * 5000 + b"\0", "scanner-odd"),
        (b"\xff" * 10 + b"\0", "scanner-odd"),
    ],
)
def test_each_way_to_say_nothing_has_its_code(answer: bytes, expected: str) -> None:
    assert code(answer) == expected


@pytest.mark.parametrize(
    "name, repeated",
    [
        ("Win.Test.EICAR_HDB-1", "Win.Test.EICAR_HDB-1"),
        ("Eicar-Test-Signature(44d88612fea8a8f36de82e1278abb02f:68)", "Eicar-Test-Signature"),
        ("Win.Trojan.Agent-123456789-0", UNNAMED),  # nine digits could be a pupil's
        ("Evil name", UNNAMED),
        ("{topic}", UNNAMED),
        ("<script>", UNNAMED),
        ("A" * 101, UNNAMED),
    ],
)
def test_only_a_name_is_repeated(name: str, repeated: str) -> None:
    assert heard(f"stream: {name} FOUND\0".encode())[0] == repeated
