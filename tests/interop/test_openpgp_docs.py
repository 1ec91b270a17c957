"""The examples of docs/vendor/openpgp.md, run as they stand there by one vendor, one after another; what they deliver is taken."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import examples_in, run_example
from tests.support.exchange import exchange
from tests.support.gateway import Gateway, started
from tests.support.pupils import delivery, results

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[2] / "docs" / "vendor"
TEXT = (DOCS / "openpgp.md").read_text(encoding="utf-8")
EXAMPLES = {example.title: example for example in examples_in(TEXT)}


def test_every_block_of_the_page_is_an_example() -> None:
    assert len(EXAMPLES) == TEXT.count("\n```") / 2


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """The three roles, OpenPGP on."""
    with started(tmp_path, openpgp=True) as one:
        yield one


def test_the_page_from_top_to_bottom(gateway: Gateway, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "levering.csv").write_bytes(delivery(gateway.at("41AA00"), gateway.today))
    (desk / "levering.zip").write_bytes(exchange(results(gateway.at("41AA00"), gateway.today)))
    scanned = subprocess.run(["ssh-keyscan", "-p", str(gateway.intake_port), "-t", "ed25519", "127.0.0.1"], capture_output=True, check=True)
    (desk / "known_hosts").write_bytes(scanned.stdout)
    (conf,) = re.findall(r"<!-- bestand: sluis.conf -->\n```\n(.*?)```", (DOCS / "sftp.md").read_text(encoding="utf-8"), re.DOTALL)
    for placeholder, value in (
        ("sftp.sluis.example", "127.0.0.1"),
        ("2222", str(gateway.intake_port)),
        ("./sluis-sleutel", str(gateway.keys["cito"])),
    ):
        conf = conf.replace(placeholder, value)
    (desk / "sluis.conf").write_text(conf)
    gateway.wait(lambda: (gateway.home.public / "sluis.pgp.asc").exists(), "vendors find a key for OpenPGP")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as keys:

        def run(title: str) -> str:
            return run_example("sh", EXAMPLES[title].code, desk, GNUPGHOME=keys)

        try:
            run("versleutelen")
            gateway.settled(["levering.csv.gpg"], ("accepted",))
            assert "Sluis" in run("vingerafdruk van Sluis")
            run("ingepakt")
            for name in ("levering.csv.gz.gpg", "levering.zip.gpg"):
                gateway.door().deliver(name, (desk / name).read_bytes())
            gateway.settled(["levering.csv.gz.gpg", "levering.zip.gpg"], ("accepted",))
            told = run("ondertekeningssleutel maken")
            added = gateway.sluis("vendor", "signing-key", "add", "cito", desk / "ondertekenen.asc")
            assert added["fingerprint"] in told.replace(" ", "")
            run("ondertekenen en versleutelen")
            gateway.settled(["getekend.csv.gpg"], ("accepted",))
            bare = EXAMPLES["versleutelen"].code.replace("levering.csv.gpg", "kaal.csv.gpg")
            run_example("sh", bare, desk, GNUPGHOME=keys)
            (refused,) = gateway.settled(["kaal.csv.gpg"], ("rejected",))
            assert [found["rule"] for found in refused.findings] == ["unsigned"]
            run("verlengen")
            again = gateway.sluis("vendor", "signing-key", "add", "cito", desk / "ondertekenen.asc")
            assert again["fingerprint"] == added["fingerprint"]
        finally:
            subprocess.run(["gpgconf", f"--homedir={keys}", "--kill", "all"], check=False)
    assert set(EXAMPLES) == {
        "versleutelen", "vingerafdruk van Sluis", "ingepakt", "ondertekeningssleutel maken", "ondertekenen en versleutelen", "verlengen",
    }  # fmt: skip
