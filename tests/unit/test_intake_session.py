"""Logging in, limits, losing the line, taking over, stopping: an endpoint with paramiko at the other end."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from sqlalchemy.exc import OperationalError

from gateway.drop.lifecycle import Event
from gateway.store.ledger import drop_of
from gateway.store.vendors import remove_vendor
from tests.support.intake import (
    LedgerAway,
    Running,
    audit_rows,
    content,
    drops,
    files_below,
    make_home,
    make_key,
    register,
    running,
    sftp_session,
)

#: each of these takes a part of a second or more: `make check` leaves them out
pytestmark = pytest.mark.slow


class Case:
    def __init__(self, folder: Path, **intake: int) -> None:
        self.home = make_home(folder, **intake)
        self.key = make_key(folder)
        register(self.home, "cito", self.key)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.fixture
def intake(case: Case) -> Iterator[Running]:
    with running(case.home) as server:
        yield server


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def cut(sftp: paramiko.SFTPClient) -> None:
    sftp.get_channel().get_transport().sock.shutdown(socket.SHUT_RDWR)


def refused(port: int, vendor: str, key: Path) -> bool:
    try:
        with sftp_session(port, vendor, key):
            return False
    except (paramiko.SSHException, EOFError):
        return True


# ---------------------------------------------------------------- logging in


def test_key_changes_work_without_a_restart(case: Case, intake: Running, tmp_path: Path) -> None:
    other = make_key(tmp_path, "other")
    assert refused(intake.port, "boom", other)
    assert refused(intake.port, "cito", other)
    register(case.home, "boom", other)
    assert not refused(intake.port, "boom", other)
    assert refused(intake.port, "boom", case.key), "another vendor's key"
    with case.home.ledger.change("administrator") as change:
        remove_vendor(change, "boom")
    assert refused(intake.port, "boom", other)


def test_only_from_its_networks(case: Case, intake: Running, tmp_path: Path) -> None:
    far, near = make_key(tmp_path, "far"), make_key(tmp_path, "near")
    register(case.home, "far", far, "192.0.2.0/24")
    register(case.home, "near", near, "127.0.0.0/8")
    assert refused(intake.port, "far", far)
    assert not refused(intake.port, "near", near)


def test_only_public_keys_are_offered(intake: Running) -> None:
    for vendor in ("cito", "nobody"):
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", intake.port)))
        transport.start_client(timeout=20)
        with pytest.raises(paramiko.BadAuthenticationType) as told:
            transport.auth_none(vendor)
        assert told.value.allowed_types == ["publickey"], vendor
        transport.close()


def test_algorithms(intake: Running) -> None:
    """What the endpoint offers, as it says it itself: nothing that an audit fails, the best first."""
    done = subprocess.run(
        ["ssh", "-vv", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
         "-o", "IdentityFile=none", "-p", str(intake.port), "cito@127.0.0.1"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    offered = done.stderr.split("peer server KEXINIT proposal")[1]
    lines = [line.removeprefix("debug2: ").partition(": ") for line in offered.splitlines()]
    said = {name: value.split(",") for name, _, value in reversed(lines)}  # ours comes first
    kex = [name for name in said["KEX algorithms"] if not name.startswith(("ext-info", "kex-strict"))]
    assert "curve25519-sha256" in kex
    assert all(name.startswith(("curve25519", "mlkem768x25519")) for name in kex)
    assert any(name.startswith("kex-strict-s") for name in said["KEX algorithms"]), "strict key exchange (Terrapin)"
    assert said["host key algorithms"] == ["ssh-ed25519"]
    assert said["ciphers stoc"][:2] == ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com"]
    assert all(name.startswith("aes") and "cbc" not in name for name in said["ciphers ctos"])
    assert [name.endswith("-etm@openssh.com") for name in said["MACs ctos"]] == [True, True, False, False]
    assert not any("sha1" in name or "umac" in name or "md5" in name for name in said["MACs ctos"] + kex)
    assert said["compression ctos"] == ["none"]


def test_sessions_of_one_vendor_are_counted(tmp_path: Path) -> None:
    case = Case(tmp_path, max_sessions_per_vendor=2)
    other = make_key(tmp_path, "other")
    register(case.home, "boom", other)
    with running(case.home) as intake, sftp_session(intake.port, "cito", case.key) as one:
        with sftp_session(intake.port, "cito", case.key):
            assert refused(intake.port, "cito", case.key)
            assert not refused(intake.port, "boom", other)
        until(lambda: intake.endpoint.desk.sessions("cito") == 1)
        with sftp_session(intake.port, "cito", case.key):
            assert sorted(one.listdir("/")) == ["bezwaren", "leveringen", "ontvangst", "sleutels"]


def test_a_login_takes_only_so_long(tmp_path: Path) -> None:
    case = Case(tmp_path, login_timeout_seconds=1)
    with running(case.home) as intake, socket.create_connection(("127.0.0.1", intake.port), 30) as plug:
        while plug.recv(4096):
            pass  # the endpoint ends it
        until(lambda: intake.endpoint.listener.doorstep.count == 0)


def test_an_idle_connection_ends(tmp_path: Path) -> None:
    with running(Case(tmp_path, idle_timeout_seconds=1).home) as intake, sftp_session(intake.port, "cito", tmp_path / "id") as sftp:
        transport = sftp.get_channel().get_transport()
        until(lambda: not transport.is_active())


def test_whose_keys_are_withdrawn_is_cut(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        transport = sftp.get_channel().get_transport()
        with case.home.ledger.change("administrator") as change:
            remove_vendor(change, "cito")
        until(lambda: not transport.is_active())


def test_a_file_may_be_so_large(tmp_path: Path) -> None:
    case = Case(tmp_path, max_file_bytes=100_000)
    with running(case.home) as intake, sftp_session(intake.port, "cito", case.key) as sftp:
        with sftp.open("leveringen/ok.age", "wb") as file:
            file.write(bytes(100_000))
        with pytest.raises(OSError, match="too-large"), sftp.open("leveringen/x.age", "wb") as file:
            file.write(bytes(100_001))  # the client is told, closes in good order, and has not delivered
    assert [drop.file_name for drop in drops(case.home)] == ["ok.age"]


# ---------------------------------------------------------------- the line


def test_a_lost_connection_is_not_a_close_and_a_close_is(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        file = sftp.open("leveringen/x.age", "wb")
        file.write(b"half")
        file.flush()
        cut(sftp)
    until(lambda: not intake.unfinished("cito")["x.age"].held)
    assert drops(case.home) == []
    assert intake.unfinished("cito")["x.age"].size == 4
    with sftp_session(intake.port, "cito", case.key) as sftp, sftp.open("leveringen/x.age", "r+b") as file:
        file.seek(4)
        file.write(b" and half")
    assert [content(case.home, drop) for drop in drops(case.home)] == [b"half and half"]


def test_an_ended_channel_is_not_a_close_either(case: Case, intake: Running) -> None:
    """The client ends its sftp session in good order (EOF) and forgets its handle."""
    with sftp_session(intake.port, "cito", case.key) as sftp:
        file = sftp.open("leveringen/x.age", "wb")  # kept: paramiko closes a handle that nobody refers to
        file.write(b"half")
        sftp.get_channel().shutdown_write()
        until(lambda: not intake.unfinished("cito")["x.age"].held)
    assert drops(case.home) == []


def test_a_newer_connection_takes_over(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as old, sftp_session(intake.port, "cito", case.key) as new:
        stale = old.open("leveringen/x.age", "wb")
        stale.write(b"abc")
        stale.flush()
        with new.open("leveringen/x.age", "ab") as fresh:
            assert fresh.tell() == 3
            fresh.write(b"def")
            fresh.flush()
            with pytest.raises(OSError, match="taken-over"):
                stale.write(b"xyz")
                stale.flush()
    assert [content(case.home, drop) for drop in drops(case.home)] == [b"abcdef"]


def test_what_arrived_can_not_be_changed_but_can_be_begun_anew(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        file = sftp.open("leveringen/x.age.part", "wb")
        file.write(b"0123456789")
        file.seek(3)
        file.write(b"345")
        file.seek(3)
        with pytest.raises(OSError, match="rewritten"):
            file.write(b"3x5")
            file.flush()
        file.close()
        before = intake.unfinished("cito")["x.age.part"]
        with sftp.open("leveringen/x.age.part", "wb") as file:
            file.write(b"other")
        after = intake.unfinished("cito")["x.age.part"]
        assert before.uid != after.uid, "another key"
        assert {path.stem for path in files_below(case.home.path / "incoming")} == {after.uid}
        assert [path.name for path in files_below(case.home.run)] == [after.uid]
        sftp.posix_rename("leveringen/x.age.part", "leveringen/x.age")
    assert [content(case.home, drop) for drop in drops(case.home)] == [b"other"]


def test_out_of_order_and_with_a_gap(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        file = sftp.open("leveringen/x.age", "wb")
        file.seek(5)
        file.write(b"56789")
        file.close()  # paramiko does not tell that this was refused
        with pytest.raises((OSError, paramiko.SSHException)):  # so its session is ended
            sftp.stat("leveringen/x.age")
        assert drops(case.home) == []
    with sftp_session(intake.port, "cito", case.key) as sftp:
        assert sftp.stat("leveringen/x.age").st_size == 0, "from where it can be resumed"
        with sftp.open("leveringen/x.age", "r+b") as file:
            file.write(b"01234")
    assert [content(case.home, drop) for drop in drops(case.home)] == [b"0123456789"]


def test_a_truncated_delivery_is_sent_again_under_its_name(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        sftp.open("leveringen/x.age", "wb").close()
        (first,) = drops(case.home)
        with case.home.ledger.change("worker") as change:
            change.advance(drop_of(change.session, first.id), Event.TRUNCATED)
        assert sftp.stat("leveringen/x.age").st_size == 0
        with sftp.open("leveringen/x.age", "wb") as file:
            file.write(b"whole")
        with pytest.raises(PermissionError):
            sftp.open("leveringen/x.age", "wb")
    assert [drop.state for drop in drops(case.home)] == ["expired", "received"]


# ---------------------------------------------------------------- stopping and watching


def test_stopped_in_order_and_resumed(case: Case) -> None:
    with running(case.home) as intake, sftp_session(intake.port, "cito", case.key) as sftp:
        file = sftp.open("bezwaren/x.age", "wb")
        file.seek(4)
        file.write(b"4567")  # even with a gap
        file.flush()
    with running(case.home) as intake, sftp_session(intake.port, "cito", case.key) as sftp, sftp.open("bezwaren/x.age", "r+b") as file:
        file.write(b"0123")
        file.seek(8)
        file.write(b"89")
    assert [content(case.home, drop) for drop in drops(case.home)] == [b"0123456789"]


def test_what_nobody_finishes_is_destroyed(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        sftp.open("leveringen/x.age.part", "wb").close()
        kept = sftp.open("leveringen/y.age.part", "wb")
        assert set(intake.unfinished("cito")) == {"x.age.part", "y.age.part"}
        intake.run(intake.endpoint.desk.expire(keep_seconds=-60))
        assert set(intake.unfinished("cito")) == {"y.age.part"}, "not what is being written"
        kept.close()
    intake.run(intake.endpoint.desk.expire())
    assert set(intake.unfinished("cito")) == {"y.age.part"}, "within its time"
    assert len(files_below(case.home.run)) == 1


def test_nothing_is_destroyed_that_can_not_be_written_down(case: Case, intake: Running) -> None:
    """The ledger is away when an upload's time is over: it stays until there is an entry of its end."""
    with sftp_session(intake.port, "cito", case.key) as sftp:
        sftp.open("leveringen/x.age.part", "wb").close()
    with LedgerAway(case.home, after=0), pytest.raises(OperationalError):
        intake.run(intake.endpoint.desk.expire(keep_seconds=-60))
    assert set(intake.unfinished("cito")) == {"x.age.part"}
    intake.run(intake.endpoint.desk.expire(keep_seconds=-60))
    assert intake.unfinished("cito") == {} and files_below(case.home.run) == []
    assert [(row.object, row.detail["folder"]) for row in audit_rows(case.home, "upload.expired")] == [("vendor:cito", "leveringen")]


