"""Setting up by command: init, registers of schools, vendors, campaigns, enrolments."""

import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from gateway.store.models import Campaign, Mandate
from tests.support.cli import BSN, Cli, begin, days, public_key, register_file

TODAY = date.today()


# ---------------------------------------------------------------- init


def test_init_makes_a_home_that_is_sound(sluis: Cli, tmp_path: Path) -> None:
    sluis.home = tmp_path / "new"
    made = sluis("init", "--authority", 'De "Autoriteit"', "--hostname", "sluis.example", "--intake-port", "2022", "--portal-port", "443")
    assert made["public_key_for_vendors"].startswith("age1") and made["sftp_host_key"].startswith("SHA256:")
    assert made["portal"] == "https://sluis.example:443" and made["home"] == str(sluis.home)
    assert stat.S_IMODE(sluis.home.stat().st_mode) == 0o700
    config = sluis.opened().config
    assert (config.authority.name, config.intake.port, config.portal.hostname) == ('De "Autoriteit"', 2022, "sluis.example")
    assert sluis("audit", "verify") == {
        "log": made["audit_log"], "sound": True, "entries": 1, "first_bad": None, "what": sluis("audit", "verify")["what"],
    }  # fmt: skip
    assert all(found["ok"] for found in sluis("doctor"))


def test_init_never_writes_over_something(sluis: Cli) -> None:
    before = (sluis.home / "sluis.toml").read_bytes()
    assert "not empty" in sluis.refused("init")
    assert (sluis.home / "sluis.toml").read_bytes() == before


@pytest.mark.parametrize("option", [["--intake-port", "70000"], ["--portal-port", "-1"], ["--intake-port", "ssh"]])
def test_init_refuses_a_port_that_is_none(sluis: Cli, tmp_path: Path, option: list[str]) -> None:
    sluis.home = tmp_path / "new"
    sluis.refused("init", *option, status=2)
    assert not sluis.home.exists()


def test_init_begins_no_home_when_its_database_is_not_there(sluis: Cli, tmp_path: Path) -> None:
    sluis.home = tmp_path / "new"
    said = sluis.refused("init", "--database", "postgresql+psycopg://sluis:w4chtw00rd@127.0.0.1:1/sluis")
    assert "w4chtw00rd" not in said and not sluis.home.exists()


@pytest.mark.postgres
def test_init_on_postgresql(sluis: Cli, tmp_path: Path, postgres_url: str) -> None:
    sluis.home = tmp_path / "new"
    sluis("init", "--database", postgres_url)
    begin(sluis, tmp_path)
    assert [row["campaign"] for row in sluis("campaign", "list")] == ["2026-M"]
    assert not (sluis.home / "sluis.sqlite").exists()
    assert sluis("init", "--upgrade")["tables"] == "current"
    assert sluis("audit", "verify")["sound"]


def test_upgrade_makes_the_folders_that_older_homes_lack(sluis: Cli) -> None:
    """By the administrator, before a service starts: a role that made the one with the rules could add its own."""
    for name in ("policies", "handed-out"):
        (sluis.home / name).rmdir()
    assert sluis("init", "--upgrade")["tables"] == "current"
    assert [stat.S_IMODE((sluis.home / name).stat().st_mode) for name in ("policies", "handed-out")] == [0o700, 0o700]


def test_upgrade_wants_a_home_with_its_database(sluis: Cli, tmp_path: Path) -> None:
    assert sluis("init", "--upgrade")["tables"] == "current"
    (sluis.home / "sluis.sqlite").rename(tmp_path / "sluis.sqlite")
    assert "sluis.sqlite is missing" in sluis.refused("init", "--upgrade", status=3)
    assert not (sluis.home / "sluis.sqlite").exists(), "an empty one would know of no drop"
    configuration = sluis.home / "sluis.toml"
    url = "postgresql+psycopg://sluis:w4chtw00rd@127.0.0.1:1/sluis"
    configuration.write_text(configuration.read_text().replace('url = ""', f'url = "{url}"'))
    said = sluis.refused("init", "--upgrade", status=3)
    assert "can't be opened" in said and "w4chtw00rd" not in said
    sluis.home = tmp_path / "nothing"
    sluis.refused("init", "--upgrade", status=3)


