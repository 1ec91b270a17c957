"""A close that is refused is noticed by every client, also by those that do not look at its status."""

from pathlib import Path

import pytest

from tests.support.clients import CLIENTS, Machine, Site, installed
from tests.support.intake import drops

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [20_000, 3_000_017])
def test_no_client_takes_a_refused_close_for_a_delivery(tmp_path: Path, size: int) -> None:
    """A day without a key: everything arrives, and nothing can be delivered."""
    installed()
    with Site(tmp_path) as site:
        site.host_fingerprint()
        machine = Machine(site, "cito", tmp_path / "machine", size)
        site.home.epochs.destroy(site.home.clock().date())
        for number, (name, (put, _)) in enumerate(CLIENTS.items()):
            machine.target = f"{number}.csv.age"
            status, said = machine.run(put(machine))
            assert status != 0, f"{name}: {said}"
    assert drops(site.home) == []
