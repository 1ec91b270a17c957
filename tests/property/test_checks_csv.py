"""Laws of reading: every layout gives the same rows; whatever is done to the bytes gives findings, never a crash, never a value."""

import csv
import io
import random
import re
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from gateway.checks.lines import measure
from gateway.checks.table import Table
from policies.rules import Rules, load_rules, packaged_rules
from tests.support.deliveries import age, blob, check, row, rows, write_csv
from tests.support.leaks import leaked, told

TABLE_RULES = load_rules(
    'format = "t"\nrefused_rows_share = 0\nfindings_kept = 9\nmax_line_bytes = 4000\n'
    + "".join(f'[[columns]]\nname = "{name}"\nrole = "result"\nkind = "date"\nmeaning = ""\n' for name in "abc"),
    "t.toml",
)
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=6) | st.sampled_from(
    ['"', '""', ";", ",", " ", '";"', "é;"]
)


def read_raw(plain: bytes, rules: Rules, batch_bytes: int) -> list[tuple[str | None, ...]]:
    batches = list(Table(io.BytesIO(plain), rules, batch_bytes).batches())
    assert all(not batch.refused for batch in batches)
    frame = pl.concat([batch.frame for batch in batches])
    assert frame["row"].is_sorted()
    return frame.select("a", "b", "c").rows()


@given(
    cells=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12),
    separator=st.sampled_from(";,"),
    eol=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    order=st.permutations("abc"),
    bom=st.booleans(),
    last=st.booleans(),
    batch_bytes=st.integers(1, 300),
)
def test_a_table_in_any_layout_reads_back(
    cells: list[tuple[str, str, str]], separator: str, eol: str, quoting: Any, order: list[str], bom: bool, last: bool, batch_bytes: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, order, delimiter=separator, quoting=quoting, lineterminator=eol)
    writer.writeheader()
    writer.writerows(dict(zip("abc", entry, strict=True)) for entry in cells)
    text = out.getvalue()
    plain = (b"\xef\xbb\xbf" if bom else b"") + (text if last else text.removesuffix(eol)).encode()
    assert read_raw(plain, TABLE_RULES, batch_bytes) == [tuple(value or None for value in entry) for entry in cells]


LINE = st.text('ab;"\r', max_size=12)


@given(st.lists(LINE, min_size=1, max_size=8), st.integers(1, 4))
def test_fields_are_counted_as_the_standard_library_reads_them(texts: list[str], columns: int) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    lines = measure(data, ord(";"), columns)
    assert lines.count == len(texts)
    assert lines.longest == max(map(len, texts))
    for index, text in enumerate(texts):
        body = text.removesuffix("\r")
        good = lines.good is None or bool(lines.good[index])
        misquoted = lines.misquoted is not None and bool(lines.misquoted[index])
        miscounted = lines.miscounted is not None and bool(lines.miscounted[index])
        assert misquoted is (re.fullmatch(r'(?:[^;"]*|"(?:[^"]|"")*")(?:;(?:[^;"]*|"(?:[^"]|"")*"))*', body) is None)
        if misquoted:
            assert not good
            continue
        fields = len(re.findall(r'(?:^|;)(?:"(?:[^"]|"")*"|[^;"]*)', body))
        assert miscounted is (fields != columns and body != "")
        assert good is (not miscounted and body != "")
    if lines.good is not None:
        kept = lines.only(data, lines.good)
        assert kept == b"".join(f"{text}\n".encode() for text, good in zip(texts, np.asarray(lines.good), strict=True) if good)


ROWS = rows(40, per_pupil=4)
PLAIN = write_csv(ROWS)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(PLAIN)
    for _ in range(draw(st.integers(1, 12))):
        position = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if position < len(data):
                data[position] = draw(st.integers(0, 255))
            case 1:
                data[position:position] = draw(st.binary(max_size=20))
            case 2:
                del data[position : position + draw(st.integers(1, 200))]
            case 3:
                data[position:position] = draw(st.sampled_from([b'"', b";", b"\n", b"\r", b"\0", b",", b"\xff", b"=cmd|", "é".encode()]))
            case _:
                data[position:position] = data[: draw(st.integers(0, 300))]
    return bytes(data)


@given(mutated(), st.sampled_from([16 << 20, 700]))
def test_no_change_of_the_bytes_crashes_or_leaks(plain: bytes, batch_bytes: int) -> None:
    accepted, outcome = check(plain, batch_bytes=batch_bytes)
    assert not leaked(plain, told(outcome))
    counts = outcome.counts
    if not outcome.refused:
        assert len(accepted) == counts["accepted_rows"] == counts["rows"] - counts["refused_rows"]
        assert sum(school.rows for school in outcome.schools.values()) == counts["accepted_rows"]


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_no_change_of_the_ciphertext_gives_rows(seed: int, changes: int) -> None:
    from gateway.checks.check import Checked
    from gateway.checks.stream import open_delivery
    from tests.support.deliveries import DROP_KEY, IDENTITY, context

    rng = random.Random(seed)
    delivered = bytearray(CIPHERTEXT)
    for _ in range(changes):
        delivered[rng.randrange(len(delivered))] ^= rng.randrange(1, 256)
    if bytes(delivered) == CIPHERTEXT:
        return
    with open_delivery(blob(bytes(delivered)), DROP_KEY, [IDENTITY]) as stream:
        checked = Checked(stream, context(), packaged_rules("nco-lvs-1"))
        for _ in checked.batches():
            pass
    assert checked.outcome.refused


CIPHERTEXT = age(write_csv([row()]))