# ---------------------------------------------------------------- register schools


def test_schools_are_imported_and_listed(sluis: Cli, tmp_path: Path) -> None:
    schools = register_file(tmp_path, {"01AA00": "10001", "02BB00": "10002"})
    said = sluis("register", "schools", schools)
    assert {name: count for name, count in said.items() if count} == {"schools": 2, "boards": 2, "added": 2, "board_added": 2}
    (row,) = sluis("register", "list")
    assert (row["register"], row["rows"]) == ("schools", 2) and len(row["sha256"]) == 64


def test_a_dry_run_shows_what_would_change_and_changes_nothing(sluis: Cli, tmp_path: Path) -> None:
    sluis("register", "schools", register_file(tmp_path, {"01AA00": "10001", "02BB00": "10002"}), "--as-of", "2020-01-01")

    def everything() -> list[object]:
        home = sluis.opened()
        with home.ledger.view() as session:
            mandates = [tuple(row) for row in session.exec(select(Mandate.school, Mandate.board, Mandate.valid_until))]
        home.ledger.engine.dispose()
        return [mandates, sluis("register", "list"), [row["action"] for row in sluis("audit", "show")]]

    before = everything()
    other = register_file(tmp_path, {"01AA00": "10002", "03CC00": "10003"}, "anders.csv")
    shown = sluis("register", "schools", other, "--dry-run")
    assert shown["changed"] is False and (shown["added"], shown["moved"], shown["ended"]) == (1, 1, 1)
    assert [(one["change"], one["of"], one["from"], one["to"]) for one in shown["changes"]] == [
        ("added", "03CC00", None, "10003"),
        ("moved", "01AA00", "10001", "10002"),
        ("ended", "02BB00", "10002", None),
        ("board added", "10003", None, None),
        ("board ended", "10001", None, None),
    ]
    assert "moved" in sluis.run("register", "schools", other, "--dry-run")[1]
    assert everything() == before
    assert sluis("register", "schools", other)["moved"] == 1
    assert everything() != before


def test_half_a_register_is_refused_unless_it_is_accepted(sluis: Cli, tmp_path: Path) -> None:
    country = {f"{number:02}AA00": f"100{number:02}" for number in range(60)}
    sluis("register", "schools", register_file(tmp_path, country), "--as-of", "2020-01-01")
    half = register_file(tmp_path, dict(list(country.items())[:30]), "half.csv")
    said = sluis.refused("register", "schools", half)
    assert "30 of 60 schools (50%)" in said and "--accept" in said
    assert sluis("register", "school", "59AA00")["board"] == "10059"
    shown = sluis("register", "schools", half, "--dry-run")
    assert shown["ended"] == 30 and len(shown["suspicious"]) == 1
    assert sluis("register", "schools", half, "--accept")["ended"] == 30
    assert sluis("register", "school", "59AA00")["board"] is None


def test_a_file_that_tells_no_kinds_leaves_the_known_ones(sluis: Cli, tmp_path: Path) -> None:
    told = tmp_path / "soorten.csv"
    told.write_text("BEVOEGD GEZAG NUMMER;VESTIGINGSCODE;VESTIGINGSNAAM;SOORT PO\n10001;01AA00;Basisschool 01AA00;So\n")
    sluis("register", "schools", told, "--as-of", "2020-01-01")
    sluis("register", "schools", register_file(tmp_path, {"01AA00": "10001"}))
    assert sluis("register", "school", "01AA00")["kind"] == "so"


def test_a_school_and_a_board_tell_their_history(sluis: Cli, tmp_path: Path) -> None:
    sluis("register", "schools", register_file(tmp_path, {"01AA00": "10001", "02BB00": "10002"}), "--as-of", "2020-01-01")
    sluis("register", "schools", register_file(tmp_path, {"01AA00": "10002", "02BB00": "10002"}), "--as-of", "2021-08-01")
    school = sluis("register", "school", "01AA00")
    assert (school["name"], school["board"]) == ("Basisschool 01AA00", "10002")
    assert school["history"] == [
        {"board": "10001", "board_name": "Stichting 10001", "valid_from": "2020-01-01", "valid_until": "2021-08-01"},
        {"board": "10002", "board_name": "Stichting 10002", "valid_from": "2021-08-01", "valid_until": None},
    ]
    board = sluis("register", "board", "10001")
    assert board["schools"] == 0 and [row["school"] for row in board["history"]] == ["01AA00"]
    status, out, _ = sluis.run("register", "board", "10002")
    assert status == 0 and "01AA00" in out and "2021-08-01" in out
    sluis.refused("register", "school", "99ZZ99")
    assert "not a BRIN" in sluis.refused("register", "school", "01AA")
    assert sluis("register", "school", "01aa00") == sluis("register", "school", "01AA00"), "as somebody types it"
    sluis.refused("register", "board", "99999")


