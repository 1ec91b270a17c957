"""What the doctor says of the malware scanner. That of one that answers is in tests/functional/test_worker_scanner.py."""

import json
from pathlib import Path

import pytest

from gateway.cli.scanner import scanner_faults
from gateway.store.config import Scan
from tests.support.cli import Cli

SOUND = """# made for a test
TemporaryDirectory "{folder}"
StreamMaxLength 1100M
MaxScanSize 0
MaxFileSize 1100M
MaxFiles 30001
AlertExceedsMax yes
"""


def faults(tmp_path: Path, conf: str | None, kind: str = "tmpfs", max_bytes: int = 1 << 30) -> list[str]:
    """All but that nobody answers."""
    folder = tmp_path / "scan"
    folder.mkdir(exist_ok=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nnone {folder} {kind} rw 0 0\n/dev/sdb {tmp_path}/sc xfs rw 0 0\n")
    if conf is not None:
        (tmp_path / "clamd.conf").write_text(conf.format(folder=folder))
    settings = Scan(clamd_socket=str(tmp_path / "clamd"), clamd_conf=str(tmp_path / "clamd.conf"), max_bytes=max_bytes)
    away, *others = scanner_faults(settings, mounts)
    assert away == "The malware scanner can't be reached (scanner-away): no drop is accepted"
    return others


def test_a_sound_configuration_has_no_faults(tmp_path: Path) -> None:
    assert faults(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    "line, instead, expected",
    [
        ("TemporaryDirectory", "# none", "TemporaryDirectory is not set"),
        ("TemporaryDirectory", "TemporaryDirectory /", "is on a disk"),
        ("MaxScanSize", "MaxScanSize 100M", "MaxScanSize of 104,857,600 bytes is too low: it takes 1,073,741,824"),
        ("MaxFileSize", "MaxFileSize 1048575K", "MaxFileSize of 1,073,740,800"),
        ("StreamMaxLength", "StreamMaxLength 5", "StreamMaxLength of 5 bytes"),
        ("StreamMaxLength", "# the default", "StreamMaxLength of 104,857,600"),
        ("MaxFiles ", "MaxFiles 30000", "MaxFiles of 30000 is too low: it takes 30001"),
        ("MaxFiles ", "# the default", "MaxFiles of 10000"),
        ("AlertExceedsMax", "AlertExceedsMax no", "AlertExceedsMax is off"),
        ("AlertExceedsMax", "", "AlertExceedsMax is off"),
        ("# made", "LeaveTemporaryFiles true", "LeaveTemporaryFiles"),
    ],
)
def test_each_wrong_line_is_a_fault(tmp_path: Path, line: str, instead: str, expected: str) -> None:
    conf = "\n".join(instead if old.startswith(line) else old for old in SOUND.splitlines())
    (fault,) = faults(tmp_path, conf)
    assert expected in fault


def test_clamd_has_to_look_at_a_gibibyte_of_a_file_in_a_zip_however_little_it_is_told(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SOUND.replace("1100M", "100M"), max_bytes=10 << 20)
    assert fault == "clamd's MaxFileSize of 104,857,600 bytes is too low: it takes 1,073,741,824"


def test_a_folder_on_a_disk_and_a_configuration_that_is_away_are_faults(tmp_path: Path) -> None:
    assert ["on a disk" in fault for fault in faults(tmp_path, SOUND, "ext4")] == [True]
    (tmp_path / "clamd.conf").unlink()
    assert ["can't be read" in fault for fault in faults(tmp_path, None)] == [True]


def test_the_doctor_alarms_when_the_scanner_does_not_answer(sluis: Cli) -> None:
    home = sluis.opened()

    def said() -> tuple[int, dict[str, object]]:
        status, out, _ = sluis.run("--json", "doctor")
        return status, next(row for row in json.loads(out) if row["check"] == "malware scan")

    _, off = said()
    assert off["ok"] and "off" in str(off["says"])
    path = home.path / "sluis.toml"
    path.write_text(path.read_text().replace('clamd_socket = ""', f'clamd_socket = "{home.path}/none"'))
    status, found = said()
    assert (status, found["ok"]) == (3, False) and "scanner-away" in str(found["says"]) and "scanning.md" in str(found["do"])
