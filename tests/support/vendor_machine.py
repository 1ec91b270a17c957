"""A vendor's machine: the wheel of this project in an environment of its own, with what the vendor's lock names and nothing else; and a
gateway at which the schools of the samples take part.

The libraries are those of the environment that the tests run in, file by file: no registry is asked.
"""

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from gateway.store.campaigns import enrol
from gateway.store.models import Board, Mandate, School
from gateway.vendor.sample import SCHOOLS
from tests.support.gateway import CAMPAIGN, Gateway

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-vendor.lock"
PACKAGES = ("gateway", "keys", "policies", "audit")
BOARD = "99001"
#: how long a step may take on a busy machine [s]
PATIENCE = 240


def build_wheel(folder: Path) -> Path:
    """The wheel, built from a copy of the sources: building leaves files behind."""
    sources = folder / "sources"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, sources)
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sources)
    (wheel,) = folder.glob("*.whl")
    return wheel


def take_part(gateway: Gateway) -> None:
    """The schools of `sluis deliver sample` are in the gateway's register, and their board signed up through cito."""
    with gateway.home.ledger.change("test") as change:
        change.session.add(Board(number=BOARD, name="Stichting Voorbeeld"))
        for code in SCHOOLS:
            change.session.add(School(code=code, name=f"School {code}", postcode="1234AB", city="Sluiswijk"))
        change.session.flush()
        for code in SCHOOLS:
            change.session.add(Mandate(school=code, board=BOARD, valid_from=gateway.today - timedelta(days=2000)))
        signed = gateway.today - timedelta(days=40)
        enrol(change, BOARD, CAMPAIGN, "cito", signed, signed)


class VendorMachine:
    """Runs `sluis-deliver` there; its home folder is an empty one of its own."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.environment = folder / "environment"
        _run(sys.executable, "-m", "venv", "--without-pip", self.environment)
        (self.packages,) = self.environment.glob("lib/python*/site-packages")
        for name, version, marked in re.findall(r"^([a-z0-9.-]+)==(\S+)( ;)?", LOCK.read_text(), re.MULTILINE):
            self._link(name, version, optional=bool(marked))
        target = ("--python", self.environment / "bin" / "python")
        _run(sys.executable, "-m", "pip", *target, "install", "--quiet", "--no-deps", "--no-index", wheel)
        self.home = folder / "home"
        self.home.mkdir()

    def _link(self, name: str, version: str, optional: bool) -> None:
        try:
            found: Distribution = distribution(name)
            if found.version != version:
                raise PackageNotFoundError(name)
        except PackageNotFoundError:
            assert optional, f"{name} {version} is in the lock and not in this environment"
            return  # for another version of Python, or another system
        for file in found.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = self.packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(file.locate())))

    def python(self, code: str) -> str:
        """What a program says on standard output, in that environment."""
        return self._ran([self.environment / "bin" / "python", "-c", code], 0).stdout

    def deliver(self, *arguments: object, status: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self.run("sluis-deliver", *arguments, status=status, **environment)

    def run(self, program: str, *arguments: object, status: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self._ran([self.environment / "bin" / program, *arguments], status, **environment)

    def _ran(self, command: list[object], status: int, **environment: str) -> "subprocess.CompletedProcess[str]":
        plain = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment}
        ended = subprocess.run(
            [str(part) for part in command], cwd=self.folder, env=plain, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE,
        )  # fmt: skip
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended


def _run(*command: object) -> None:
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE, env=dict(os.environ))
    assert ended.returncode == 0, ended.stdout + ended.stderr
