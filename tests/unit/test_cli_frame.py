"""The frame of the command line: every command of the contract, its flags, its exit statuses, and how it says no."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli import app as frame
from gateway.cli import campaign
from gateway.cli.app import COMMANDS, app, run
from gateway.cli.output import show
from gateway.cli.settings import Settings
from tests.support.cli import BSN, ONDERWIJSNUMMER, Cli, begin, days

#: contract.md, "Command line"
CONTRACT = """
init | serve | demo | vendor add | vendor list | vendor show | vendor remove | register schools | register persons | register background
campaign create | campaign list | campaign show | enrol add | enrol import | enrol list | objection import | objection add
objection withdraw | objection status | drop list | drop show | drop receipt | drop erase | retention status | retention run
report build | report import | publish | withdraw | credential issue | credential list | credential revoke | dataset export
key list | key rotate | key destroy | audit show | audit verify | audit prove | doctor | deliver check | deliver send
"""
EVERY = [name.split() for line in CONTRACT.strip().splitlines() for name in line.split(" | ")]
FLAGS = {
    "vendor add": ["--ssh-key", "--from"],
    "campaign create": ["--enrol-until", "--objections-from", "--objections-until", "--deliver-until", "--publish-from"],
    "enrol add": ["--campaign", "--vendor", "--contract", "--form"],
    "objection import": ["--campaign"],
    "drop erase": ["--reason"],
    "report build": ["--campaign", "--school"],
    "report import": ["--campaign"],
    "publish": ["--campaign"],
    "withdraw": ["--campaign", "--board"],
    "credential issue": ["--all", "--letters", "--valid-until"],
    "dataset export": ["--project", "--to"],
    "deliver send": ["--to"],
    "demo": ["--register", "--boards", "--pupils", "--home", "--seed", "--exit"],
}


def leaves(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command there is, with its name."""
    command = command or typer.main.get_command(app)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from leaves(command.get_command(None, name), (*path, name))
    else:
        yield " ".join(path), command


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS) and "--home" in said and "--json" in said
    assert {name for name, *_ in EVERY} <= set(COMMANDS)


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_of_the_contract_is_there_and_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"sluis {' '.join(command)}" in said
    assert all(flag in said for flag in FLAGS.get(" ".join(command), []))


def test_every_command_says_what_it_does() -> None:
    found = dict(leaves())
    assert {" ".join(name) for name in EVERY} <= found.keys()
    assert all(command.help or command.short_help for command in found.values())


def test_no_command_takes_a_pupils_number_as_an_argument() -> None:
    forbidden = ("bsn", "onderwijsnummer", "ond", "pupil", "leerling", "number", "nummer", "birth", "geboorte", "person", "postcode")
    for name, command in leaves():
        for parameter in command.params:
            words = {parameter.name, *(option.lstrip("-") for option in parameter.opts)}
            words = {part for word in words if word for part in word.replace("-", "_").split("_")}
            counts = name == "demo" and "pupils" in words  # how many of them
            assert counts or not any(word.rstrip("s") in forbidden for word in words), f"{name} {parameter.name}"


