"""Separate Unix users, as the units in systemd/ run the roles: each does its work, and is stopped at what is not its own.

The home is root's and the group's; the key folder is root's alone, and every role gets its own keys as systemd would hand them over.
What systemd hides besides (InaccessiblePaths=) is tested in test_house_systemd.py; here it is users, groups and modes.
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.auditing import sequence
from gateway.store.config import Configuration, Database, Sharing
from gateway.store.home import create_home

ROOT = Path(__file__).resolve().parents[2]
GROUP = 61_000
USERS = {
    "administrator": 0,
    "intake": 61_001,
    "worker": 61_002,
    "portal": 61_003,
    "retention": 61_004,
    "audit": 61_005,
    "checkpoint": 61_006,
    "stranger": 61_009,
}
HANDED = {
    "intake": ["ssh.host"],
    "worker": ["authority.pseudonyms", "signing.audit"],
    "portal": ["tls.portal"],
    "retention": ["signing.audit"],
    "checkpoint": ["checkpoint.identity"],
}

#: Everything is loaded as root, then the process becomes the user, as systemd's child does before it starts.
PRELUDE = """
import os, sys
from pathlib import Path
from gateway.store.home import Home
from gateway.store.durable import write_durably
from gateway.store.auditing import sequence
from keys.secret import Secret
from policies.errors import NotFound
uid, gid, path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
os.setgroups([]); os.setgid(gid); os.setuid(uid); os.umask(0o007); os.chdir("/")
"""


def reachable(path: Path) -> bool:
    return all(place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents))


pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become several users"),
    pytest.mark.skipif(
        not reachable(ROOT) or not reachable(Path(sys.base_prefix)), reason="the project or Python lies where other users can't come"
    ),
]


@pytest.fixture
def home(postgres_url: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sluis-users-", dir="/tmp") as outer:
        Path(outer).chmod(0o755)
        path = Path(outer) / "home"
        path.mkdir()
        os.chown(path, 0, GROUP)
        path.chmod(0o2770)  # as tmpfiles.d makes it
        before = os.umask(0o007)
        try:
            sequence(create_home(path, Configuration(database=Database(url=postgres_url), sharing=Sharing(group_access=True))))
        finally:
            os.umask(before)
        (path / "keys").chmod(0o700)
        os.chown(path / "keys", 0, 0)
        yield path


def act(home: Path, who: str, code: str) -> str:
    """What `code` printed as the user of that role; its `home` is the opened home."""
    with tempfile.TemporaryDirectory(prefix="sluis-credentials-", dir="/tmp") as folder:
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        if who in HANDED:
            for name in HANDED[who]:
                copy = Path(folder) / name
                copy.write_bytes((home / "keys" / name.replace(".", "/")).read_bytes())
                os.chown(copy, USERS[who], -1)
            os.chown(folder, USERS[who], -1)
            environment["CREDENTIALS_DIRECTORY"] = folder
        gid = 61_009 if who == "stranger" else 0 if who == "administrator" else GROUP
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + "home = Home.open(path)\n" + code, str(USERS[who]), str(gid), str(home)],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
    assert done.returncode == 0, f"{who}: {done.stderr[-1500:]}"
    return done.stdout.strip()


def test_a_drops_key_goes_from_the_intake_to_the_worker_and_dies_there(home: Path) -> None:
    act(home, "intake", "home.mortal.create('drops', 'd1', Secret(b'sealed')); write_durably(home.blob('d1'), b'ciphertext')")
    assert act(home, "worker", "print(home.mortal.read('drops', 'd1').reveal(), home.blob('d1').read_bytes())") == "b'sealed' b'ciphertext'"
    act(home, "worker", "home.mortal.destroy('drops', 'd1'); home.blob('d1').unlink()")
    assert act(home, "worker", "print(home.mortal.exists('drops', 'd1'), home.blob('d1').exists())") == "False False"


def test_the_timer_destroys_what_the_intake_and_the_administrator_made(home: Path) -> None:
    act(home, "intake", "home.mortal.create('drops', 'd1', Secret(b'sealed'))")
    act(home, "administrator", "home.mortal.create('objections', 'c1', Secret(b'k' * 32))")
    assert act(home, "worker", "print(home.mortal.read('objections', 'c1').reveal()[:2])") == "b'kk'"
    act(home, "retention", "home.mortal.destroy('drops', 'd1'); day = home.epochs.days()[0]; home.epochs.destroy(day)")
    assert act(home, "worker", "print(home.mortal.exists('drops', 'd1'), len(home.epochs.days()))") == "False 13"


def test_everybodys_entries_reach_the_log_and_the_log_is_one(home: Path) -> None:
    for who in ("intake", "portal", "administrator"):
        act(home, who, "with home.ledger.change('test') as change:\n    change.audit('test.entry', 'x')")
    act(home, "worker", "sequence(home)")
    act(home, "retention", "with home.ledger.change('test') as change:\n    change.audit('test.entry', 'x')\nsequence(home)")
    act(home, "worker", "with home.ledger.change('test') as change:\n    change.audit('test.entry', 'x')\nsequence(home)")
    verify = "from gateway.cli.app import run\nsys.exit(run(['--home', str(path), '--json', 'audit', 'verify']))"
    assert json.loads(act(home, "audit", verify))["entries"] == 6  # the home itself, and five


def close(home: Path, unit: str) -> None:
    """What the unit hides becomes a folder that nobody but root may enter, as systemd lays one over it."""
    for line in (ROOT / "systemd" / unit).read_text().splitlines():
        if line.startswith("InaccessiblePaths="):
            folder = home / Path(line.split("=")[1]).relative_to("/var/lib/sluis")
            os.chown(folder, 0, 0)
            folder.chmod(0)


def test_the_log_is_verified_by_a_role_that_most_of_the_home_is_closed_to(home: Path) -> None:
    close(home, "sluis-audit-verify.service")
    verify = "from gateway.cli.app import run\nsys.exit(run(['--home', str(path), '--json', 'audit', 'verify']))"
    assert json.loads(act(home, "audit", verify))["sound"]


NEVER_LINKED = """
from datetime import date, datetime, time, timedelta, UTC
from gateway.store.campaigns import create_campaign
from tests.support.cli import deliver
ago = lambda days: date.today() - timedelta(days=days)
with home.ledger.change('administrator') as change:
    create_campaign(change, '2026-M', ago(40), ago(39), ago(30), ago(0), datetime.combine(ago(-30), time(), UTC))
