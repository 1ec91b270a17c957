"""`sluis.toml`: what is written reads back the same, what is wrong is named, and no value is ever repeated."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.config import (
    Authority,
    Configuration,
    Database,
    Intake,
    Portal,
    Retention,
    read_configuration,
    write_configuration,
)
from policies.errors import Unsound

SECRET = "w4chtw00rd"
#: every character that a file in UTF-8 can hold
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


def read(tmp_path: Path, text: str | bytes) -> Configuration:
    path = tmp_path / "sluis.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_configuration(path)


def refused(tmp_path: Path, text: str | bytes) -> Unsound:
    with pytest.raises(Unsound) as refusal:
        read(tmp_path, text)
    assert refusal.value.exit_status == 3 and SECRET not in str(refusal.value) and SECRET not in repr(refusal.value.args)
    return refusal.value


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, write_configuration(Configuration())) == Configuration()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, st.integers(0, 65_535), st.integers(1, 21))
def test_any_text_survives_the_file(tmp_path: Path, name: str, url: str, port: int, days: int) -> None:
    given_ = Configuration(
        authority=Authority(name=name), database=Database(url=url), portal=Portal(port=port), retention=Retention(window_days=days)
    )
    assert read(tmp_path, write_configuration(given_)) == given_


def test_every_key_stands_in_the_file_with_what_it_means() -> None:
    written = write_configuration(Configuration())
    for section, values in tomllib.loads(written).items():
        assert set(values) == set(type(getattr(Configuration(), section)).model_fields)
    keys = [line for line in written.splitlines() if " = " in line]
    assert keys and all(re.search(r"  # \S.{8,}", line) for line in keys)


def test_a_key_with_a_unit_has_it_in_its_name() -> None:
    for line in write_configuration(Configuration()).splitlines():
        if match := re.search(r"^(\w+) = .*\[(bytes|s|ms|min|h|days)\]$", line):
            unit = {"bytes": "bytes", "s": "seconds", "ms": "milliseconds", "min": "minutes", "h": "hours", "days": "days"}[match[2]]
            assert match[1].rpartition("_")[2] == unit or f"_{unit}" in match[1], line


def test_what_is_not_named_has_its_default(tmp_path: Path) -> None:
    assert read(tmp_path, "[intake]\nport = 2022\n") == Configuration(intake=Intake(port=2022))
    assert read(tmp_path, "") == Configuration()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f'[database]\npassword = "{SECRET}"\n', "[database.password]"),
        (f'[databse]\nurl = "{SECRET}"\n', "[databse]"),
        (f'url = "{SECRET}"\n', "[url]"),
        ("[database]\nurl = 12\n", "[database.url]"),
        (f'[intake]\nport = "{SECRET}"\n', "[intake.port]"),
        ('[intake]\nport = "2222"\n', "[intake.port]"),
        ("[intake]\nport = true\n", "[intake.port]"),
        ("[intake]\nport = 2222.0\n", "[intake.port]"),
        ("[intake]\nport = 65536\n", "[intake.port]"),
        ("[intake]\nmax_file_bytes = 0\n", "[intake.max_file_bytes]"),
        ("[retention]\nwindow_days = 22\n", "[retention.window_days]"),
        ('[sharing]\ngroup_access = "yes"\n', "[sharing.group_access]"),
        ("[sharing]\ngroup_access = 1\n", "[sharing.group_access]"),
        (f'database = "{SECRET}"\n', "[database]"),
    ],
)
def test_a_key_that_is_wrong_is_named_and_its_value_is_not(tmp_path: Path, text: str, place: str) -> None:
    error = refused(tmp_path, text)
    assert error.code == "configuration-wrong" and place in error.message


@pytest.mark.parametrize(
    "text",
    [
        f'[database]\nurl = "{SECRET}\n',
        f"[database]\nurl = {SECRET}\n",
        f"[database]\nurl {SECRET}\n",
        f'[database]\nurl = "{SECRET}" "{SECRET}"\n',
        f'[database]\nurl = "\\q{SECRET}"\n',
        f'[database]\nurl = "x"\nurl = "{SECRET}"\n',
        f'[database]\nurl = "{SECRET}"'.encode() + b"\xff\n",
        b"\x00" + SECRET.encode(),
    ],
)
def test_a_file_that_can_not_be_read_is_told_by_its_place_only(tmp_path: Path, text: str | bytes) -> None:
    assert refused(tmp_path, text).code == "configuration-unreadable"


def test_a_missing_file_says_how_to_make_a_home(tmp_path: Path) -> None:
    with pytest.raises(Unsound) as refusal:
        read_configuration(tmp_path / "sluis.toml")
    assert refusal.value.code == "no-configuration" and "sluis init" in refusal.value.hint
    (tmp_path / "file").write_text("")
    with pytest.raises(Unsound) as refusal:
        read_configuration(tmp_path / "file" / "sluis.toml")
    assert refusal.value.code == "no-configuration"
