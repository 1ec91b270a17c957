"""Imports of the population register that come together, or are broken off: the one in use can always be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.registers.persons import load_persons
from gateway.store.drops import live_register
from gateway.worker import persons
from policies.errors import Refused
from tests.support.objecting import CHILDREN, EMPTY, NUMBERS, Town

pytestmark = pytest.mark.slow

SOME = dict.fromkeys(CHILDREN[:2], NUMBERS)
EVERYBODY = dict.fromkeys(CHILDREN, NUMBERS)


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    made = Town.made(tmp_path_factory.mktemp("town"))
    made.hand_in(EMPTY)
    made.populate(SOME)
    yield made
    made.home.ledger.engine.dispose()


def in_use(town: Town) -> int:
    """How many rows the register in use has; it, its file and its key are the only ones."""
    with town.home.ledger.view() as session:
        live = live_register(session, "persons")
    assert live is not None
    assert town.home.mortal.names("registers") == [live.key_name]
    assert [path.name for path in town.home.registers.glob("persons-*")] == [live.file]
    return load_persons(town.home.registers / live.file).height


def test_a_second_import_is_refused_while_the_first_goes_on(town: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would take the first one's key and file for what a crash left."""
    importing = persons.import_persons

    def second(*given: object):  # type: ignore[no-untyped-def]
        monkeypatch.undo()
        with pytest.raises(Refused) as refused:
            persons.import_population(town.home, tmp_path / "another.csv", "administrator")
        assert refused.value.code == "import-busy"
        return importing(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(persons, "import_persons", second)
    town.populate(EVERYBODY)
    assert in_use(town) == len(EVERYBODY)


@pytest.mark.parametrize("taken", [False, True])
def test_one_that_is_broken_off_leaves_the_register_that_the_ledger_names(town: Town, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """Ctrl-C just before, or just after, the ledger took the new one."""
    importing = persons._import

    def interrupted(*given: object) -> None:
        if taken:
            importing(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(persons, "_import", interrupted)
    with pytest.raises(KeyboardInterrupt):
        town.populate(EVERYBODY)
    assert in_use(town) == len(EVERYBODY if taken else SOME)
