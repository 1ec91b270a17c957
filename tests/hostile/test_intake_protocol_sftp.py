"""Clients that break SFTP on purpose, at a real endpoint: each is answered, held back or cut, and nobody else notices."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.support import sftp_packets as sftp
from tests.support.intake import Running, drops, make_home, make_key, register, running
from tests.support.raw_sftp import HANDLE, X, line_to, play


class Victim:
    """A real endpoint, and how to reach it."""

    def __init__(self, folder: Path) -> None:
        self.home = make_home(folder)
        self.key = make_key(folder)
        register(self.home, "cito", self.key)
        self.intake: Running

    @property
    def options(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1", "port": self.intake.port, "username": "cito", "client_keys": [str(self.key)], "known_hosts": None,
            "config": None, "agent_path": None,
        }  # fmt: skip

    def unfinished(self) -> list[int]:
        """Sizes."""
        return [one.size for one in self.intake.run(self.intake.endpoint.desk.look("cito", "leveringen"))]


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    case = Victim(tmp_path)
    with running(case.home) as case.intake:
        yield case


FAR = [1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 9, (1 << 64) - 1]


def test_offsets_of_64_bits(victim: Victim) -> None:
    """Beyond every file, beyond what a signed number holds, and around the end of 64 bits."""

    async def scene() -> None:
        async with line_to(None, **victim.options) as line:
            await line.ask(sftp.open_(1, b"leveringen/x.age.part"))
            for offset in FAR[3:]:
                said = await line.ask(sftp.write(2, HANDLE, offset, b"x" * 9))
                assert (said.code, "[too-far-ahead]" in said.said) == (4, True), offset
            key = await line.ask(sftp.open_(3, b"sleutels/sluis.age.txt", sftp.READ))
            for offset in FAR:
                assert (await line.ask(sftp.read(4, key.handle, offset, 0xFFFFFFFF))).code == 1, offset
            assert len((await line.ask(sftp.read(5, key.handle, 0, 0xFFFFFFFF))).data) > 20
            assert (await line.ask(sftp.close(6, HANDLE))).code == 4, "a write was refused: nothing is complete"

    play(scene)
    assert drops(victim.home) == []
    assert victim.unfinished() == [0]


def test_ten_thousand_handles(victim: Victim) -> None:
    async def scene() -> None:
        async with line_to(None, **victim.options) as line:
            for number in range(10_000):
                line.writer.write(sftp.request(11, number, sftp.text(b"/")))
            said = [await line.answer() for _ in range(10_000)]
            assert [answer.number for answer in said] == list(range(10_000))
            opened = [answer.handle for answer in said if answer.kind == 102]
            assert len(opened) == 64
            assert len(set(opened)) == 64
            for handle in opened:
                line.writer.write(sftp.close(1, handle) + sftp.close(2, handle))
            ends = [await line.answer() for _ in range(128)]
            assert [answer.code for answer in ends] == [0, 4] * 64

    play(scene)


def test_requests_after_the_close(victim: Victim) -> None:
    async def scene() -> None:
        async with line_to(None, **victim.options) as line:
            line.writer.write(
                sftp.open_(1, X)
                + sftp.write(2, HANDLE, 0, b"whole")
                + sftp.close(3, HANDLE)
                + sftp.write(4, HANDLE, 5, b" and more")
                + sftp.close(5, HANDLE)
                + sftp.open_(6, X)
            )
            said = [await line.answer() for _ in range(6)]
            assert [answer.code for answer in said[1:]] == [0, 0, 4, 4, 3]
            assert "[bad-handle]" in said[3].said and "[name-taken]" in said[5].said

    play(scene)
    assert [(drop.file_name, drop.bytes) for drop in drops(victim.home)] == [("x.age", 5)]


@pytest.mark.parametrize(
    "said",
    [
        sftp.stat(1, b"/"),
        b"\xff" * 64,
        b"\0\0\0\0",
        b"\0\0\0\1\1",
        sftp.init() + b"\xff\xff\xff\xff" + bytes(64),
        sftp.init() + sftp.init(),
        sftp.init() + b"\0\0\0\3\x11\0\0",
    ],
    ids=["before INIT", "4 GiB", "nothing", "INIT without a version", "4 GiB later", "INIT twice", "no number"],
)
def test_what_is_no_sftp_ends_the_session_with_a_text(victim: Victim, said: bytes) -> None:
    async def scene() -> None:
        connection = await asyncssh.connect(**victim.options)
        writer, reader, errors = await connection.open_session(subsystem="sftp", encoding=None)
        writer.write(said)
        await reader.read()
        assert b"geen geldig SFTP" in await errors.read()
        await writer.channel.wait_closed()
        assert writer.channel.get_exit_status() == 1
        async with line_to(None, **victim.options) as line:  # the next one is welcome
            assert (await line.ask(sftp.stat(1, b"/"))).kind == 105
        connection.abort()
        await connection.wait_closed()

    play(scene)


# ---------------------------------------------------------------- whatever comes


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_minute_of_anything(tmp_path: Path, project: Path) -> None:
    """atheris; a find is written where pytest keeps its folders, and is an input for the same program."""
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86_64 only", exc_type=ImportError)
    fuzzer = [
        sys.executable, "-m", "tests.hostile.fuzz_sftp", str(tmp_path / "corpus"), "-max_total_time=60", "-max_len=4096", "-len_control=0",
        f"-artifact_prefix={tmp_path}/", "-rss_limit_mb=600", "-timeout=20", "-print_final_stats=1",
    ]  # fmt: skip
    # by way of a small shell: the kernel begins to count a process's largest memory at that of the process that it was split off from
    by_shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    done = subprocess.run([*by_shell, *fuzzer], cwd=project, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-4000:]
    runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    assert int(runs[0].split()[-1]) > 1000, "it ran, and not only started"
