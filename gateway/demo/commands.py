"""Runs `sluis` as anybody would: a process per command, its answer as JSON; and knows what each process cost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from policies.errors import Refused


@dataclass
class Costs:
    """The largest memory that any process had so far, by what it did [MiB]."""

    peak_mib: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, kib: int) -> None:
        self.peak_mib[name] = max(self.peak_mib.get(name, 0.0), kib / 1024)


@dataclass
class Sluis:
    """The command line of one home."""

    home: Path
    costs: Costs

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "gateway.cli", "--home", str(self.home), *map(str, arguments)]

    def run(self, *arguments: str | Path) -> Any:
        """The command's JSON answer; Refused with what it said when it did not end well."""
        return Running(self, arguments).answer()

    def start(self, *arguments: str | Path) -> "Running":
        """The same, without waiting."""
        return Running(self, arguments)


class Running:
    """A command under way."""

    def __init__(self, sluis: Sluis, arguments: tuple[str | Path, ...]) -> None:
        self._sluis = sluis
        self._name = " ".join(map(str, arguments[:2]))
        self._out: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  (closed in answer)
        self._err: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(sluis.command("--json", *arguments), stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err)

    def answer(self) -> Any:
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._sluis.costs.note(self._name, usage.ru_maxrss)
        with self._out, self._err:
            self._out.seek(0)
            self._err.seek(0)
            text, said = self._out.read().decode(), self._err.read().decode()
        if self._process.returncode:
            raise Refused("demo-step", f"`sluis {self._name}` ended with status {self._process.returncode}.", said.strip()[-2000:])
        return json.loads(text)


class Served:
    """`sluis serve`: the three roles, for as long as the `with` block lasts; their log goes to a file."""

    def __init__(self, sluis: Sluis, log: Path) -> None:
        self._sluis = sluis
        self._log = log.open("ab")
        self._process = subprocess.Popen(sluis.command("serve"), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Refused when the roles ended by themselves."""
        if self._process.poll() is not None:
            raise Refused("demo-serve", "`sluis serve` ended by itself.", f"Its log is {self._log.name}.")

    def stop(self) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._sluis.costs.note("serve (largest role)", usage.ru_maxrss)
            self._log.close()
