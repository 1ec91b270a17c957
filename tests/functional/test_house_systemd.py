"""The units in systemd/: accepted by systemd itself, hardened, and each role shut out of what it must never have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.intake.front.desk import YIELD_SECONDS
from gateway.intake.front.doors import LONGEST_STOP
from gateway.store.config import Intake
from gateway.store.home import FOLDERS, HANDED_OUT, POLICIES

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNITS = sorted([*FOLDER.glob("*.service"), *FOLDER.glob("*.timer")])
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
HOME = "/var/lib/sluis"
#: systemd's own measure of what a service could still do, times ten: 20 is 2.0 of 10
MOST_EXPOSURE = "20"


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def hidden(unit: Path) -> set[str]:
    return {path.removeprefix("-").removeprefix("/var/lib/sluis/") for path in settings(unit)["InaccessiblePaths"]}


def verify(unit: Path, folder: Path) -> tuple[int, str]:
    """What systemd says of a unit whose neighbours lie in `folder`: (0, "") when it has no remark."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_UNIT_PATH": f"{folder}:"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that exists on this machine in the place of our own, and of the administrator's alarm."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/sluis/.venv/bin/sluis", sys.executable).replace("/etc/sluis/alarm", sys.executable)
        (folder / unit.name).write_text(text)
    return folder


