"""The commands around the code: what is missing is named, the floor holds each package on its own."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.coverage_floor import PACKAGES, below_floor

ROOT = Path(__file__).resolve().parents[2]


def test_without_root_the_missing_programs_are_named_in_one_sentence(tmp_path: Path) -> None:
    identity = tmp_path / "id"
    identity.write_text("#!/bin/sh\necho 1000\n")
    identity.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci/prerequisites")], capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    for package in ("openssh-client", "lftp", "curl", "gnupg", "poppler-utils", "chromium", "systemd"):
        assert f" {package}" in line


@pytest.mark.parametrize("script", [".ci/run", ".ci/prerequisites"])
def test_the_scripts_of_continuous_integration_can_be_run_and_parsed(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0


def test_make_help_names_the_contracts_targets() -> None:
    said = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "check", "bench"):
        assert f"make {target} " in said


def report(**branches: tuple[int, int]) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    def summary(run: int, total: int) -> dict[str, dict[str, int]]:
        return {"summary": {"covered_branches": run, "num_branches": total, "covered_lines": 100, "num_statements": 100}}

    full = {f"{package}/a.py": summary(10, 10) for package in PACKAGES}
    return {"files": full | {f"{name.replace('__', '/')}/b.py": summary(*numbers) for name, numbers in branches.items()}}


def test_a_package_under_the_floor_is_not_carried_by_the_others() -> None:
    assert below_floor(report()) == []
    assert below_floor(report(keys=(1000, 1000), gateway__drop=(85, 90))) == []
    (sentence,) = below_floor(report(keys=(1000, 1000), audit=(80, 90)))
    assert sentence.startswith("audit: 90.0 % of its branches")


def test_a_package_that_nothing_measured_is_under_the_floor() -> None:
    assert below_floor({"files": {}})[0] == "keys: nothing was measured"
