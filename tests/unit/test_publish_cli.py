"""`sluis publish`, `withdraw` and `credential` as an administrator types them."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import pypdf
import pytest
from sqlmodel import select

from gateway.cli.app import run
from gateway.store.home import Home
from gateway.store.models import Credential
from keys import passwords
from tests.support.boards import CAMPAIGN, Boards, add_report, make_boards


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    return make_boards(tmp_path / "home", {"11111": ["01AA00"], "22222": ["02BB00"]})


def sluis(boards: Boards, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    status = run(["--home", str(boards.home.path), "--json", *arguments])
    printed = capsys.readouterr()
    return status, json.loads(printed.out) if status == 0 else printed.err


def test_publish_and_withdraw(boards: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    status, done = sluis(boards, capsys, "publish", "--campaign", CAMPAIGN)
    assert status == 0
    assert {name: done[name] for name in ("published", "replaced", "unchanged", "reports")} == {
        "published": 2,
        "replaced": 0,
        "unchanged": 0,
        "reports": 2,
    }
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7 beter")
    status, told = sluis(boards, capsys, "publish", "--campaign", CAMPAIGN)
    assert status == 2 and "--reason" in told and "Traceback" not in told
    assert sluis(boards, capsys, "publish", "--campaign", CAMPAIGN, "--reason", "aangevuld")[1]["replaced"] == 1
    assert sluis(boards, capsys, "withdraw", "--campaign", CAMPAIGN, "--board", "22222", "--reason", "fout")[1]["withdrawn"] == 1
    assert sluis(boards, capsys, "withdraw", "--campaign", CAMPAIGN, "--board", "22222")[0] == 1
    assert sluis(boards, capsys, "publish", "--campaign", "2031-M")[0] == 1


def test_letters_hold_the_passwords_and_nothing_else_does(boards: Boards, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "brieven"
    status, issued = sluis(boards, capsys, "credential", "issue", "--all", "--letters", str(folder), "--valid-until", "2099-06-30")
    assert status == 0
    assert [row["board"] for row in issued] == ["11111", "22222"]
    assert all("password" not in row for row in issued)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with Home.open(boards.home.path).ledger.view() as session:
        hashes = {row.board: row.password_hash for row in session.exec(select(Credential))}
    for row in issued:
        letter = Path(row["letter"])
        assert stat.S_IMODE(letter.stat().st_mode) == 0o600
        text = pypdf.PdfReader(io.BytesIO(letter.read_bytes())).pages[0].extract_text()
        # the groups of a password, however the reader spaces them: try every stretch of the right length
        plain = passwords.normalise(text)
        start = plain.index("wachtwoord", plain.index("bestuursnummer")) + len("wachtwoord")
        length = passwords.GROUPS * passwords.GROUP_CHARACTERS
        assert passwords.verify(plain[start : start + length], hashes[row["board"]])


def test_half_a_letter_of_a_killed_command_is_removed(boards: Boards, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "brieven"
    folder.mkdir()
    (folder / ".11111.pdf.0123abcd.tmp").write_bytes(b"a password")
    (folder / "11111-oud.pdf").write_bytes(b"the administrator's own")
    assert sluis(boards, capsys, "credential", "issue", "22222", "--letters", str(folder))[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["11111-oud.pdf", "22222.pdf"]


def test_without_letters_the_password_is_shown_once(boards: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    _, issued = sluis(boards, capsys, "credential", "issue", "11111")
    password = issued[0]["password"]
    assert passwords.STRENGTH_BITS >= 80
    for file in boards.home.path.rglob("*"):
        if file.is_file():
            for spelled in (password, passwords.normalise(password)):
                assert spelled.encode() not in file.read_bytes(), file
    assert password not in json.dumps(sluis(boards, capsys, "credential", "list")[1])


def test_list_and_revoke(boards: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    sluis(boards, capsys, "credential", "issue", "11111", "22222")
    assert sluis(boards, capsys, "credential", "revoke", "22222")[0] == 0
    listed = sluis(boards, capsys, "credential", "list")[1]
    assert [(row["board"], row["state"], row["last_login_at"]) for row in listed] == [("11111", "valid", None), ("22222", "revoked", None)]
    assert sluis(boards, capsys, "credential", "revoke", "22222")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["issue"], 2), (["issue", "11111", "--all"], 2), (["issue", "99999"], 1), (["issue", "11111", "--valid-until", "2001-01-01"], 2)],
)
def test_what_is_refused_changes_nothing(boards: Boards, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int) -> None:
    assert sluis(boards, capsys, "credential", *arguments)[0] == status
    assert sluis(boards, capsys, "credential", "list")[1] == []
