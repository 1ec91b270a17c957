"""The pages on `sluis-deliver`: their examples run from top to bottom by one vendor, and their options are those that there are."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.deliver import app
from gateway.store.host_keys import FIRST, public_half
from tests.support.examples import examples_in, run_example
from tests.support.gateway import Gateway, started
from tests.support.vendor_machine import take_part

DOCS = Path(__file__).resolve().parents[2] / "docs" / "vendor"
START, PROGRAM = ((DOCS / name).read_text(encoding="utf-8") for name in ("README.md", "sluis-deliver.md"))


def test_the_page_names_every_option_and_no_other() -> None:
    command: Any = typer.main.get_command(app)
    there = {
        option
        for one in command.commands.values()
        for parameter in one.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"--[a-z][a-z-]+", PROGRAM)) - {"--json", "--help"}
    assert named == there - {"--check"}, "what is so without being asked for needs no place"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    (tmp_path / "gateway").mkdir()
    with started(tmp_path / "gateway") as gateway:
        take_part(gateway)
        yield gateway


class Vendor:
    """One vendor at its desk, who fills in what it got from the gateway's owner."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self.folder, self.gateway = folder, gateway
        folder.mkdir()
        shutil.copy(gateway.home.public / "sluis.vkey.txt", folder)
        scanned = subprocess.run(
            ["ssh-keyscan", "-p", str(gateway.intake_port), "-t", "ed25519", "127.0.0.1"], capture_output=True, check=True
        )
        (folder / "known_hosts").write_bytes(scanned.stdout)

    def run(self, text: str, title: str, **more: str) -> str:
        (code,) = (example.code for example in examples_in(text) if example.title == title)
        for placeholder, value in {
            "sftp.sluis.example": "127.0.0.1",
            "2222": str(self.gateway.intake_port),
            "SHA256:HOSTSLEUTEL": public_half(self.gateway.home, FIRST).fingerprint,
            **more,
        }.items():
            code = code.replace(placeholder, value)
        return run_example("sh", code, self.folder)


@pytest.mark.slow
def test_the_first_delivery_and_all_else_the_pages_show(gateway: Gateway, tmp_path: Path) -> None:
    vendor = Vendor(tmp_path / "desk", gateway)
    vendor.run(START, "sleutel maken")
    gateway.sluis("vendor", "key", "add", "cito", "--ssh-key", vendor.folder / "sluis-sleutel.pub")
    vendor.run(START, "voorbeelden schrijven")
    shutil.copy(vendor.folder / "voorbeelden" / "levering.csv", vendor.folder)
    assert "kan worden verstuurd" in vendor.run(START, "controleren")
    told = vendor.run(START, "versturen")
    assert "ONTVANGSTBEWIJS" in told and "handtekening onder het ontvangstbewijs klopt" in told
    delivered = gateway.drop("levering.csv.age")
    assert delivered.state in ("accepted", "linked")

    for name in ("levering.csv", "bezwaren.csv"):
        shutil.move(vendor.folder / "voorbeelden" / name, vendor.folder / name)
    assert "2 bestanden: 2 in orde" in vendor.run(PROGRAM, "controleren")
    vendor.run(PROGRAM, "controleren met waarden")
    for name in ("levering.csv", "bezwaren.csv"):
        (vendor.folder / name).rename(vendor.folder / f"tweede-{name}")
    vendor.run(PROGRAM, "versturen", **{"levering.csv bezwaren.csv": "tweede-levering.csv tweede-bezwaren.csv"})
    gateway.settled(["tweede-levering.csv.age", "tweede-bezwaren.csv.age"], ("accepted", "registered", "linked"))
    vendor.run(PROGRAM, "intrekken", **{"d20260120-abcdefghijklmnop": delivered.id})
    gateway.wait(lambda: gateway.drop("levering.csv.age").state == "withdrawn", "the delivery is withdrawn")
    shutil.rmtree(vendor.folder / "voorbeelden")
    vendor.run(PROGRAM, "voorbeelden")
    titles = [example.title for text in (START, PROGRAM) for example in examples_in(text)]
    assert len(titles) == 4 + 5, "each one ran above"
