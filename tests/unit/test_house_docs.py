"""Documents that can't rot: what they say about the code is compared with the code."""

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.app import app
from tests.support.docs import GENERATED, renewed

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "audit").glob("*.md")])
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)|!\[[^\]]*\]\(([^)\s]+)\)")


def commands_in(text: str) -> Iterator[list[str]]:
    """What follows `sluis` in code: its words, without global flags."""
    for block, span in CODE.findall(text):
        for line in (block or span).splitlines():
            if match := re.search(r"(?:^|[\s/])sluis ((?:--home \S+ |--json )*)([a-z].*)", line.split("#")[0]):
                yield shlex.split(match[2].replace("…", ""))


def missing(words: list[str]) -> str:
    """What in `words` the command line does not know, or nothing."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command)
    for word in words:
        if hasattr(command, "get_command"):
            found = command.get_command(context, word)
            if found is None:
                return "" if word.startswith(("-", "[")) or command.invoke_without_command else word
            command, context = found, found.context_class(found, parent=context)
        elif word.startswith("--"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            if word.split("=")[0] not in known | {"--json", "--help"}:
                return word
    return ""


ALL_COMMANDS = sorted({(path.relative_to(ROOT).as_posix(), tuple(words)) for path in DOCUMENTS for words in commands_in(path.read_text())})


@pytest.mark.parametrize("document, words", ALL_COMMANDS, ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_every_command_in_a_document_exists(document: str, words: tuple[str, ...]) -> None:
    assert missing(list(words)) == "", f"{document} names `sluis {' '.join(words)}`"


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    assert list(commands_in("see `sluis drop vanish ID` and `sluis doctor`")) == [["drop", "vanish", "ID"], ["doctor"]]
    assert missing(["vanish"]) == "vanish"
    assert missing(["init", "--no-such-flag"]) == "--no-such-flag"


@pytest.mark.parametrize("document", GENERATED)
def test_generated_parts_are_those_of_the_code(document: str) -> None:
    text = (ROOT / document).read_text()
    assert text == renewed(document, text), "run python -m tests.support.docs"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link, image in LINK.findall(path.read_text()):
        target = link or image
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name} points to {target}"


def test_each_decision_has_a_number_of_its_own_and_says_it() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in records]
    assert numbers == list(range(1, len(records) + 1))
    assert [re.match(r"# (\d+)\. ", path.read_text())[1] for path in records] == [str(number) for number in numbers]  # type: ignore[index]
    for path in DOCUMENTS:
        for said, target in re.findall(r"\[decision (\d+)\]\([^)]*?(\d{4})-[^)]*\)", path.read_text()):
            assert int(said) == int(target), f"{path.name} calls decision {int(target)} {said}"


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        for block, span in CODE.findall(path.read_text()):
            named = set(re.findall(r"^make ([a-z]+)", block or span, re.MULTILINE))
            assert named <= targets, f"{path.name} names {named - targets}"


def test_every_package_is_built_typed_measured_and_bound_by_the_import_rules() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(project["importlinter"]["root_packages"]) == set(project["mypy"]["packages"])
    assert packages == {name.rstrip("*") for name in project["setuptools"]["packages"]["find"]["include"]}


def test_files_stay_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {count}"
        for package in ("gateway", "keys", "policies", "audit", "tests")
        for path in (ROOT / package).rglob("*.py")
        if "versions" not in path.parts  # migrations are lists of columns, frozen once released
        if (count := len(path.read_text().splitlines())) > 400
    ]
    assert long == []


def test_locks_name_no_place() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-vendor.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "index-url" not in text and " @ " not in text and "find-links" not in text
        pinned = re.findall(r"^[a-z0-9][^ \n]*==\S+", text, re.MULTILINE)
        assert len(pinned) > 20 and text.count("--hash=sha256:") >= len(pinned)


def test_a_vendor_gets_what_the_gateway_has_and_less_of_it() -> None:
    def entries(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL))

    vendor, everything = entries("requirements-vendor.lock"), entries("requirements.lock")
    assert vendor < everything
    assert not any(entry.startswith(("dbos", "sqlalchemy", "sqlmodel", "asyncssh", "starlette", "uvicorn", "typst")) for entry in vendor)


def test_what_the_code_imports_is_declared() -> None:
    """A library that comes along only because another one needs it may leave with that one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    declared = {re.split(r"[^a-z0-9-]", requirement.lower())[0].replace("-", "_") for requirement in requirements}
    ours = {"gateway", "keys", "policies", "audit"}
    names = importlib.import_module("importlib.metadata").packages_distributions()
    stdlib = __import__("sys").stdlib_module_names
    for package in ours:
        for path in (ROOT / package).rglob("*.py"):
            for module in re.findall(r"^\s*(?:from|import) ([a-zA-Z_]\w*)", path.read_text(), re.MULTILINE):
                if module in names and module not in ours | stdlib:
                    distributions = {name.lower().replace("-", "_") for name in names[module]}
                    assert distributions & declared, f"{path.relative_to(ROOT)} imports {module}"
