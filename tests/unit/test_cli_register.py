"""`sluis register`: what a cut-off import left is ended by the next one, and what was damaged since is named by who needs it."""

from pathlib import Path

from gateway.cli.app import run
from gateway.store.config import Configuration
from gateway.store.home import Home, create_home
from keys.secret import Secret
from tests.support.cli import Cli, begin

HEADER = "persoon_id;bsn;onderwijsnummer;geslacht;geboortedatum;postcode;huisnummer;toevoeging;peildatum"


def test_an_import_that_was_cut_off_leaves_no_key_and_no_file(tmp_path: Path) -> None:
    home = create_home(tmp_path / "home", Configuration())
    file = tmp_path / "personen.csv"
    file.write_text(f"{HEADER}\nR1;;;V;2015-03-14;1234AB;12;;2026-01-01\n")
    command = ["--home", str(home.path), "--json", "register", "persons", str(file)]
    assert run(command) == 0
    first = home.mortal.names("registers")
    home.mortal.create("registers", "20200101T000000", Secret(bytes(32)))
    (home.registers / "persons-20200101T000000.parquet").write_bytes(b"unfinished")
    assert run(command) == 0
    home = Home.open(home.path)
    assert len(home.mortal.names("registers")) == 1 and home.mortal.names("registers") != first
    assert [path.name for path in home.registers.glob("persons-*")] == [f"persons-{home.mortal.names('registers')[0]}.parquet"]


def test_no_report_is_built_on_a_background_register_that_can_not_be_read(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    file = tmp_path / "achtergrond.csv"
    file.write_text("persoon_id;opleiding_ouders;herkomst;inkomen;huishouden\nR1;hoog;Nederland;4;twee ouders\n")
    sluis("register", "background", file)
    [stored] = sluis.home.glob("registers/background-*.parquet")
    stored.write_bytes(b"PAR1 not really")
    said = sluis.refused("report", "build", "--campaign", "2026-M", status=3)
    assert "background register can't be read" in said and "Import the register again" in said
