"""What reaches the log, and what must not."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.logging import WITHHELD, configure_logging, holds_identifier
from policies.errors import Refused

BSN = "111222333"
BSN_WITH_ZERO = "010464554"
ONDERWIJSNUMMER = "101222331"


def with_check_digit(first_eight: int) -> int:
    """A BSN that starts so; 10 is no digit, so one in eleven starts has none (then the next start's)."""
    check = sum((9 - i) * int(d) for i, d in enumerate(f"{first_eight:08d}")) % 11
    return first_eight * 10 + check if check < 10 else with_check_digit(first_eight + 1)


bsns = st.integers(1_000_000, 99_999_990).map(with_check_digit)


@pytest.fixture(autouse=True)
def leave_no_trace() -> Iterator[None]:
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    configure_logging(server=True, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        BSN, "111.222.333", "1112.22.333", "11.12.22.333", "111 222 333", "111\u00a0222\u00a0333", "111-222-333", "1112 22 333",
        f"bsn={BSN};", f"'{BSN}'", f"5,{BSN},M", "row 3: 111 222 333", BSN_WITH_ZERO, "10464554", ONDERWIJSNUMMER,
        f"({BSN})", f"pupil:{BSN}.",
    ],
)  # fmt: skip
def test_text_shaped_like_an_identifier_is_seen(text: str) -> None:
    assert holds_identifier(text)


@pytest.mark.parametrize("value", [111222333, 10464554, 111222333.0, BSN.encode(), [BSN], {"a": 111222333}, ("x", BSN)])
def test_other_values_shaped_like_an_identifier_are_seen(value: object) -> None:
    assert holds_identifier(value)


@pytest.mark.parametrize(
    "text",
    [
        "111222334", "d20261121-abcdefgh", "2026-11-21T22:10:05Z", "192.168.12.111", "1112223330", f"a{BSN}", f"{BSN}a", "0.111222333",
        "12AB34", "000000000", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "rows 12 of 14", "", "port 2222",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert not holds_identifier(text)


@given(bsns, st.sampled_from(["", ".", " ", "-", "\u00a0"]), st.sampled_from(["{}", "bsn {}", "a;{};b", '"{}"', "{},2", "7 {}"]))
def test_every_bsn_is_seen_however_it_is_written(number: int, separator: str, around: str) -> None:
    digits = f"{number:09d}"
    assert holds_identifier(around.format(separator.join((digits[:3], digits[3:6], digits[6:]))))
    assert holds_identifier(number)


def test_a_line_says_that_something_was_withheld_and_keeps_the_rest(log: io.StringIO) -> None:
    structlog.get_logger("test").info("checked", drop="d20261121-abc", rows=3, detail={"seen": [BSN, 4]}, **{BSN: 1})
    (line,) = lines(log)
    assert line["drop"] == "d20261121-abc" and line["rows"] == 3 and line["event"] == "checked" and line["level"] == "info"
    assert line["detail"] == {"seen": [WITHHELD, 4]}
    assert WITHHELD in line and BSN not in log.getvalue()


def test_lines_of_libraries_pass_the_same_net(log: io.StringIO) -> None:
    logging.getLogger("a.library").warning("bad value %s at %d", "111.222.333", 7)
    logging.getLogger("asyncssh").info("connection from somewhere")
    (line,) = lines(log)
    assert line["event"] == WITHHELD and line["logger"] == "a.library"


def test_an_exception_shows_type_place_and_code_only(log: io.StringIO) -> None:
    try:
        try:
            int("Jansen")
        except ValueError as error:
            raise Refused("bad-row", "Jansen is no number.") from error
    except Refused:
        structlog.get_logger("test").exception("refused")
        logging.getLogger("library").exception("also refused")
    assert "Jansen" not in log.getvalue()
    for line in lines(log):
        outer, inner = line["exception"]  # type: ignore[misc]
        assert outer.startswith("policies.errors.Refused (bad-row) at") and "test_an_exception_shows" in outer
        assert inner.startswith("ValueError at")


def test_a_line_that_cannot_be_formatted_does_not_print_its_arguments() -> None:
    set_up = "import logging; from gateway.cli.logging import configure_logging; configure_logging()"
    code = f"{set_up}; logging.getLogger('x').error('%d pupils', 'Jansen')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == "a log line of x could not be written\n"


def test_what_nobody_caught_ends_as_a_log_line_without_its_text() -> None:
    code = "from gateway.cli.logging import configure_logging; configure_logging(server=True); raise ValueError('Jansen 111222333')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "Jansen" not in done.stderr and "111222333" not in done.stderr
    assert json.loads(done.stderr)["exception"] == ["ValueError at __main__:1 in <module>"]


def test_a_terminal_gets_readable_lines() -> None:
    stream = io.StringIO()
    configure_logging(server=False, stream=stream)
    structlog.get_logger("test").info("drop received", bytes=12)
    assert "drop received" in stream.getvalue() and "bytes" in stream.getvalue() and not stream.getvalue().startswith("{")
