"""The same when the endpoint runs as it does in production: a front and two doors, each a process of its own."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.store.entrance import last_logins
from gateway.store.host_keys import announce_next, public_half, retire_first
from gateway.store.ssh_keys import fingerprint
from gateway.store.vendors import revoke_key
from tests.support.intake import Service, free_port, make_home, register, sftp_session
from tests.support.ssh_keys import blob_of, make_pair, public_line

pytestmark = pytest.mark.slow


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_a_withdrawn_key_is_cut_at_every_door_and_logins_are_noted_by_all(tmp_path: Path) -> None:
    home = make_home(tmp_path, processes=2, port=free_port())
    gone, stays = make_pair(tmp_path, "gone"), make_pair(tmp_path, "stays")
    for pair in (gone, stays):
        register(home, "cito", pair)
    service = Service(home.path, home.config.intake.port, tmp_path)
    try:
        with ExitStack() as sessions:
            cut = [sessions.enter_context(sftp_session(service.port, "cito", gone)) for _ in range(4)]  # two at each door
            kept = [sessions.enter_context(sftp_session(service.port, "cito", stays)) for _ in range(2)]
            with home.ledger.change("administrator") as change:
                revoke_key(change, "cito", fingerprint(blob_of(public_line(gone))))
            began = time.monotonic()
            transports = [sftp.get_channel().get_transport() for sftp in cut]
            until(lambda: not any(transport.is_active() for transport in transports))
            assert time.monotonic() - began < 1.0
            assert all(sftp.listdir("/") for sftp in kept)
    finally:
        assert service.terminate() == 0
    with home.ledger.view() as session:
        told = {key: login.logins for key, login in last_logins(session, "cito").items()}
    assert told == {fingerprint(blob_of(public_line(gone))): 4, fingerprint(blob_of(public_line(stays))): 2}


def test_a_reload_brings_the_next_host_key_to_every_door(tmp_path: Path) -> None:
    home = make_home(tmp_path, processes=2, port=free_port())
    pair = make_pair(tmp_path)
    register(home, "cito", pair)
    service = Service(home.path, home.config.intake.port, tmp_path)
    try:
        with sftp_session(service.port, "cito", pair) as stays:
            name = announce_next(home)
            retire_first(home, now=True)
            service.process.send_signal(signal.SIGHUP)
            service.wait_for("READY=1")
            for _ in range(2):
                with sftp_session(service.port, "cito", pair) as sftp:
                    shown = sftp.get_channel().get_transport().get_remote_server_key()
                    assert f"{shown.get_name()} {shown.get_base64()}" == public_half(home, name).text
            assert stays.listdir("/")
    finally:
        service.terminate()
