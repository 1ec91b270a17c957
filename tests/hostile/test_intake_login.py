"""Whoever wants in without the right to: tricks with names, methods, keys and floods. What a stolen, revoked or foreign key or
certificate gets is in tests/unit/test_intake_login.py and tests/interop/test_intake_certificates.py, with real clients."""

import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest
import structlog
from paramiko.common import cMSG_USERAUTH_REQUEST
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType

from gateway.intake.ssh.login import MAX_OFFERS, MAX_REQUESTS
from gateway.store.home import Home
from gateway.store.ssh_wire import string
from tests.support.intake import Running, make_home, register, running, sftp_session
from tests.support.ssh_keys import ParamikoKey, blob_of, make_pair, public_line

pytestmark = pytest.mark.slow


class Attack:
    """An endpoint with one vendor, and connections that have not logged in."""

    def __init__(self, home: Home, intake: Running, folder: Path) -> None:
        self.home, self.intake, self.port = home, intake, intake.port
        self.pair = make_pair(folder)
        register(home, "cito", self.pair)
        self.key = paramiko.PKey.from_path(self.pair)
        self.stranger: Any = paramiko.PKey.from_path(make_pair(folder, "stranger"))

    @contextmanager
    def connection(self) -> Iterator[paramiko.Transport]:
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", self.port), 20))
        try:
            transport.start_client(timeout=20)
            yield transport
        finally:
            transport.close()

    def forgiven(self) -> None:
        """What the defender holds against this machine is forgotten, so that a test sees what it is about."""
        self.intake.endpoint.defender.succeeded("127.0.0.1", "cito")
        self.intake.endpoint.defender.succeeded("127.0.0.1", "nobody")

    def unharmed(self) -> None:
        """The vendor comes in as always."""
        self.forgiven()
        with sftp_session(self.port, "cito", self.pair) as sftp:
            assert sorted(sftp.listdir("/")) == ["bezwaren", "leveringen", "ontvangst", "sleutels"]


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    home = make_home(tmp_path)
    with running(home) as intake:
        yield Attack(home, intake, tmp_path)


def tried(attempt: Callable[[], object]) -> str:
    """How an attempt to log in ended: `in`, `refused`, or `cut` when the connection did not survive it."""
    try:
        attempt()
        return "in"
    except (AuthenticationException, BadAuthenticationType) as told:
        return "cut" if "EOF" in str(told) or "shut down" in str(told) else "refused"
    except (paramiko.SSHException, EOFError, OSError):
        return "cut"


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "", " cito", "cito ", "Cito", "CITO", "cito\0", "cito\0x", "cito\n", "../cito", "cito/../cito", "cito%00", "*", "c\u0456to",
        "cito\u202e", "root", "x" * 1023, "x" * 1024, "x" * 30_000, "' OR 1=1 --", "vendor:cito", "\U0001f511",
    ],
)  # fmt: skip
def test_no_other_spelling_of_a_name_is_an_account(name: str, attack: Attack) -> None:
    with attack.connection() as transport:
        assert tried(lambda: transport.auth_publickey(name, attack.key)) in ("refused", "cut")
        assert not transport.is_authenticated()
    attack.unharmed()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"cito\xc3", b"\xed\xa0\x80"])
def test_names_that_are_no_utf8(name: bytes, attack: Attack) -> None:
    with attack.connection() as transport:
        assert tried(lambda: transport.auth_publickey(name, attack.key)) == "cut"
    attack.unharmed()


@pytest.mark.parametrize("name", ["\uff43\uff49\uff54\uff4f", "ci\u00adto"])
def test_what_saslprep_takes_for_the_name_is_the_account_with_its_own_key_only(name: str, attack: Attack) -> None:
    """RFC 4013 maps wide letters and soft hyphens: it is the same account then, under its usual name, and still needs its key."""
    with attack.connection() as transport:
        assert tried(lambda: transport.auth_publickey(name, attack.stranger)) == "refused"
    with attack.connection() as transport:
        assert tried(lambda: transport.auth_publickey(name, attack.key)) == "in"
        assert attack.intake.endpoint.desk.sessions("cito") == 1


def test_a_second_name_on_one_connection_is_a_search(attack: Attack) -> None:
    with attack.connection() as transport:
        assert tried(lambda: transport.auth_publickey("nobody", attack.key)) == "refused"
        assert tried(lambda: transport.auth_publickey("cito", attack.key)) == "cut"
    attack.unharmed()


# ---------------------------------------------------------------- methods