def test_every_role_and_timer_has_its_unit() -> None:
    names = {unit.name for unit in UNITS}
    assert {f"sluis-{role}.service" for role in ("intake", "worker", "portal", "retention", "audit-verify", "audit-checkpoint")} <= names
    assert {"sluis-retention.timer", "sluis-audit-verify.timer", "sluis-audit-checkpoint.timer"} <= names


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_to_say(unit: Path, installed: Path) -> None:
    assert verify(installed / unit.name, installed) == (0, "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_exposure_is_low(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_a_unit_with_a_wrong_line_would_be_noticed(installed: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "sluis-wrong.service"
    wrong.write_text((installed / "sluis-worker.service").read_text().replace("NoNewPrivileges=yes", "NoNewPriviliges=yes"))
    assert verify(wrong, installed) != (0, "")


def test_a_soft_unit_would_be_noticed(tmp_path: Path) -> None:
    soft = tmp_path / "sluis-soft.service"
    soft.write_text("[Service]\nExecStart=/bin/true\nUser=sluis-intake\nNoNewPrivileges=yes\n")
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(soft)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_nothing_of_memory_reaches_a_disk_and_keys_are_handed_over(unit: Path) -> None:
    found = settings(unit)
    assert found["LimitCORE"] == ["0"] and found["MemorySwapMax"] == ["0"]
    assert {"keys", HOME} & hidden(unit), "long-lived keys come by LoadCredential only"
    for credential in found.get("LoadCredential", []):
        name, path = credential.split(":", 1)
        assert path == "/var/lib/sluis/keys/" + name.replace(".", "/")


def test_each_service_has_a_user_of_its_own_that_sysusers_makes() -> None:
    users = [settings(unit)["User"][0] for unit in SERVICES]
    assert len(set(users)) == len(users)
    made = {line.split()[1] for line in (FOLDER / "sysusers.d/sluis.conf").read_text().splitlines() if line.startswith("u ")}
    assert set(users) == made


def test_what_must_not_fail_unseen_raises_the_alarm_which_sees_nothing_of_the_home() -> None:
    for name in ("worker", "retention", "audit-verify"):
        assert settings(FOLDER / f"sluis-{name}.service")["OnFailure"] == ["sluis-alarm@%n.service"]
    alarm = settings(FOLDER / "sluis-alarm@.service")
    assert alarm["ExecStart"] == ["/etc/sluis/alarm %i"] and alarm["ConditionFileIsExecutable"] == ["/etc/sluis/alarm"]
    assert HOME in hidden(FOLDER / "sluis-alarm@.service") and "LoadCredential" not in alarm and "Group" not in alarm


def test_the_roles_that_read_have_no_network() -> None:
    for name in ("worker", "retention", "audit-verify"):
        found = settings(FOLDER / f"sluis-{name}.service")
        assert found["PrivateNetwork"] == ["yes"] and found["RestrictAddressFamilies"] == ["AF_UNIX"]


def test_the_worker_reaches_the_malware_scanner_by_its_socket_alone() -> None:
    found = settings(FOLDER / "sluis-worker.service")
    unseen = [path.removeprefix("-") for key in ("InaccessiblePaths", "TemporaryFileSystem") for path in found.get(key, [])]
    assert not [path for path in unseen if Path("/run/clamav/clamd.ctl").is_relative_to(path)]
    assert "AF_UNIX" in found["RestrictAddressFamilies"][0].split() and "RootDirectory" not in found


def test_the_gate_that_receives_can_not_read_what_it_received() -> None:
    unit = FOLDER / "sluis-intake.service"
    assert {"mortal/epochs", "mortal/recipients", "registers", "results"} <= hidden(unit)
    assert [c.split(":")[0] for c in settings(unit)["LoadCredential"]] == ["ssh"]


def test_gateway_time_is_written_by_those_who_erase_and_only_read_by_the_others() -> None:
    """It stands in `public/`; and whoever tells it has to know the boot, which /proc does not show with ProcSubset=pid."""
    openers = [unit for unit in SERVICES if any("SLUIS_HOME" in line for line in settings(unit).get("Environment", []))]
    for unit in openers:
        assert "SLUIS_BOOT_ID=%b" in settings(unit)["Environment"], unit.name
    writers = {unit.stem for unit in openers if "/var/lib/sluis/public" not in settings(unit)["ReadOnlyPaths"]}
    assert writers == {"sluis-worker", "sluis-retention"}


def test_the_intake_is_waited_for_and_watched() -> None:
    found = settings(FOLDER / "sluis-intake.service")
    assert found["Type"] == ["notify"] and found["KillMode"] == ["mixed"] and found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert int(found["TimeoutStopSec"][0]) > LONGEST_STOP + YIELD_SECONDS, "a stop in good order is not cut short"
    assert int(found["WatchdogSec"][0]) >= 30
    assert int(found["LimitNOFILE"][0]) > 4 * (Intake().max_sessions + Intake().max_unauthenticated + Intake().max_handles) / 2


def test_the_gate_that_publishes_never_sees_an_identifier() -> None:
    unit = FOLDER / "sluis-portal.service"
    assert {"mortal/epochs", "mortal/recipients", "mortal/drops", "incoming", "drops", "registers", "results"} <= hidden(unit)
    assert [c.split(":")[0] for c in settings(unit)["LoadCredential"]] == ["tls.portal"]


def test_the_rules_are_the_administrators_alone() -> None:
    """The worker reads them; who could write them could let through what must be refused. A "-" would leave a home without them open."""
    openers = [unit for unit in SERVICES if settings(unit).get("ReadWritePaths") == [HOME]]
    assert len(openers) == 5
    for unit in openers:
        kept = settings(unit)["ReadOnlyPaths" if unit.stem == "sluis-worker" else "InaccessiblePaths"]
        assert f"{HOME}/{POLICIES}" in kept, unit.name
    assert settings(FOLDER / "sluis-audit-checkpoint.service")["ReadWritePaths"] == [f"{HOME}/{HANDED_OUT}"]


def test_what_brings_checkpoints_out_sees_the_log_and_what_is_public_and_signs_nothing() -> None:
    unit = FOLDER / "sluis-audit-checkpoint.service"
    assert hidden(unit) == {name for name in FOLDERS if "/" not in name} - {"public", "audit", "run"}
    assert [c.split(":")[0] for c in settings(unit)["LoadCredential"]] == ["checkpoint.identity"]
    assert settings(unit)["ReadWritePaths"] == [f"/var/lib/sluis/{HANDED_OUT}"] and settings(unit)["ProtectSystem"] == ["strict"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to a group")
def test_the_snippets_make_the_users_and_the_home_in_an_empty_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib").mkdir(parents=True)
    for program in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        snippet = FOLDER / f"{program[0].removeprefix('systemd-')}.d/sluis.conf"
        done = subprocess.run([*program, f"--root={tmp_path}", str(snippet)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    groups = {line.split(":")[0]: line.split(":")[2:] for line in (tmp_path / "etc/group").read_text().splitlines()}
    home = (tmp_path / "var/lib/sluis").stat()
    assert (home.st_mode & 0o7777, home.st_uid, str(home.st_gid)) == (0o2770, 0, groups["sluis"][0])
    assert set(groups["sluis"][1].split(",")) == {
        settings(unit)["User"][0] for unit in SERVICES if settings(unit).get("Group") == ["sluis"]
    }


PROBE = """
import ctypes, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN (Linux 6.3)
    sys.exit(77)
import asyncssh, cryptography, dbos, numpy, polars, psycopg, pyrage, starlette, typst, uvicorn, uvloop
assert polars.DataFrame({"a": [1, 1, 2]}).lazy().group_by("a").len().collect().height == 2
assert typst.compile(b"= Page", format="pdf").startswith(b"%PDF")
asyncssh.generate_private_key("ssh-ed25519")
"""


def test_the_libraries_run_where_no_memory_may_become_code() -> None:
    given = [value.split("=", 1) for line in settings(FOLDER / "sluis-worker.service")["Environment"] for value in line.split()]
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False, env={**os.environ, **dict(given)})
    if done.returncode == 77:
        pytest.skip("this kernel is older than Linux 6.3")
    assert done.returncode == 0, done.stderr