def test_a_file_that_is_no_register_is_refused(sluis: Cli, tmp_path: Path) -> None:
    wrong = tmp_path / "x.csv"
    wrong.write_text(f"bsn;naam\n{BSN};Jantje\n")
    said = sluis.refused("register", "schools", wrong)
    assert BSN not in said and "Jantje" not in said
    assert sluis("register", "list") == []


# ---------------------------------------------------------------- vendor


def test_vendors_come_and_go(sluis: Cli, tmp_path: Path) -> None:
    first, second = public_key(tmp_path, "one"), public_key(tmp_path, "two")
    made = sluis("vendor", "add", "cito", "--ssh-key", first, "--ssh-key", second, "--from", "192.0.2.0/24")
    assert len(made["keys"]) == 2
    (row,) = sluis("vendor", "list")
    assert (row["vendor"], row["keys"]) == ("cito", 2)
    shown = sluis("vendor", "show", "cito")
    assert [key["from"] for key in shown["keys"]] == [["192.0.2.0/24"]] * 2 and "somebody@somewhere" not in repr(shown)
    sluis("vendor", "remove", "cito", "--key", made["keys"][0])
    assert [key["fingerprint"] for key in sluis("vendor", "show", "cito")["keys"]] == made["keys"][1:]
    sluis("vendor", "remove", "cito")
    assert sluis("vendor", "list") == []
    sluis.refused("vendor", "show", "cito")


@pytest.mark.parametrize("wrong", [["Cito!", "--ssh-key", "KEY"], ["cito", "--ssh-key", "KEY", "--from", "nowhere"]])
def test_a_vendor_that_can_not_be_is_refused(sluis: Cli, tmp_path: Path, wrong: list[str]) -> None:
    sluis.refused("vendor", "add", *(public_key(tmp_path) if word == "KEY" else word for word in wrong))
    assert sluis("vendor", "list") == []


# ---------------------------------------------------------------- campaign and enrolment


def test_a_campaign_is_made_listed_and_shown(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    (row,) = sluis("campaign", "list")
    assert (row["campaign"], row["boards"], row["enrol_until"]) == ("2026-M", 1, (TODAY + timedelta(days=10)).isoformat())
    shown = sluis("campaign", "show", "2026-M")
    assert (shown["boards_enrolled"], shown["boards_not_final"], shown["objection_registers"], shown["drops"]) == (1, 0, 0, {})
    assert sluis.opened().mortal.exists("objections", "2026-M")


def test_a_moment_without_a_zone_is_meant_in_amsterdam(sluis: Cli) -> None:
    sluis("campaign", "create", "zomer", *days()[:-2], "--publish-from", "2036-07-01T09:00")
    sluis("campaign", "create", "winter", *days()[:-2], "--publish-from", "2036-12-01T09:00+00:00")
    with sluis.opened().ledger.view() as session:
        moments = {found.name: found.publish_from for found in session.exec(select(Campaign))}
    assert moments == {"zomer": datetime(2036, 7, 1, 7, 0, tzinfo=UTC), "winter": datetime(2036, 12, 1, 9, 0, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["2026-M", *days()], 1),
        (["a/b", *days()], 1),
        (["nieuw", *days(objections_until=1)], 1),
        (["nieuw", *days()[:-1], "soon"], 2),
        (["nieuw", *days()[2:]], 2),
    ],
)
def test_a_campaign_that_can_not_be_leaves_nothing(sluis: Cli, tmp_path: Path, arguments: list[str], status: int) -> None:
    begin(sluis, tmp_path)
    keys = sluis("key", "list", "--every")
    sluis.refused("campaign", "create", *arguments, status=status)
    assert [row["campaign"] for row in sluis("campaign", "list")] == ["2026-M"]
    assert sluis("key", "list", "--every") == keys