@pytest.mark.parametrize("account", ["cito", "nobody"])
def test_there_is_no_method_but_public_keys(account: str, attack: Attack) -> None:
    for attempt in (
        lambda transport: transport.auth_none(account),
        lambda transport: transport.auth_password(account, "", fallback=False),
        lambda transport: transport.auth_password(account, "geheim", fallback=False),
        lambda transport: transport.auth_interactive(account, lambda *_: []),
    ):
        with attack.connection() as transport:
            with pytest.raises(BadAuthenticationType) as told:
                attempt(transport)
            assert told.value.allowed_types == ["publickey"]
    attack.unharmed()


@pytest.mark.parametrize("method", [b"hostbased", b"gssapi-with-mic", b"gssapi-keyex", b"password\0", b"", b"x" * 5000, b"\xff"])
def test_other_methods_by_name(method: bytes, attack: Attack) -> None:
    with attack.connection() as transport:
        ask(transport, b"cito", method, b"\0" * 64)
        attack.unharmed()
        assert not transport.is_authenticated()


def ask(transport: paramiko.Transport, account: bytes, method: bytes, rest: bytes) -> None:
    """A request to log in as nobody would write it."""
    with suppress(paramiko.SSHException, EOFError):
        transport.auth_none(account.decode())  # asks for the service first
    message = paramiko.Message()
    message.add_bytes(cMSG_USERAUTH_REQUEST + string(account) + string(b"ssh-connection") + string(method) + rest)
    with suppress(OSError, EOFError):
        transport._send_user_message(message)


def test_nothing_is_to_be_had_before_the_login(attack: Attack) -> None:
    with attack.connection() as transport, pytest.raises((paramiko.SSHException, EOFError)):
        transport.open_session(timeout=10)
    with attack.connection() as transport:
        for _ in range(3):
            transport.global_request("tcpip-forward", ("", 0), wait=False)
        assert tried(lambda: transport.auth_publickey("cito", attack.stranger)) in ("refused", "cut")
    attack.unharmed()


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "blob",
    [
        b"", b"\0" * 4, b"\xff" * 4, string(b"ssh-ed25519"), string(b"ssh-ed25519") + string(b"x"),
        string(b"ssh-ed25519") + b"\xff\xff\xff\xff",
        string(b"ssh-dss") + string(b"1") * 4, string(b"ssh-rsa") + string(b"\3") + string(b"\0" + b"\xff" * 20_000),
        string(b"x509v3-ssh-rsa") + b"\0\0\xff\xff" + string(b"x"), string(b"x509v3-ecdsa-sha2-nistp256") + b"\xff\xff\xff\xff",
        string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"n" * 30_000), string(b"ssh-rsa-cert-v01@openssh.com") + string(b"n") * 9,
        string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\4" + b"\xff" * 64), string(b"null"), string(b"\0"),
    ],
)  # fmt: skip
def test_what_is_no_key_opens_nothing_and_breaks_nothing(blob: bytes, attack: Attack) -> None:
    for name in ("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", "rsa-sha2-512"):
        with attack.connection() as transport:
            key = ParamikoKey(name, blob, lambda _data: string(b"ssh-ed25519") + string(b"s" * 64))
            assert tried(lambda: transport.auth_publickey("cito", key)) in ("refused", "cut")  # noqa: B023
            assert not transport.is_authenticated()
        attack.forgiven()
    attack.unharmed()


def test_a_login_cannot_be_replayed_on_another_connection(attack: Attack) -> None:
    """What was signed holds the session's identifier (RFC 4252 §7)."""
    signatures: list[bytes] = []

    def sign(data: bytes) -> bytes:
        signatures.append(attack.key.sign_ssh_data(data).asbytes())
        return signatures[0]

    key = ParamikoKey("ssh-ed25519", blob_of(public_line(attack.pair)), sign)
    for expected in ("in", "refused"):
        with attack.connection() as transport:
            assert tried(lambda: transport.auth_publickey("cito", key)) == expected


# ---------------------------------------------------------------- floods


def test_one_connection_may_offer_only_so_many_keys(attack: Attack) -> None:
    with attack.connection() as transport:
        ended = []
        for _ in range(MAX_OFFERS + 1):
            attack.forgiven()
            ended.append(tried(lambda: transport.auth_publickey("cito", attack.stranger)))
        assert ended == ["refused"] * MAX_OFFERS + ["cut"]
    attack.unharmed()


