"""Coming in: what is proven, by whom, until when; what is written down; and that an endpoint which nobody asks lets nobody in."""

import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest

from gateway.intake.ssh.certificates import NotCertified, certified, signature_counts
from gateway.intake.ssh.connection import VendorConnection
from gateway.store.entrance import last_logins
from gateway.store.home import Home
from gateway.store.ssh_keys import fingerprint, read_public_keys
from gateway.store.ssh_offers import read_offer
from gateway.store.ssh_wire import Malformed, string
from gateway.store.vendors import Terms, add_ca, add_keys, add_vendor, extend_key, revoke_key
from tests.support.intake import LedgerAway, Running, audit_rows, make_home, register, running, sftp_session
from tests.support.ssh_keys import ParamikoKey, SecurityKey, blob_of, certify, make_pair, public_line

pytestmark = pytest.mark.slow

SK = "sk-ecdsa-sha2-nistp256@openssh.com"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path)


@pytest.fixture
def intake(home: Home) -> Iterator[Running]:
    with running(home) as server:
        yield server


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def comes_in(port: int, vendor: str, key: paramiko.PKey) -> bool:
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", port), 20))
    try:
        transport.connect(username=vendor, pkey=key)
        paramiko.SFTPClient.from_transport(transport).listdir("/")
        return True
    except (paramiko.SSHException, EOFError):
        return False
    finally:
        transport.close()


def key_of(pair: Path) -> paramiko.PKey:
    return paramiko.PKey.from_path(pair)


# ---------------------------------------------------------------- while it lasts


def test_a_withdrawn_key_cuts_its_sessions_within_a_second_and_no_other(home: Home, intake: Running, tmp_path: Path) -> None:
    one, two = make_pair(tmp_path, "one"), make_pair(tmp_path, "two")
    for key in (one, two):
        register(home, "cito", key)
    with sftp_session(intake.port, "cito", one) as cut, sftp_session(intake.port, "cito", two) as stays:
        began = time.monotonic()
        with home.ledger.change("administrator") as change:
            revoke_key(change, "cito", fingerprint(blob_of(public_line(one))))
        transport = cut.get_channel().get_transport()
        until(lambda: not transport.is_active(), 5)
        assert time.monotonic() - began < 1.0
        assert stays.listdir("/")
    assert not comes_in(intake.port, "cito", key_of(one))


