"""`sluis-deliver` from its wheel, with the vendor's libraries and no others, at a gateway whose roles run for real."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.drop.lifecycle import State
from gateway.store.host_keys import FIRST, public_half
from gateway.store.ledger import drop_of
from tests.support.gateway import Gateway
from tests.support.vendor_machine import VendorMachine, build_wheel, take_part

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> VendorMachine:
    folder = tmp_path_factory.mktemp("vendor")
    return VendorMachine(folder, build_wheel(folder))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway at which the schools of the samples take part, through cito."""
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    take_part(gateway)
    gateway.start()
    yield gateway
    gateway.stop()


class Line:
    """The vendor's machine, told once how to reach the gateway."""

    def __init__(self, machine: VendorMachine, gateway: Gateway) -> None:
        self.machine, self.gateway = machine, gateway
        self.key = shutil.copy(gateway.keys["cito"], machine.folder / "sleutel")
        self.host_key = public_half(gateway.home, FIRST).fingerprint

    def run(self, command: str, *arguments: object, status: int = 0) -> Any:
        known = ("--host-key", self.host_key)
        reach = ("--to", f"sftp://cito@127.0.0.1:{self.gateway.intake_port}", "--key", self.key, *known, "--timeout-seconds", 120)
        return json.loads(self.machine.deliver("--json", command, *arguments, *reach, status=status).stdout)


def test_nothing_of_a_server_is_there(machine: VendorMachine) -> None:
    there = machine.python("import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))").split()
    assert "sluis" in there and "paramiko" in there
    assert not {"dbos", "sqlalchemy", "sqlmodel", "alembic", "asyncssh", "starlette", "uvicorn", "typst", "psycopg"} & set(there)
    told = machine.deliver("--help").stdout
    assert all(f"  {command} " in told for command in ("check", "send", "withdraw", "sample"))


def test_it_starts_quickly_and_needs_nothing_that_only_unix_has(machine: VendorMachine) -> None:
    slow = "print(*({'polars', 'numpy', 'paramiko', 'cryptography'} & set(sys.modules)))"
    assert machine.python(f"import sys, gateway.cli.deliver_alone; {slow}").strip() == ""
    unix = "sys.modules.update(dict.fromkeys(('fcntl', 'pwd', 'grp', 'resource', 'termios')))"
    rooms = "gateway.cli.deliver_said, gateway.vendor.send, gateway.vendor.sample, gateway.vendor.withdrawal"
    machine.python(f"import sys; {unix}; import gateway.cli.deliver_alone, {rooms}")


def test_what_a_server_does_is_said_not_to_be_there(machine: VendorMachine) -> None:
    """The wheel brings `sluis` too: what of it a vendor can run works, and the rest says what it needs."""
    assert "sluis[server]" in machine.run("sluis", "--home", machine.home / "x", "init", status=1).stderr
    assert "kan worden verstuurd" in machine.run("sluis", "deliver", "check", *_samples(machine, "x")).stdout


def _samples(machine: VendorMachine, folder: str) -> list[Path]:
    machine.deliver("sample", folder)
    return sorted((machine.folder / folder).iterdir())


def test_the_way_of_a_first_delivery(machine: VendorMachine, gateway: Gateway) -> None:
    samples = {path.name: path for path in _samples(machine, "voorbeelden")}
    results = ("levering.csv", "levering-gzip.csv.gz", "levering-edexml-uwlr.zip")
    verdicts = json.loads(machine.deliver("--json", "check", *samples.values()).stdout)
    assert len(verdicts) == 5 and not any(verdict["refused"] for verdict in verdicts)

    line = Line(machine, gateway)
    sent = line.run("send", *(samples[name] for name in results), samples["bezwaren.csv"])
    assert len(sent) == 4 and {one["receipt"]["state"] for one in sent} <= {"accepted", "linked"}
    assert {one["receipt"]["counts"]["schools"] for one in sent} == {2}
    known = (machine.home / ".config" / "sluis" / "known_gateways").read_text()
    assert known == f"[127.0.0.1]:{gateway.intake_port} {gateway.home.audit_verifier().vkey}\n"

    (answer,) = line.run("withdraw", sent[1]["receipt"]["drop"], "--reason", "dubbel")
    assert answer["receipt"]["state"] == "accepted"
    with gateway.home.ledger.view() as session:
        assert drop_of(session, sent[1]["receipt"]["drop"]).state == State.WITHDRAWN


def test_what_is_not_fit_stays_here(machine: VendorMachine, gateway: Gateway) -> None:
    machine.deliver("sample", "andere")
    bad = machine.folder / "fout.csv"
    bad.write_text((machine.folder / "andere" / "levering.csv").read_text().replace(";M;", ";?;"))
    line, before = Line(machine, gateway), len(gateway.drops())
    (verdict,) = line.run("send", bad, status=1)
    assert verdict["refused"] and "code" in {one["rule"] for one in verdict["rules"]}
    assert len(gateway.drops()) == before


def test_where_nothing_can_be_remembered_a_key_must_be_given(machine: VendorMachine, gateway: Gateway, tmp_path: Path) -> None:
    line = Line(machine, gateway)
    file = tmp_path / "zonder-thuismap.csv"
    machine.deliver("sample", tmp_path / "nog meer")
    shutil.copy(tmp_path / "nog meer" / "levering.csv", file)
    reach = ("--to", f"sftp://cito@127.0.0.1:{gateway.intake_port}", "--key", line.key, "--host-key", line.host_key, "--no-wait")
    homeless = {"HOME": "/dev/null/nowhere"}
    told = machine.deliver("send", file, *reach, "--outbox", tmp_path / "out", status=1, **homeless).stderr
    assert "--gateway-key" in told
    given = ("--gateway-key", gateway.home.public / "sluis.vkey.txt")
    machine.deliver("send", file, *reach, *given, "--outbox", tmp_path / "out", **homeless)
    gateway.settled(["zonder-thuismap.csv.age"])