def test_an_enrolment_is_final_with_both_papers_and_in_time_or_late(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path, enrol_until=-1, objections_from=0)
    today, yesterday = TODAY.isoformat(), (TODAY - timedelta(days=1)).isoformat()
    add = ("enrol", "add", "10002", "--campaign", "2026-M", "--vendor", "cito")

    def answer(*papers: str) -> tuple[bool, str]:
        said = sluis(*add, *papers)
        return said["final"], said["entitled_to"]

    assert answer("--contract", yesterday) == (False, "nothing")
    assert answer("--form", today) == (True, "regular reports")
    assert answer("--form", yesterday) == (True, "growth and regular reports")
    assert "still to come" in sluis.refused(*add, "--form", (TODAY + timedelta(days=2)).isoformat())
    rows = sluis("enrol", "list", "--campaign", "2026-M")
    assert [(row["board"], row["contract_on"], row["form_on"], row["final"], row["entitled_to"]) for row in rows] == [
        ("10001", today, today, True, "regular reports"),
        ("10002", yesterday, yesterday, True, "growth and regular reports"),
    ]
    shown = sluis("campaign", "show", "2026-M")
    assert (shown["boards_enrolled"], shown["boards_late"], shown["boards_not_final"]) == (1, 1, 0)


@pytest.mark.parametrize("separator", [";", ","])
def test_enrolments_are_imported_all_or_none(sluis: Cli, tmp_path: Path, separator: str) -> None:
    begin(sluis, tmp_path)
    header, today = "board;vendor;contract_on;form_on", TODAY.isoformat()
    file = tmp_path / "aanmeldingen.csv"

    def write(*lines: str) -> Path:
        file.write_bytes(("\ufeff" + "\r\n".join([header, *lines]).replace(";", separator)).encode())
        return file

    for wrong, expected in (
        ((f"10002;cito;{today};", f"{BSN};cito;;"), "Line 3"),
        ((f"10002;cito;{today};", f"10001;{BSN};;"), "Line 3"),
        (("10002;cito;vandaag;",), "Line 2"),
        (("10002;cito",), "Line 2"),
        ((f"10002;cito;{today};", "", "10001;cito;vandaag;"), "Line 4"),  # an empty line is one as well
        ((f"10002;cito;{today};", "1" * 200_000 + ";cito;;"), "Line 3"),  # more than Python's csv takes as one field
    ):
        said = sluis.refused("enrol", "import", write(*wrong), "--campaign", "2026-M")
        assert expected in said and BSN not in said and "vandaag" not in said
    assert [row["board"] for row in sluis("enrol", "list", "--campaign", "2026-M")] == ["10001"]
    assert sluis("enrol", "import", write(f"10001;cito;{today};", f"10002;cito;{today};{today}"), "--campaign", "2026-M")["sign_ups"] == 2
    assert [row["final"] for row in sluis("enrol", "list", "--campaign", "2026-M")] == [True, True]


@pytest.mark.parametrize("content", [b"board;vendor\n10001;cito\n", b"", b"board;vendor;contract_on;form_on\n\xff\xfe;;;\n"])
def test_a_list_of_another_form_is_refused(sluis: Cli, tmp_path: Path, content: bytes) -> None:
    begin(sluis, tmp_path)
    (tmp_path / "x.csv").write_bytes(content)
    sluis.refused("enrol", "import", tmp_path / "x.csv", "--campaign", "2026-M")


def test_a_list_for_a_campaign_that_is_not_there_is_refused(sluis: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("board;vendor;contract_on;form_on\n")
    sluis.refused("enrol", "import", tmp_path / "x.csv", "--campaign", "2031-M")


def test_a_folder_without_reports_is_refused_and_not_taken_for_an_import(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    (tmp_path / "leeg").mkdir()
    assert "no PDF" in sluis.refused("report", "import", tmp_path / "leeg", "--campaign", "2026-M")
    (file := tmp_path / "een-bestand").touch()
    for given in (tmp_path / "nergens", file):
        sluis.refused("report", "import", given, "--campaign", "2026-M", status=2)
    sluis.refused("dataset", "export", "--project", "kansen", "--to", file, status=2)
