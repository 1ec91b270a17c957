"""A vendor's desk before a real endpoint, and who answers its deliveries as the worker does."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pyrage
import pytest

from gateway.cli.app import run
from gateway.drop.lifecycle import Event, State
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.worker.receipts import write_receipt
from keys.secret import Secret
from tests.support.intake import Running, content, drops, make_key, register, until


class Receipts(threading.Thread):
    """Answers each drop as the worker does: checked with this event, receipt written."""

    def __init__(self, home: Home, event: Event) -> None:
        super().__init__(daemon=True)
        self._home, self._event = home, event
        self._stop_it = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stop_it.wait(0.05):
            for drop in drops(self._home):
                if drop.state == State.RECEIVED:
                    write_receipt(self._home, drop.id)
                    with self._home.ledger.change("worker") as change:
                        change.advance(drop_of(change.session, drop.id), self._event)
                    write_receipt(self._home, drop.id)

    def stop(self) -> None:
        self._stop_it.set()
        self.join()


class Desk:
    """A vendor's desk: its files, its key, and the command."""

    def __init__(self, folder: Path, home: Home, intake: Running, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.home, self.intake, self._capsys = folder, home, intake, capsys
        self.key = make_key(folder)
        register(home, "cito", self.key)
        self.outbox = folder / "outbox"
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{intake.port} {self.host_key()}\n")
        self.known_hosts = known
        self.known_gateways = folder / "config" / "known_gateways"
        self.said = ""

    def host_key(self) -> str:
        import asyncssh

        return asyncssh.import_private_key(self.home.keystore.read("ssh", "host").reveal()).export_public_key().decode().strip()

    def file(self, name: str, size: int = 50_000) -> Path:
        path = self.folder / name
        path.write_bytes(b"noise"[:size] + os.urandom(max(0, size - 5)))  # it must not begin as an encrypted file does
        return path

    def send(self, *arguments: object, port: int | None = None, status: int = 0, key: Path | None = None) -> Any:
        """The command's JSON answer, or what it says when it fails."""
        return self.run("send", *arguments, "--no-check", port=port, status=status, key=key)

    def run(self, command: str, *arguments: object, port: int | None = None, status: int = 0, key: Path | None = None) -> Any:
        common = ["--to", f"sftp://cito@127.0.0.1:{port or self.intake.port}", "--key", key or self.key]
        common += ["--known-hosts", self.known_hosts, "--known-gateways", self.known_gateways, "--lang", "en"]
        common += ["--outbox", self.outbox] if command == "send" else []
        if port is not None:
            self.known_hosts.write_text(f"[127.0.0.1]:{port} {self.host_key()}\n")
        self._capsys.readouterr()
        assert run(["--json", "deliver", command, *map(str, [*common, *arguments])]) == status
        told = self._capsys.readouterr()
        self.said = told.err
        assert "Traceback" not in told.err
        return json.loads(told.out) if told.out else told.err

    def broken_off(self) -> int:
        """How much is there of the one upload that was broken off [bytes], once the intake has seen that the line broke."""
        until(lambda: not any(upload.held for upload in self.intake.unfinished("cito").values()))
        (upload,) = self.intake.unfinished("cito").values()
        return upload.size

    def opened(self) -> dict[str, bytes]:
        """What was delivered, by name, decrypted with the gateway's recipient keys."""
        identities = [pyrage.x25519.Identity.from_str(_text(secret)) for secret in self.home.recipients.identities().values()]
        return {drop.file_name: pyrage.decrypt(content(self.home, drop), identities) for drop in drops(self.home)}


def _text(secret: Secret) -> str:
    return secret.reveal().decode().strip()
