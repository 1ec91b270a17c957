"""What `sluis serve` tells the service manager."""

import socket
from pathlib import Path

import pytest

from gateway.cli.serve import notify


def test_a_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("left_behind", [True, False])
def test_one_that_is_gone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_behind: bool) -> None:
    if left_behind:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notify("STOPPING=1")