@pytest.mark.parametrize("number", [BSN, ONDERWIJSNUMMER])
def test_a_number_given_all_the_same_is_refused_and_stands_in_no_file(sluis: Cli, tmp_path: Path, number: str) -> None:
    begin(sluis, tmp_path)
    sluis.refused("objection", "add", "01AA00", number, "--campaign", "2026-M", status=2)
    sluis.refused("key", "destroy", "objections", "2026-M", "--yes", "--reason", f"leerling {number}")
    sluis.refused("campaign", "create", number, *days())
    for file in sluis.home.rglob("*"):
        assert not file.is_file() or number.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["nonsense"], 2),
        (["campaign", "nonsense"], 2),
        (["campaign", "list", "--nonsense"], 2),
        (["campaign", "create", "x"], 2),
        (["enrol", "add", "10001", "--campaign", "x", "--vendor", "cito", "--contract", "31-12-2026"], 2),
        (["enrol", "import", "/nonexistent", "--campaign", "x"], 2),
        (["objection", "import", "/nonexistent", "--campaign", "x"], 2),
        (["register", "schools", "/nonexistent"], 2),
        (["audit", "check", "/nonexistent", "--key", "/nonexistent"], 2),
        (["campaign", "show", "nonexistent"], 1),
        (["enrol", "list", "--campaign", "nonexistent"], 1),
        (["drop", "show", "nonexistent"], 1),
        (["drop", "receipt", "nonexistent"], 1),
        (["drop", "erase", "nonexistent", "--reason", "x"], 1),
        (["audit", "prove", "nonexistent"], 1),
        (["vendor", "show", "nonexistent"], 1),
        (["vendor", "remove", "nonexistent"], 1),
        (["vendor", "add", "x", "--ssh-key", "/nonexistent"], 1),
        (["objection", "status", "--campaign", "nonexistent"], 1),
        (["objection", "add", "01AA00", "--campaign", "nonexistent"], 1),
        (["key", "destroy", "drops", "nonexistent", "--reason", "x"], 1),
        (["key", "rotate", "authority"], 1),
        (["init"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_an_error_is_one_line_with_a_hint_and_its_status(sluis: Cli, arguments: list[str], status: int) -> None:
    sluis.refused(*arguments, status=status)


def test_without_a_home_the_usage_is_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUIS_HOME", raising=False)
    assert run(["drop", "list"]) == 2
    assert "--home DIR" in capsys.readouterr().err


def test_the_environment_names_the_home(sluis: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLUIS_HOME", str(sluis.home))
    assert run(["--json", "drop", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("damage", ["missing", "configuration", "permissions"])
def test_a_home_that_is_not_sound_ends_with_3(sluis: Cli, damage: str, tmp_path: Path) -> None:
    if damage == "missing":
        sluis.home = tmp_path / "nothing"
    elif damage == "configuration":
        (sluis.home / "sluis.toml").write_text("[nonsense]\n")
    else:
        (sluis.home / "mortal").chmod(0o750)
    for command in (["drop", "list"], ["doctor"], ["audit", "verify"], ["retention", "run"]):
        sluis.refused(*command, status=3)


def test_json_stands_before_or_after_the_command(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    answers = [sluis.run(*words) for words in (("--json", "vendor", "list"), ("vendor", "--json", "list"), ("vendor", "list", "--json"))]
    assert [status for status, _, _ in answers] == [0, 0, 0]
    assert len({out for _, out, _ in answers}) == 1 and json.loads(answers[0][1])[0]["vendor"] == "cito"


@pytest.mark.parametrize(
    "command",
    [
        "vendor list",
        "register list",
        "campaign list",
        "drop list",
        "credential list",
        "key list",
        "audit show",
        "doctor",
    ],
)
def test_what_lists_answers_with_one_json_document_or_a_table(sluis: Cli, command: str) -> None:
    document = sluis(*command.split())
    assert isinstance(document, list)
    status, out, _ = sluis.run(*command.split())
    assert status == 0 and out.strip() and not out.lstrip().startswith(("[{", "{"))


def test_a_fault_of_ours_is_told_without_a_traceback_or_a_value(sluis: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError(f"row {BSN}")

    monkeypatch.setattr(campaign, "campaigns", broken)
    status, out, err = sluis.run("campaign", "list")
    assert (status, out) == (3, "")
    assert BSN not in err and "Traceback" not in err and "sluis: Something went wrong inside Sluis." in err
    assert "gateway.cli.campaign" in err, "the place is named"


def test_stopping_and_broken_pipes_end_quietly(sluis: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, expected in ((KeyboardInterrupt(), 130), (BrokenPipeError(), 0)):

        def stop(_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(campaign, "campaigns", stop)
        status, _, err = sluis.run("campaign", "list")
        assert status == expected and "Traceback" not in err


def test_a_group_alone_shows_its_help(sluis: Cli) -> None:
    status, out, err = sluis.run("campaign")
    assert status == 2 and "create" in out + err


def test_main_leaves_with_the_status(sluis: Cli) -> None:
    with pytest.raises(SystemExit) as leaving:
        frame.main(["--home", str(sluis.home), "campaign", "show", "nonexistent"])
    assert leaving.value.code == 1


def test_a_value_is_shown_as_it_is(sluis: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """A vendor may call a file anything: a name is not markup."""
    context = typer.Context(typer.main.get_command(app))
    context.obj = Settings(home=None, json=False)
    name = "groep [bold]8[/bold] [/red][link=http://x]y"
    show(context, {"file": name})
    show(context, [{"file": name, "ok": True, "none": None, "list": ["a", 1]}])
    said = capsys.readouterr().out
    assert said.count(name) == 2 and "yes" in said and "–" in said and "a, 1" in said
