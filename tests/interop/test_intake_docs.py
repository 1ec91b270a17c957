"""The examples of docs/vendor/sftp.md, taken from the page and run as they stand there, with nothing but the placeholders filled in."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from gateway.vendor.sample import write_samples
from policies.calendar import AMSTERDAM
from tests.support.clients import Site, eventually, installed
from tests.support.examples import Example, examples_in, run_example
from tests.support.intake import content, make_key, register, sftp_session

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vendor" / "sftp.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILE = re.compile(r"<!-- bestand: (\S+) -->\n```\n(.*?)```", re.DOTALL)

numbers = count(1)


EXAMPLES = examples_in(TEXT)


def test_every_block_of_the_page_is_an_example_or_a_file() -> None:
    assert len(EXAMPLES) + len(FILE.findall(TEXT)) == TEXT.count("\n```") / 2
    clients = " ".join(example.code for example in EXAMPLES)
    for client in ("sftp -F", "lftp", "curl", "rclone", "psftp", "paramiko", "asyncssh", "sluis-deliver"):
        assert client in clients
    for way in ("reput", "put -c", "-C -"):
        assert way in clients
    assert {mark for example in EXAMPLES for mark in example.marks} == {
        "levert",
        "onderbroken",
        "onderbroken als .part",
        "levert onder eigen naam",
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    installed()
    assert shutil.which("age"), "not installed: age (sh .ci/prerequisites)"
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


class Desk:
    """A vendor's folder with the files that the page names."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder, self.vendor = site, folder, f"vendor{next(numbers)}"
        register(site.home, self.vendor, make_key(folder, "sluis-sleutel"))
        scanned = subprocess.run(["ssh-keyscan", "-p", str(site.port), "-t", "ed25519", "127.0.0.1"], capture_output=True, check=True)
        (folder / "known_hosts").write_bytes(scanned.stdout)
        (sample, *_) = write_samples(folder / "voorbeelden", datetime.now(AMSTERDAM).date())
        sample.rename(folder / "levering.csv")
        (folder / "levering.csv.age").write_bytes(os.urandom(400_000))
        for name, text in FILE.findall(TEXT):
            (folder / name).write_text(self.filled_in(text))

    def filled_in(self, text: str) -> str:
        for placeholder, value in (
            ("sftp.sluis.example", "127.0.0.1"),
            ("2222", str(self.site.port)),
            ("cito", self.vendor),
            ("SHA256:HOSTSLEUTEL", self.site.host_fingerprint()),
        ):
            text = text.replace(placeholder, value)
        return text

    def begin_and_break_off(self, name: str) -> None:
        """Half of the file, and then the line goes dead."""
        key = self.folder / "sluis-sleutel"
        with sftp_session(self.site.port, self.vendor, key) as session:
            file = session.open(f"leveringen/{name}", "wb")
            file.write((self.folder / "levering.csv.age").read_bytes()[:200_000])
            file.flush()
            session.get_channel().get_transport().sock.close()

        def arrived() -> int:
            with sftp_session(self.site.port, self.vendor, key) as session:
                return sum(entry.st_size for entry in session.listdir_attr("leveringen"))

        assert eventually(arrived, "half of it is kept") == 200_000

    def run(self, example: Example) -> str:
        return run_example(example.language, self.filled_in(example.code), self.folder)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_does_what_the_page_says(site: Site, tmp_path: Path, example: Example) -> None:
    desk = Desk(site, tmp_path)
    if example.title == "openssh ontvangstbewijzen":
        receipts = site.home.receipts(desk.vendor)
        receipts.mkdir(parents=True)
        (receipts / "d20261121-aaaaaaaaaaaaaaaa.txt").write_text("Ontvangen.")
    if "onderbroken" in example.marks:
        desk.begin_and_break_off("levering.csv.age")
    if "onderbroken als .part" in example.marks:
        desk.begin_and_break_off("levering.csv.age.part")
    desk.run(example)
    if "levert" in example.marks:
        (drop,) = site.drops(desk.vendor, 1)
        assert drop.file_name == "levering.csv.age"
        assert content(site.home, drop) == (tmp_path / "levering.csv.age").read_bytes()
    elif "levert onder eigen naam" in example.marks:
        (drop,) = site.drops(desk.vendor, 1)
        assert drop.file_name.startswith("levering") and drop.file_name.endswith(".age")
    elif example.title == "openssh ontvangstbewijzen":
        assert (tmp_path / "ontvangst" / "d20261121-aaaaaaaaaaaaaaaa.txt").read_text() == "Ontvangen."
    else:
        assert example.title == "sleutel maken"
        assert (tmp_path / "mijn-sleutel.pub").read_text().startswith("ssh-ed25519 ")