def test_openssh_with_many_keys_is_told_so_and_comes_in_when_it_names_one(attack: Attack, tmp_path: Path) -> None:
    """It asks of each key whether it would do, and signs for none that would not: a flood of questions."""
    others = [make_pair(tmp_path, f"k{number}") for number in range(MAX_OFFERS + 1)]
    register(attack.home, "near", others[0], "127.0.0.0/8")  # its refusals slow this address down, and do not shut it out

    def sftp(*keys: Path) -> subprocess.CompletedProcess[str]:
        own = ["-F", "/dev/null", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oIdentitiesOnly=yes"]
        named = [option for key in keys for option in ("-i", str(key))]
        command = ["sftp", *own, "-oIdentityAgent=none", *named, "-P", str(attack.port), "-b", "-", "cito@127.0.0.1"]
        return subprocess.run(command, input="ls\n", capture_output=True, text=True, timeout=60)

    done = sftp(*others[1:], attack.pair)
    assert done.returncode != 0 and "Too many attempts" in done.stderr, done.stderr
    attack.forgiven()
    assert sftp(*others[1:4], attack.pair).returncode == 0


def test_one_connection_may_ask_only_so_often(attack: Attack) -> None:
    with attack.connection() as transport:
        asked = 0
        while asked < 10 * MAX_REQUESTS:
            if tried(lambda: transport.auth_password("cito", "geheim", fallback=False)) == "cut":
                break
            asked += 1
        assert asked <= MAX_REQUESTS
    attack.unharmed()


def test_who_fails_again_and_again_is_shut_out_and_the_vendor_on_its_own_network_is_not(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    pair = make_pair(tmp_path)
    stranger = paramiko.PKey.from_path(make_pair(tmp_path, "stranger"))
    register(home, "cito", pair)
    with running(home) as intake:
        attack = Attack.__new__(Attack)
        attack.port, attack.intake = intake.port, intake
        threads = [threading.Thread(target=_fail, args=(attack, stranger)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        with pytest.raises((paramiko.SSHException, EOFError, OSError)), sftp_session(intake.port, "cito", pair):
            pass
        register(home, "far", make_pair(tmp_path, "far"), "127.0.0.0/8")
        until(lambda: intake.endpoint.watch.own("127.0.0.1"))
        with sftp_session(intake.port, "cito", pair) as sftp:
            assert sftp.listdir("/")


def _fail(attack: Attack, stranger: paramiko.PKey) -> None:
    with suppress(paramiko.SSHException, EOFError, OSError), attack.connection() as transport:
        while tried(lambda: transport.auth_publickey("cito", stranger)) == "refused":
            continue


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


# ---------------------------------------------------------------- known and unknown


#: pairs of attempts that are compared, and how many of them may be slower on the same side: more come by chance once in 200,000 runs
PAIRS, TOO_MANY = 60, 47


def test_how_long_a_refusal_takes_does_not_tell_whether_the_account_exists(attack: Attack) -> None:
    """Interleaved, on connections that are open already, so that only the question itself is timed. A sign test over pairs needs no
    assumption about the noise of a busy machine."""
    slower = 0
    differences = []
    for number in range(PAIRS):
        accounts = ["cito", "nobody"] if number % 2 else ["nobody", "cito"]
        took = {}
        for account in accounts:
            attack.forgiven()
            with attack.connection() as transport:
                with suppress(BadAuthenticationType):
                    transport.auth_none(account)
                began = time.perf_counter()
                assert tried(lambda: transport.auth_publickey(account, attack.stranger)) == "refused"  # noqa: B023
                took[account] = time.perf_counter() - began
        slower += took["cito"] > took["nobody"]
        differences.append(took["cito"] - took["nobody"])
    told = f"median difference {statistics.median(differences) * 1e6:.0f} µs"
    assert PAIRS - TOO_MANY <= slower <= TOO_MANY, told


def test_what_a_refusal_says_does_not_tell_it_either(attack: Attack) -> None:
    said = []
    for account in ("cito", "nobody"):
        with attack.connection() as transport:
            with pytest.raises(AuthenticationException) as told:
                transport.auth_publickey(account, attack.stranger)
            said.append((str(told.value), transport.get_banner(), transport.remote_version))
        attack.forgiven()
    assert said[0] == said[1]


def test_a_name_that_is_no_account_stands_in_no_log_line(attack: Attack) -> None:
    """People type passwords there. That of an account does: its vendor will ask why it was refused. (asyncssh's own lines at this
    level are switched off by gateway/cli/logging.py.)"""
    with structlog.testing.capture_logs() as lines:
        for account in ("mijn-wachtwoord", "cito"):
            with attack.connection() as transport:
                assert tried(lambda: transport.auth_publickey(account, attack.stranger)) == "refused"  # noqa: B023
    refused = [line for line in lines if line["event"] == "login.refused"]
    assert [line.get("vendor") for line in refused] == [None, "cito"]
    assert "wachtwoord" not in str(lines)
