"""Mixed real clients for minutes on end, with random kills: every acknowledged file is there byte-exact, none twice, memory stays flat.

SLUIS_SOAK_SECONDS sets how long (default: two minutes); SLUIS_SOAK_SEED repeats the same dice.
"""

import hashlib
import os
import random
import statistics
from collections import Counter
from pathlib import Path

import pytest

from tests.support.clients import Machine, Site, eventually, installed
from tests.support.intake import content, drops
from tests.support.soak import Soak

SECONDS = float(os.environ.get("SLUIS_SOAK_SECONDS", "120"))
SEED = int(os.environ.get("SLUIS_SOAK_SEED", random.randrange(1 << 30)))

VENDORS, CLIENTS_EACH = 3, 2

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(SECONDS * 2 + 600)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    installed()
    with Site(tmp_path) as site:
        site.host_fingerprint()
        machines = [
            Machine(site, f"vendor{vendor}", tmp_path / f"machine{vendor}-{which}")
            for vendor in range(VENDORS)
            for which in range(CLIENTS_EACH)
        ]
        soak = Soak(site, SEED)
        soak.run(machines, SECONDS * 0.7, SECONDS * 0.3)
        tell = f"seed {SEED}: {len(soak.sent)} files in {soak.tries} tries, kills {soak.kills}"
        print(tell)
        assert not soak.faults, f"{tell}\n" + "\n".join(soak.faults)
        assert len(soak.sent) > SECONDS / 4, tell
        assert soak.kills["client"] and sum(soak.kills.values()) > soak.kills["client"] + SECONDS / 30, tell

        eventually(lambda: len(drops(site.home)) >= len(soak.sent), "what was acknowledged is in the ledger")
        there = drops(site.home)
        once = Counter((drop.vendor, drop.file_name) for drop in there)
        assert max(once.values()) == 1, f"{tell}: delivered twice"
        expected = {(sent.vendor, sent.name): sent for sent in soak.sent}
        lost = expected.keys() - once.keys()
        assert not lost, f"{tell}: lost {sorted(lost)[:5]}"
        unasked = once.keys() - expected.keys()
        assert not unasked, f"{tell}: nobody sent {sorted(unasked)[:5]}"
        wrong = [drop.file_name for drop in there if sha256(content(site.home, drop)) != expected[(drop.vendor, drop.file_name)].sha256]
        assert not wrong, f"{tell}: other bytes in {wrong[:5]}"

        memory = [mib for _, mib in soak.memory]
        half = len(memory) // 2
        early, late = statistics.median(memory[half // 2 : half]), statistics.median(memory[half:])
        print(f"memory of all processes: {early:.0f} MiB, later {late:.0f} MiB, at most {max(memory):.0f} MiB")
        assert late < early * 1.1 + 8, f"{tell}: memory grew from {early:.0f} to {late:.0f} MiB"