def test_receipts_and_keys_are_read_only(case: Case, intake: Running) -> None:
    mine, other = case.home.receipts("cito"), case.home.receipts("boom")
    for folder, name in (
        (mine, "d20261121-aaaaaaaaaaaaaaaa.json"),
        (other, "d20261121-bbbbbbbbbbbbbbbb.json"),
        (mine, ".secret"),
        (mine, "notes"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    (mine / "d20261121-cccccccccccccccc.txt").symlink_to(case.home.path / "sluis.toml")
    with sftp_session(intake.port, "cito", case.key) as sftp:
        assert sftp.listdir("ontvangst") == ["d20261121-aaaaaaaaaaaaaaaa.json"]
        assert sftp.open("ontvangst/d20261121-aaaaaaaaaaaaaaaa.json").read() == b"{}"
        assert sftp.listdir("sleutels") == ["sluis.age.txt", "sluis.sleutels.json", "sluis.vkey.txt"]
        assert sftp.open("sleutels/sluis.age.txt").read().decode().strip() == case.home.recipients.public()
        for name in (".secret", "notes", "d20261121-bbbbbbbbbbbbbbbb.json", "d20261121-cccccccccccccccc.txt"):
            with pytest.raises(FileNotFoundError):
                sftp.open(f"ontvangst/{name}")
        for name in ("portal.pem", "audit-origin.txt", "epochs"):
            with pytest.raises(FileNotFoundError):
                sftp.stat(f"sleutels/{name}")


def test_refusals_stand_in_the_audit_log_without_names(case: Case, intake: Running) -> None:
    with sftp_session(intake.port, "cito", case.key) as sftp:
        with pytest.raises(OSError, match="name-number"):
            sftp.open("leveringen/111222333.age", "wb")
        with pytest.raises(FileNotFoundError):
            sftp.stat("leveringen/absent")
    (row,) = audit_rows(case.home, "sftp.open")
    assert (row.actor, row.origin, row.object, row.result, row.detail) == ("vendor:cito", "127.0.0.1", "vendor:cito", "name-number", {})
