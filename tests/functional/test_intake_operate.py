"""Running the endpoint: stopping, reloading, figures, log lines, a load balancer in front, addresses that misbehave."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import paramiko
import psutil
import pytest
from paramiko.sftp import CMD_CLOSE  # type: ignore[import-untyped,unused-ignore]

from gateway.intake.front.proxy import header
from gateway.store.host_keys import announce_next, retire_first
from gateway.store.vendor_limits import set_limits
from gateway.store.vendors import remove_vendor
from tests.support.intake import Deployed, content, deployed, drops, make_key, register, until

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Deployed]:
    with deployed(tmp_path) as case:
        yield case


def transport_of(sftp: Any) -> paramiko.Transport:
    channel = sftp.get_channel()
    assert channel is not None
    found: paramiko.Transport = channel.get_transport()
    return found


def host_key(port: int) -> bytes:
    transport = paramiko.Transport(("127.0.0.1", port))
    try:
        transport.start_client(timeout=30)
        return bytes(transport.get_remote_server_key().asbytes())
    finally:
        transport.close()


# ---------------------------------------------------------------- stopping


def test_a_stop_says_goodbye_in_both_languages(case: Deployed) -> None:
    command = ["ssh", "-F", "/dev/null", "-i", str(case.key), "-p", str(case.port)]
    for option in ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
        command += ["-o", option]
    client = subprocess.Popen(
        [*command, "-s", "cito@127.0.0.1", "sftp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(case.sessions)
    assert case.service.terminate() == 0
    _out, said = client.communicate(timeout=30)
    assert "De dienst stopt; hervat later." in said.decode() and "The service stops; resume later." in said.decode()
    assert client.returncode == 255


def test_a_stop_keeps_what_arrived_and_the_next_start_goes_on(case: Deployed) -> None:
    data = os.urandom(3 * MIB)
    with case.sftp() as sftp:
        file = sftp.open("leveringen/x.age", "wb")
        file.write(data[: 2 * MIB])
        file.stat()
        assert case.service.terminate() == 0
    case.start_again()
    with case.sftp() as sftp:
        at = sftp.stat("leveringen/x.age").st_size
        assert at == 2 * MIB
        with sftp.open("leveringen/x.age", "r+b") as file:
            file.seek(at)
            file.write(data[at:])
    assert case.service.terminate() == 0
    assert [content(case.home, drop) for drop in drops(case.home)] == [data]


def test_whatever_was_acknowledged_before_a_stop_is_in_the_ledger_after_it(case: Deployed) -> None:
    acknowledged: list[str] = []
    began = threading.Event()

    def deliver() -> None:
        try:
            with case.sftp() as sftp:
                for at in range(10_000):
                    file = sftp.open(f"leveringen/{at}.age", "wb")
                    file.write(b"%d" % at)
                    sftp._request(CMD_CLOSE, file.handle)  # the file's own close() says nothing when it fails
                    acknowledged.append(f"{at}.age")
                    if at == 20:
                        began.set()
        except (OSError, EOFError, paramiko.SSHException):
            began.set()

    client = threading.Thread(target=deliver)
    client.start()
    assert began.wait(60)
    assert case.service.terminate() == 0
    client.join(60)
    names = {drop.file_name for drop in drops(case.home)}
    assert len(acknowledged) > 20 and set(acknowledged) <= names <= {*acknowledged, f"{len(acknowledged)}.age"}


def test_signals_may_come_at_any_time(tmp_path: Path) -> None:
    """A stop before the service is ready, and one that is repeated."""
    with deployed(tmp_path) as case:
        case.service.process.terminate()
        case.service.process.send_signal(signal.SIGHUP)
        assert case.service.terminate() == 0
        early = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "--home", str(case.home.path), "serve", "intake"], stderr=subprocess.DEVNULL
        )
        until(lambda: [child for child in psutil.Process(early.pid).children() if child.name() == "sluis-front"])
        early.terminate()
        assert early.wait(30) == 0


def test_a_port_in_use_is_said_in_one_line(case: Deployed) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "--home", str(case.home.path), "serve", "intake"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "The endpoint can't listen there." in done.stderr and "Traceback" not in done.stderr


# ---------------------------------------------------------------- reloading


def test_a_reload_keeps_sessions_and_applies_limits_at_once(case: Deployed) -> None:
    with case.sftp() as sftp:
        case.change(max_file_bytes=1000, port=1)
        case.service.process.send_signal(signal.SIGHUP)
        (reloading, since) = case.service.told.recv(200).decode().splitlines()
        assert reloading == "RELOADING=1" and since.startswith("MONOTONIC_USEC=") and int(since.partition("=")[2]) > 0
        case.service.wait_for("READY=1")
        with pytest.raises(OSError, match=r"\[too-large\]"), sftp.open("leveringen/x.age", "wb") as file:
            file.write(bytes(1001))
        with sftp.open("leveringen/y.age", "wb") as file:
            file.write(bytes(1000))
    (told,) = [line for line in case.service.lines() if line["event"] == "intake.reloaded"]
    assert told["after_a_restart"] == ["port"]


def test_a_configuration_that_is_not_sound_changes_nothing(case: Deployed) -> None:
    (case.home.path / "sluis.toml").write_text("[intake]\nmax_fiel_bytes = 3\n")
    case.service.process.send_signal(signal.SIGHUP)
    case.service.wait_for("READY=1")
    assert [line["code"] for line in case.service.lines() if line["event"] == "intake.not-reloaded"] == ["configuration-wrong"]
    with case.sftp() as sftp, sftp.open("leveringen/x.age", "wb") as file:
        file.write(bytes(2000))


def test_a_new_host_key_shows_after_a_reload_and_cuts_nobody(case: Deployed) -> None:
    before = host_key(case.port)
    with case.sftp() as sftp:
        announce_next(case.home)
        retire_first(case.home, now=True)
        assert host_key(case.port) == before
        case.service.process.send_signal(signal.SIGHUP)
        case.service.wait_for("READY=1")
        assert {host_key(case.port) for _ in range(4)} != {before}
        assert sftp.listdir("/")


# ---------------------------------------------------------------- vendors change


def test_withdrawn_keys_cut_their_sessions_at_once_and_no_others(case: Deployed) -> None:
    other = make_key(case.folder, "other")
    register(case.home, "boom", other)
    with case.sftp() as one, case.sftp() as two, paramiko.Transport(("127.0.0.1", case.port)) as boom:
        boom.connect(username="boom", pkey=paramiko.PKey.from_path(other))
        with case.home.ledger.change("administrator") as change:
            remove_vendor(change, "cito")
        until(lambda: not transport_of(one).is_active() and not transport_of(two).is_active(), patience=5)
        client = paramiko.SFTPClient.from_transport(boom)
        assert client is not None and "leveringen" in client.listdir("/")


def test_a_limit_of_one_vendor_applies_to_a_session_that_is_there(case: Deployed) -> None:
    with case.sftp() as sftp:
        with case.home.ledger.change("administrator") as change:
            set_limits(change, "cito", {"max_file_bytes": 100})

        def refused() -> bool:
            try:
                with sftp.open("leveringen/x.age.part", "wb") as file:
                    file.write(bytes(101))
            except OSError as error:
                return "[too-large]" in str(error)
            return False

        until(refused, patience=5)


# ---------------------------------------------------------------- figures and log lines


def test_figures_and_log_lines_tell_the_same_story(case: Deployed) -> None:
    data = os.urandom(MIB)
    with case.sftp() as sftp:
        with sftp.open("leveringen/secretname.age", "wb") as file:
            file.write(data)
        read = len(sftp.open("sleutels/sluis.age.txt").read())
        with pytest.raises(OSError):
            sftp.remove("leveringen/secretname.age")
        figures = case.figures()
        assert figures["sluis_intake_sessions"] == 1 and figures["sluis_intake_unauthenticated"] == 0
    assert figures["sluis_intake_received_bytes_total"] == figures["sluis_intake_delivered_bytes_total"] == MIB
    assert figures["sluis_intake_delivered_files_total"] == figures["sluis_intake_close_seconds_count"] == 1
    assert figures["sluis_intake_sent_bytes_total"] == read
    assert figures["sluis_intake_refusals_total|not-allowed"] == 1
    assert figures["sluis_intake_logins_total|ok"] == figures["sluis_intake_connections_total|accepted"] == 1
    assert figures["sluis_intake_doors"] == 2 and figures["sluis_intake_door_restarts_total"] == 0
    until(lambda: case.figures()["sluis_intake_backlog_files"] == 0)
    assert case.service.terminate() == 0
    (drop,) = drops(case.home)
    lines = {line["event"]: line for line in case.service.lines()}
    assert lines["drop.received"]["request"] == drop.request != ""
    assert lines["drop.received"]["session"] == lines["session.began"]["session"] == lines["session.ended"]["session"]
    ended = lines["session.ended"]
    assert (ended["received"], ended["sent"], ended["files"], ended["refusals"]) == (MIB, read, 1, 1)
    assert "secretname" not in case.service.log.read_text()


def test_what_the_ledger_does_not_have_yet_is_counted(case: Deployed) -> None:
    with case.sftp() as sftp:
        with case.home.ledger.change("somebody who takes their time"), sftp.open("leveringen/x.age", "wb") as file:
            file.write(b"x")
            file.close()  # acknowledged although the database is locked
            until(lambda: case.figures()["sluis_intake_backlog_files"] == 1)
        until(lambda: case.figures()["sluis_intake_backlog_files"] == 0)
        assert [drop.file_name for drop in drops(case.home)] == ["x.age"]


def test_health_is_that_of_every_process(case: Deployed) -> None:
    address = f"http://127.0.0.1:{case.metrics_port}"
    with urlopen(f"{address}/healthz", timeout=30) as answer:
        assert answer.read() == b"ok\n"
    door = case.service.doors()[0]
    door.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(HTTPError) as ill:
            urlopen(f"{address}/healthz", timeout=30)
        assert ill.value.code == 503
    finally:
        door.send_signal(signal.SIGCONT)
    with pytest.raises(HTTPError) as nothing:
        urlopen(f"{address}/etc/passwd", timeout=30)
    assert nothing.value.code == 404


# ---------------------------------------------------------------- who connects


def through_proxy(port: int, told: bytes, vendor: str, key: Path) -> bool:
    """Whether the vendor gets in on a connection that begins with `told`."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.sendall(told)
        transport = paramiko.Transport(line)
        try:
            transport.connect(username=vendor, pkey=paramiko.PKey.from_path(key))
        except (paramiko.SSHException, EOFError, OSError):
            return False
        finally:
            transport.close()
        return True


