"""A file that takes deliveries back: told apart from results, read whole or refused whole, within bounds."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checks.check import Checked
from gateway.checks.findings import DropRefused, finding
from gateway.checks.withdrawal import MOST, Withdrawal, read_withdrawal, told_apart
from policies.rules import packaged_rules
from tests.support.deliveries import context, rows, write_csv

ONE, OTHER = "d20260120-abcdefghijklmnop", "d20260121-222333444555666a"


def read(*lines: str, header: str = "levering;reden") -> Withdrawal:
    return read_withdrawal(io.BytesIO("\n".join([header, *lines, ""]).encode()))


def test_each_delivery_with_its_reason_and_its_row() -> None:
    outcome = read(f"{ONE};onjuist", f"{OTHER}; Dubbel ")
    assert not outcome.refused and outcome.findings == []
    assert outcome.reasons == {ONE: "onjuist", OTHER: "dubbel"}
    assert outcome.rows == {ONE: 1, OTHER: 2}
    assert outcome.counts == {"rows": 2, "accepted_rows": 2, "refused_rows": 0}


def test_of_a_delivery_that_is_named_twice_the_first_row_counts() -> None:
    outcome = read(f"{ONE};onjuist", f"{ONE};anders")
    assert (outcome.reasons, outcome.rows) == ({ONE: "onjuist"}, {ONE: 1})


@pytest.mark.parametrize(
    ("line", "rule", "column"),
    [
        (f"{ONE};daarom", "code", "reden"),
        (f"{ONE};", "missing-value", "reden"),
        (";onjuist", "missing-value", "levering"),
        ("levering.csv.age;onjuist", "pattern", "levering"),
        (f"{ONE}x;onjuist", "pattern", "levering"),
        (f"=HYPERLINK({ONE});onjuist", "pattern", "levering"),
        (ONE, "field-count", None),
    ],
)
def test_one_bad_row_refuses_all_of_it(line: str, rule: str, column: str | None) -> None:
    outcome = read(f"{OTHER};onjuist", line)
    assert outcome.refused and outcome.reasons == {} == outcome.rows
    assert [(item.rule, item.row, item.column) for item in outcome.findings] == [("too-many-refused", None, None), (rule, 2, column)]
    assert outcome.counts == {"rows": 2, "accepted_rows": 0, "refused_rows": 1}


def test_a_file_without_rows_takes_nothing_back() -> None:
    assert [item.rule for item in read().findings] == ["no-rows"]


def test_another_column_refuses_it() -> None:
    assert [item.rule for item in read(f"{ONE};onjuist;x", header="levering;reden;opmerking").findings] == ["unknown-column"]
    assert [item.rule for item in read(ONE, header="levering").findings] == ["missing-column"]


def test_as_many_as_is_allowed_and_not_one_more() -> None:
    tails = [f"{number:016}".translate(str.maketrans("0189", "abcd")) for number in range(MOST + 1)]
    lines = [f"d20260120-{tail};dubbel" for tail in tails]
    assert len(set(lines)) == MOST + 1
    assert len(read(*lines[:MOST]).reasons) == MOST
    assert [item.rule for item in read(*lines).findings] == ["too-many-withdrawals"]


class Endless(io.RawIOBase):
    """A header, and then the same row without end."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 1 << 20, "nobody asks for all of it"
        self.given += size
        line = f"{ONE};onjuist\n".encode()
        return (line * (size // len(line) + 2))[:size] if self.given > size else (b"levering;reden\n" + line * size)[:size]


def test_a_bomb_is_read_no_further_than_it_has_to_be() -> None:
    bomb = Endless()
    assert [item.rule for item in read_withdrawal(bomb).findings] == ["too-many-withdrawals"]  # type: ignore[arg-type]
    assert bomb.given <= 4 << 20


class CutOff(io.RawIOBase):
    """Ends as a delivery does that was cut off."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces = [b"levering;reden\n", f"{ONE};onjuist\n".encode()]

    def read(self, size: int = -1) -> bytes:
        if not self._pieces:
            raise DropRefused(finding("truncated"))
        return self._pieces.pop(0)


def test_nothing_of_a_file_that_ends_too_early_is_carried_out() -> None:
    outcome = read_withdrawal(CutOff())  # type: ignore[arg-type]
    assert (outcome.refused, outcome.truncated, outcome.reasons) == (True, True, {})


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (b"levering;reden\n", True),
        (b"\xef\xbb\xbfReden,Levering\r\n", True),
        (b"levering\n", True),
        (b"levering;brin_vestiging\n", False),
        (b"brin_vestiging;bsn\nlevering;reden\n", False),
        (b"", False),
        (b"PK\x03\x04levering;", False),
        (b"\xff" * 5000, False),
    ],
)
def test_the_header_tells_it_from_results_and_nothing_is_lost(content: bytes, is_one: bool) -> None:
    said, stream = told_apart(io.BytesIO(content))
    assert said == is_one
    assert stream.read(3) + stream.read() == content


def test_results_are_read_as_before_once_they_were_told_apart() -> None:
    plain = write_csv(rows(500))
    said, stream = told_apart(io.BytesIO(plain))
    checked = Checked(stream, context(), packaged_rules("nco-lvs-1"), 1 << 12)
    assert not said
    assert sum(batch.height for batch in checked.batches()) == 500 == checked.outcome.counts["rows"]


LINES = st.lists(
    st.one_of(st.binary(max_size=60), st.sampled_from([f"{ONE};onjuist".encode(), b'"a";"b"', b"levering;reden", b";;", b"\xef\xbb\xbf"])),
    max_size=6,
)


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r", b"\0"]))
def test_whatever_comes_is_answered_and_nothing_of_it_is_repeated(lines: list[bytes], end: bytes) -> None:
    content = end.join([b"levering;reden", b"geheim-4711;onjuist", *lines])
    said, stream = told_apart(io.BytesIO(content))
    outcome = read_withdrawal(stream)
    assert outcome.refused and outcome.reasons == {}, "its second line is no delivery"
    assert said or end in (b"\r", b"\0"), "then it is all one line, which is no header of ours"
    assert "4711" not in repr(outcome)