drop = deliver(home, 1, age_days=22)
(home.results / '2026-M').mkdir()
(home.results / '2026-M' / f'{drop}.parquet').write_bytes(b'of a worker that was killed')
print(drop)
"""


def test_the_timer_erases_what_was_never_linked_although_it_sees_no_results(home: Path) -> None:
    before = {path: path.stat() for path in home.rglob("*") if path.is_dir()}
    drop = act(home, "administrator", NEVER_LINKED)
    close(home, "sluis-retention.service")
    code = "from gateway.cli.app import run\nsys.exit(run(['--home', str(path), '--json', 'retention', 'run']))"
    told = json.loads(act(home, "retention", code))
    assert (told["drops_erased"], told["failed"]) == (1, {})
    for path, was in before.items():
        os.chown(path, was.st_uid, was.st_gid)
        path.chmod(stat.S_IMODE(was.st_mode))
    code = f"""
from gateway.worker.erasure import erase
from sqlmodel import select
from gateway.store.models import EffectRow
with home.ledger.view() as session:
    print(*session.exec(select(EffectRow.done_at).where(EffectRow.drop == '{drop}', EffectRow.kind == 'erase')))
erase(home, '{drop}')
print(*(home.results / '2026-M').iterdir())
"""
    assert act(home, "worker", code) == "None", "the worker is still asked for the erasure, and its results go with it"


def test_checkpoints_are_handed_out_by_a_role_that_has_no_key_that_signs(home: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sluis-kept-", dir="/tmp") as kept:
        os.chown(kept, USERS["checkpoint"], GROUP)
        configuration = home / "sluis.toml"
        configuration.write_text(configuration.read_text().replace("checkpoint_to = []", f'checkpoint_to = ["{kept}"]'))
        close(home, "sluis-audit-checkpoint.service")
        code = """
from gateway.cli.app import run
try:
    home.keystore.read('signing', 'audit')
except NotFound as error:
    assert error.code == 'key-not-handed'
    assert home.keystore.read('checkpoint', 'identity').reveal().startswith(b'-----BEGIN OPENSSH PRIVATE KEY')
    sys.exit(run(['--home', str(path), '--json', 'audit', 'checkpoint', '--scheduled']))
"""
        (row,) = json.loads(act(home, "checkpoint", code))
        (arrived,) = Path(kept).iterdir()
        assert str(arrived) == row["checkpoint"] and arrived.read_bytes() == (home / "audit/checkpoint").read_bytes()


@pytest.mark.parametrize("unit", sorted((ROOT / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_what_a_unit_hides_is_there_from_the_start(home: Path, unit: Path) -> None:
    # systemd can only hide what exists when the service starts: a folder made later would be seen
    for line in unit.read_text().splitlines():
        if line.startswith(("InaccessiblePaths=", "ReadOnlyPaths=")):
            path = line.split("=")[1]
            assert not path.startswith("-")
            assert (home / Path(path).relative_to("/var/lib/sluis")).exists(), line


@pytest.mark.parametrize("who", ["intake", "worker", "portal", "retention"])
def test_each_role_has_its_own_long_lived_keys_and_no_other(home: Path, who: str) -> None:
    code = """
for name in ('authority.pseudonyms', 'signing.audit', 'ssh.host', 'tls.portal'):
    try:
        home.keystore.read(*name.split('.'))
        print(name)
    except NotFound as error:
        assert error.code == 'key-not-handed' and not home.keystore.exists(*name.split('.'))
"""
    assert act(home, who, code).split() == HANDED[who]


def test_a_stranger_does_not_even_get_in(home: Path) -> None:
    code = "\nimport sys\nsys.exit(0)"
    with pytest.raises(AssertionError, match=r"PermissionError|Unsound"):
        act(home, "stranger", code)


def test_what_the_worker_hands_to_vendors_the_intake_reads(home: Path) -> None:
    act(home, "administrator", "(home.path / 'policies/nco_lvs.toml').write_text('refused_rows_share = 0.25')")
    act(home, "worker", "from gateway.worker.rules import RulesInForce\nRulesInForce(home)")
    close(home, "sluis-intake.service")
    code = "print(*((home.public / name).read_text()[0] for name in ('sluis.regels.toml', 'sluis.sleutels.json')))"
    assert act(home, "intake", code) == "r {"


def test_the_lock_of_the_results_is_one_for_who_reads_and_who_rewrites_them(home: Path) -> None:
    act(home, "administrator", "from gateway.store.parts import reading_parts\nwith reading_parts(home): pass")
    act(home, "worker", "from gateway.store.parts import rewriting_parts\nwith rewriting_parts(home) as alone: assert alone")
