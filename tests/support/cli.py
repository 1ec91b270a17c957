"""The command line in this process: what it answers, or how it refuses."""

import io
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.cli.app import run
from gateway.store.home import Home
from gateway.store.models import Vendor
from keys.secret import Secret
from tests.support.ledgers import a_drop

#: a BSN and an onderwijsnummer that pass the elfproef
BSN, OTHER_BSN, ONDERWIJSNUMMER = "111222333", "123456009", "100000004"
SCHOOLS = ("01AA00", "01AB00", "02BB00")


@dataclass
class Cli:
    home: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: object, stdin: str = "") -> tuple[int, str, str]:
        """Exit status, standard output and standard error of `sluis --home … arguments`."""
        self.capsys.readouterr()
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = run(["--home", str(self.home), *map(str, arguments)])
        out, err = self.capsys.readouterr()
        return status, out, err

    def __call__(self, *arguments: object, stdin: str = "") -> Any:
        """The JSON answer of a command that does its work."""
        status, out, err = self.run("--json", *arguments, stdin=stdin)
        assert status == 0, err
        return json.loads(out)

    def refused(self, *arguments: object, status: int = 1, stdin: str = "", hint: bool = True) -> str:
        """What a command says that ends with `status`: one clear line and a hint; nothing on standard output, no traceback."""
        got, out, err = self.run(*arguments, stdin=stdin)
        assert got == status, (got, out, err)
        assert out == "" and "Traceback" not in err
        lines = err.rstrip("\n").split("\n")
        assert lines[0].startswith("sluis: ") and len(lines) == (2 if hint else 1), err
        return err

    def opened(self) -> Home:
        return Home.open(self.home)


def public_key(folder: Path, name: str = "vendor") -> Path:
    path = folder / f"{name}.pub"
    key = Ed25519PrivateKey.generate().public_key()
    path.write_bytes(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" somebody@somewhere\n")
    return path


def register_file(folder: Path, schools: dict[str, str], name: str = "scholen.csv") -> Path:
    """A DUO CSV of these schools (code → board)."""
    lines = ["BEVOEGD GEZAG NUMMER;BEVOEGD GEZAG NAAM;VESTIGINGSCODE;VESTIGINGSNAAM"]
    lines += [f"{board};Stichting {board};{code};Basisschool {code}" for code, board in schools.items()]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def days(**ahead: int) -> list[str]:
    """Options of `campaign create` in days from today."""
    usual = {"enrol_until": 10, "objections_from": 11, "objections_until": 20, "deliver_until": 30}
    today = date.today()
    found = [
        part
        for name, days in {**usual, **ahead}.items()
        for part in (f"--{name.replace('_', '-')}", (today + timedelta(days=days)).isoformat())
    ]
    return [*found, "--publish-from", f"{today + timedelta(days=60)}T09:00"]


def begin(sluis: Cli, folder: Path, campaign: str = "2026-M", **ahead: int) -> None:
    """Two boards with three schools, a vendor, a campaign (`days`) and one enrolment that is final."""
    sluis(
        "register", "schools", register_file(folder, dict(zip(SCHOOLS, ("10001", "10001", "10002"), strict=True))), "--as-of", "2020-08-01"
    )
    sluis("vendor", "add", "cito", "--ssh-key", public_key(folder))
    sluis("campaign", "create", campaign, *days(**ahead))
    today = date.today().isoformat()
    sluis("enrol", "add", "10001", "--campaign", campaign, "--vendor", "cito", "--contract", today, "--form", today)


def deliver(home: Home, number: int = 0, age_days: float = 0, campaign: str | None = "2026-M", **changes: Any) -> str:
    """A drop in the ledger with its key and its bytes on disk, received so many days ago; answers its id."""
    at = home.clock() - timedelta(days=age_days)
    drop = a_drop(at, number, campaign=campaign, **changes)
    home.mortal.create("drops", drop.id, Secret(b"sealed"))
    home.blob(drop.id).write_bytes(bytes(drop.bytes))
    with home.ledger.change("intake", origin="cito") as change:
        if change.session.get(Vendor, drop.vendor) is None:
            change.session.add(Vendor(name=drop.vendor, created_at=change.now))
            change.session.flush()
        change.receive(drop)
    return drop.id