def test_a_key_withdrawn_while_its_holder_comes_in_is_noticed(home: Home, intake: Running, tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    with sftp_session(intake.port, "cito", pair) as sftp:
        door = intake.endpoint.door
        assert door is not None
        (connection,) = door.connections
        connection.logged_in = False  # as if the last answer of the ledger were on its way still
        with home.ledger.change("administrator") as change:
            revoke_key(change, "cito", fingerprint(blob_of(public_line(pair))))
        intake.run(door.recheck())
        transport = sftp.get_channel().get_transport()
        assert transport.is_active()
        intake.loop.call_soon_threadsafe(connection.auth_completed)
        until(lambda: not transport.is_active(), 10)


def test_a_session_ends_when_its_key_does(home: Home, intake: Running, tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    with home.ledger.change("administrator") as change:
        add_vendor(change, "cito", read_public_keys(public_line(pair)), terms=Terms(valid_until=change.now + timedelta(hours=1)))
    with sftp_session(intake.port, "cito", pair) as sftp:
        transport = sftp.get_channel().get_transport()
        ends = home.clock() + timedelta(seconds=2)
        with home.ledger.change("administrator") as change:
            extend_key(change, "cito", fingerprint(blob_of(public_line(pair))), ends)
        assert sftp.listdir("/")
        until(lambda: not transport.is_active())
        assert timedelta(0) <= home.clock() - ends < timedelta(seconds=1), "neither too soon nor by the watch alone"


async def told_when_coming_in(port: int, pair: Path) -> tuple[int, str]:
    """0 for who is in and can look around; otherwise how the endpoint ended the connection."""
    try:
        async with (
            asyncssh.connect("127.0.0.1", port, username="cito", client_keys=[str(pair)], known_hosts=None, config=None) as connection,
            connection.start_sftp_client() as sftp,
        ):
            await sftp.listdir("sleutels")
            return 0, ""
    except asyncssh.DisconnectError as error:
        return error.code, error.reason


def test_a_ledger_that_is_away_at_any_moment_of_a_login_is_no_refusal(home: Home, intake: Running, tmp_path: Path) -> None:
    """The client is told to come back, nothing is held against it, and it comes in once the ledger is there again."""
    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    codes = []
    for after in range(40):
        with LedgerAway(home, after):
            code, reason = intake.run(told_when_coming_in(intake.port, pair))
        codes.append(code)
        if code:
            assert (code, "administratie" in reason) == (asyncssh.DISC_SERVICE_NOT_AVAILABLE, True), (after, reason)
        if not code:
            break
    assert codes[0] == asyncssh.DISC_SERVICE_NOT_AVAILABLE and len(codes) > 2 and codes[-1] == 0
    assert intake.run(told_when_coming_in(intake.port, pair)) == (0, "")
    assert intake.endpoint.desk.sessions("cito") == 0


def test_who_came_in_is_written_down(home: Home, intake: Running, tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    for _ in range(3):
        assert comes_in(intake.port, "cito", key_of(pair))
    intake.run(intake.endpoint.door.logins.close())  # type: ignore[union-attr]
    with home.ledger.view() as session:
        (login,) = last_logins(session, "cito").values()
    assert (login.fingerprint, login.logins, login.origin) == (fingerprint(blob_of(public_line(pair))), 3, "127.0.0.1")
    assert [row.object for row in audit_rows(home, "login")] == ["vendor:cito"]


def test_a_connection_without_room_is_refused_before_it_is_in(tmp_path: Path) -> None:
    home = make_home(tmp_path, max_sessions_per_vendor=1)
    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    with running(home) as intake, sftp_session(intake.port, "cito", pair):
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", intake.port), 20))
        with pytest.raises((paramiko.SSHException, EOFError)):
            transport.connect(username="cito", pkey=key_of(pair))
        assert not transport.is_authenticated()
        transport.close()


# ---------------------------------------------------------------- how it was signed


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
@pytest.mark.parametrize(("flags", "touch", "verified"), [(0, False, False), (1, True, False), (4, False, False), (5, True, True)])
def test_security_keys_must_be_touched_and_verified_where_that_is_asked(
    kind: str, flags: int, touch: bool, verified: bool, home: Home, intake: Running
) -> None:
    key = SecurityKey(kind, flags)
    strict = SecurityKey(kind, flags)
    with home.ledger.change("administrator") as change:
        add_vendor(change, "cito", read_public_keys(key.line))
        add_keys(change, "cito", read_public_keys(strict.line), Terms(verify_required=True))
    assert comes_in(intake.port, "cito", ParamikoKey(kind, key.blob, key.sign)) == touch
    assert comes_in(intake.port, "cito", ParamikoKey(kind, strict.blob, strict.sign)) == verified


@pytest.mark.parametrize(("flags", "good"), [(0, False), (1, True)])
@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_a_security_key_in_a_certificate_must_be_touched_too(
    kind: str, flags: int, good: bool, home: Home, intake: Running, tmp_path: Path
) -> None:
    """Whatever the certificate permits: `no-touch-required` is one of its extensions."""
    key, ca = SecurityKey(kind, flags), make_pair(tmp_path, "ca")
    (tmp_path / "sk.pub").write_text(key.line + "\n")
    trust(home, public_line(ca))
    line = certify(ca, tmp_path / "sk", options=["no-touch-required"])
    assert comes_in(intake.port, "cito", ParamikoKey(line.split()[0], blob_of(line), key.sign)) == good


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_a_security_key_may_be_the_ca(kind: str, home: Home, intake: Running, tmp_path: Path) -> None:
    ca, pair = SecurityKey(kind), make_pair(tmp_path, "key")
    trust(home, ca.line)
    made = blob_of(certify(make_pair(tmp_path, "other"), pair))
    offer = read_offer(made)
    assert offer.certificate is not None
    said = made[: made.rindex(string(offer.certificate.ca_blob))] + string(ca.blob)
    private = key_of(pair)

    def comes(certificate: bytes) -> bool:
        key = ParamikoKey("ssh-ed25519-cert-v01@openssh.com", certificate, lambda data: private.sign_ssh_data(data).asbytes())
        return comes_in(intake.port, "cito", key)

    assert comes(said + string(ca.sign(said)))
    assert not comes(said + string(ca.sign(said + b"x"))), "it signed something else"
    assert not comes(said + string(SecurityKey(kind).sign(said))), "another one signed"


def trust(home: Home, line: str) -> None:
    with home.ledger.change("administrator") as change:
        add_vendor(change, "cito", [])
        add_ca(change, "cito", read_public_keys(line)[0], [], Terms())


@pytest.mark.parametrize(("algorithm", "good"), [("rsa-sha2-512", True), ("rsa-sha2-256", True), ("ssh-rsa", False)])
def test_rsa_signs_with_sha2_only(algorithm: str, good: bool, home: Home, intake: Running, tmp_path: Path) -> None:
    pair = make_pair(tmp_path, kind="rsa")
    register(home, "cito", pair)
    private = asyncssh.read_private_key(pair)
    # what the request calls itself is not what counts; paramiko knows no SHA-1 any more, and need not know
    key = ParamikoKey("rsa-sha2-512", blob_of(public_line(pair)), lambda data: private.sign(data, algorithm.encode()))
    assert comes_in(intake.port, "cito", key) == good


def test_a_signature_of_something_else_opens_nothing(home: Home, intake: Running, tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    private = key_of(pair)
    for forged in (
        lambda _data: private.sign_ssh_data(b"something else").asbytes(),
        lambda data: private.sign_ssh_data(data).asbytes() + b"x",
        lambda data: private.sign_ssh_data(data).asbytes()[:-1],
        lambda _data: b"",
        lambda _data: string(b"ssh-ed25519"),
        lambda _data: string(b"\xff") + string(b"x" * 64),
    ):
        assert not comes_in(intake.port, "cito", ParamikoKey("ssh-ed25519", private.asbytes(), forged))
    assert comes_in(intake.port, "cito", ParamikoKey("ssh-ed25519", private.asbytes(), lambda data: private.sign_ssh_data(data).asbytes()))


@pytest.mark.parametrize(
    ("kind", "signature", "verify", "good"),
    [
        ("ssh-ed25519", string(b"ssh-ed25519") + string(b"s"), False, True),
        ("ssh-ed25519", string(b"ssh-ed25519") + string(b"s") + b"x", False, False),
        ("ssh-ed25519", string(b"ecdsa-sha2-nistp256") + string(b"s"), False, False),
        ("ssh-rsa", string(b"ssh-rsa-sha256@ssh.com") + string(b"s"), False, False),
        ("ssh-rsa", string(b"rsa-sha2-256") + string(b"s"), False, True),
        (SK, string(SK.encode()) + string(b"s") + b"\1" + bytes(4), False, True),
        (SK, string(SK.encode()) + string(b"s") + b"\1" + bytes(4), True, False),
        (SK, string(SK.encode()) + string(b"s") + b"\5" + bytes(4), True, True),
        (SK, string(b"webauthn-" + SK.encode()) + string(b"s") + b"\5" + bytes(4), False, False),
        (SK, string(SK.encode()) + string(b"s"), False, False),
    ],
)  # fmt: skip
def test_the_form_of_a_signature(kind: str, signature: bytes, verify: bool, good: bool) -> None:
    assert signature_counts(kind, signature, verify) == good


def test_no_byte_of_a_certificate_can_be_changed(tmp_path: Path) -> None:
    ca, pair = make_pair(tmp_path, "ca"), make_pair(tmp_path, "key")
    data = blob_of(certify(ca, pair, options=["source-address=192.0.2.0/24"]))
    assert certified(data, read_offer(data)) == blob_of(public_line(pair))
    taken = []
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            certified(changed, read_offer(changed))
            taken.append(at)
        except (Malformed, NotCertified):
            continue
    assert taken == []


def test_a_certificate_stands_for_no_other_key_than_was_decided_on(tmp_path: Path) -> None:
    """What asyncssh reads out of it must be what the vendor's CAs were asked about."""
    ca, mine, other = make_pair(tmp_path, "ca"), make_pair(tmp_path, "mine"), make_pair(tmp_path, "other")
    certificate, decided_on = blob_of(certify(ca, mine)), read_offer(blob_of(certify(ca, other)))
    with pytest.raises(NotCertified):
        certified(certificate, decided_on)


# ---------------------------------------------------------------- leaning on asyncssh


def test_asyncssh_still_asks_where_each_offer_passes() -> None:
    """VendorConnection sees each key through SSHServerConnection.validate_public_key. If this fails, a new version of asyncssh moved
    it: nobody can log in any more until gateway/intake/ssh/login.py watches the new place."""
    moved = f"asyncssh {asyncssh.__version__} moved SSHServerConnection.validate_public_key"
    wanted = ["self", "username", "key_data", "msg", "signature"]
    assert list(inspect.signature(asyncssh.SSHServerConnection.validate_public_key).parameters) == wanted, moved
    from asyncssh import auth

    asked = inspect.getsource(auth._ServerPublicKeyAuth._start)
    assert "await self._conn.validate_public_key(self._username, key_data," in asked, moved


def test_nobody_comes_in_unseen(home: Home, tmp_path: Path) -> None:
    class Door:
        def __init__(self) -> None:
            self.home, self.desk, self.metrics, self.logins, self.connections = home, None, None, None, set[Any]()

    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    connection = VendorConnection(Door(), "s", "127.0.0.1")  # type: ignore[arg-type]
    assert not connection.validate_public_key("cito", asyncssh.read_public_key(f"{pair}.pub")), "the key is the vendor's, but was not seen"
    assert connection.begin_auth("cito") is True and not connection.logged_in
    assert connection.session_requested() is False
    connection.auth_completed()
    assert not connection.logged_in


def test_every_way_in_but_public_keys_is_shut(home: Home) -> None:
    """Every method of asyncssh's server class is either decided on here, or one of those that refuse by themselves."""
    refusing = {
        "debug_msg_received", "connection_made", "connection_lost", "begin_auth", "auth_completed", "validate_gss_principal",
        "host_based_auth_supported", "validate_host_based_user", "validate_host_public_key", "validate_host_ca_key",
        "public_key_auth_supported", "validate_public_key", "validate_ca_key", "password_auth_supported", "validate_password",
        "change_password",
        "kbdint_auth_supported", "get_kbdint_challenge", "validate_kbdint_response", "session_requested", "connection_requested",
        "server_requested", "unix_connection_requested", "unix_server_requested", "tun_requested", "tap_requested",
    }  # fmt: skip
    known = {name for name, _ in inspect.getmembers(asyncssh.SSHServer, inspect.isfunction) if not name.startswith("_")}
    assert known == refusing, f"asyncssh {asyncssh.__version__} has another way in: decide on it in VendorConnection, and list it here"
    plain = asyncssh.SSHServer()
    key = asyncssh.generate_private_key("ssh-ed25519").convert_to_public()
    assert not plain.validate_ca_key("cito", key) and not plain.validate_host_ca_key("h", "127.0.0.1", 22, key)
    assert not plain.validate_host_public_key("h", "127.0.0.1", 22, key)
    assert not plain.connection_requested("h", 1, "h", 1) and not plain.server_requested("h", 1)
    assert not plain.unix_connection_requested("p") and not plain.unix_server_requested("p")
    assert not plain.tun_requested(None) and not plain.tap_requested(None)
    overridden = {name for name in known if name in vars(VendorConnection)}
    assert {"password_auth_supported", "kbdint_auth_supported", "host_based_auth_supported"} <= overridden
    assert {"validate_host_based_user", "validate_gss_principal", "validate_public_key", "session_requested"} <= overridden