def test_behind_a_balancer_the_address_is_the_clients(tmp_path: Path) -> None:
    with deployed(tmp_path, proxies=["127.0.0.1/32"]) as case:
        key = make_key(tmp_path, "listed")
        register(case.home, "boom", key, "203.0.113.0/24")
        told = header("203.0.113.9", "192.0.2.1", 40_000, 22, b"\x04\x00\x02xy")
        assert through_proxy(case.port, told, "boom", key)
        assert not through_proxy(case.port, header("198.51.100.7", "192.0.2.1", 40_000, 22), "boom", key)
        assert not through_proxy(case.port, b"", "cito", case.key), "a proxy has to say for whom"
        assert [line["origin"] for line in case.service.lines() if line["event"] == "session.began"] == ["203.0.113.9"]


def test_from_anywhere_else_a_header_is_bad_ssh(case: Deployed) -> None:
    assert not through_proxy(case.port, header("203.0.113.9", "192.0.2.1", 40_000, 22), "cito", case.key)


def noise(port: int) -> bytes:
    """What comes back after something that is no SSH."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n" * 20)
        answer = b""
        try:
            while piece := line.recv(4096):
                answer += piece
        except OSError:
            pass
        return answer


def test_an_address_that_speaks_no_ssh_is_shut_out_for_a_while(case: Deployed) -> None:
    for _ in range(40):
        if not noise(case.port):
            break
    else:
        pytest.fail("nobody minds")
    assert case.figures()["sluis_intake_connections_total|shut-out"] >= 1
    with pytest.raises((paramiko.SSHException, EOFError, OSError)), case.sftp():
        pass


def test_a_vendors_own_listed_address_is_slowed_and_never_shut_out(tmp_path: Path) -> None:
    with deployed(tmp_path) as case:
        key = make_key(tmp_path, "listed")
        register(case.home, "boom", key, "127.0.0.0/8")
        until(lambda: [line for line in case.service.lines() if line["event"] == "defender.shut-out"] or not noise(case.port))
        until(lambda: through_proxy(case.port, b"", "boom", key), patience=15)  # it is out for 30 s as soon as it is nobody's own


def test_memory_before_a_login_is_bounded(tmp_path: Path) -> None:
    """As many connections as may be, each with a handshake begun and as much sent as the endpoint takes."""
    with deployed(tmp_path, max_unauthenticated=100, max_unauthenticated_per_address=100, login_timeout_seconds=60) as case:
        before = sum(process.memory_full_info().uss for process in case.service.doors())
        plugs = [socket.create_connection(("127.0.0.1", case.port), 30) for _ in range(150)]
        try:
            for plug in plugs:
                plug.setblocking(False)
                try:
                    plug.send(b"SSH-2.0-plug\r\n" + b"\x00\x00\x88\xb8\x04" + bytes(1 << 20))
                except OSError:
                    continue  # cut at the door
            until(lambda: case.figures()["sluis_intake_connections_total|accepted"] >= 60)
            figures = case.figures()
            assert figures["sluis_intake_unauthenticated"] <= 100
            grown = sum(process.memory_full_info().uss for process in case.service.doors()) - before
            assert grown / 100 < 400 * 1024, f"{grown / 100 / 1024:.0f} KiB for each"
        finally:
            for plug in plugs:
                plug.close()
        until(lambda: case.figures()["sluis_intake_unauthenticated"] == 0)


def leave(process: psutil.Process, descriptors: int) -> None:
    """Let the process open so many more descriptors."""
    used = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}
    free = [number for number in range(1024) if number not in used]
    process.rlimit(psutil.RLIMIT_NOFILE, (free[descriptors], process.rlimit(psutil.RLIMIT_NOFILE)[1]))


def test_without_descriptors_the_front_waits_and_goes_on(tmp_path: Path) -> None:
    with deployed(tmp_path) as case:
        front = case.service.family()["front"]
        usual = front.rlimit(psutil.RLIMIT_NOFILE)
        leave(front, 1)
        with socket.create_connection(("127.0.0.1", case.port), 30) as half:  # there is one for it, and none to hand it over with
            assert half.recv(100) == b""
        leave(front, 0)
        with socket.create_connection(("127.0.0.1", case.port), 30) as plug:
            until(lambda: [line for line in case.service.lines() if line["event"] == "connection.no-descriptors"])
            front.rlimit(psutil.RLIMIT_NOFILE, usual)
            assert plug.recv(100).startswith(b"SSH-2.0-"), "it waited in the kernel"
