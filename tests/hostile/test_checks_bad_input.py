"""Bad deliveries as a vendor, or an attacker, would send them: encrypted, stored, and read to the end in bounded time and memory."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator

import pyrage
import pytest

from gateway.checks import tally
from gateway.checks.check import Checked
from gateway.checks.stream import Limits, open_delivery
from keys.drop_cipher import DropCipher
from keys.sealing import new_identity
from policies.rules import packaged_rules
from tests.support.deliveries import (
    COLUMNS,
    DROP_KEY,
    IDENTITY,
    RECIPIENT,
    age,
    blob,
    context,
    header_of,
    row,
    rows,
    rules_told,
    standing,
    write_csv,
)
from tests.support.reading import MIB, deliver, measured

GOOD = write_csv(rows(3000))


def test_the_good_one_is_good() -> None:
    accepted, outcome = deliver(age(GOOD))
    assert accepted == 3000
    assert outcome.findings == []
    assert deliver(age(gzip.compress(GOOD)))[0] == 3000


@pytest.mark.parametrize(
    ("name", "delivered", "rules"),
    [
        ("truncated", age(GOOD)[:-100], {"truncated"}),
        ("truncated at a chunk", age(GOOD)[: age(GOOD).index(b"\n--- ") + 49 + 16 + 65552], {"truncated"}),
        ("wrong recipient", age(GOOD, new_identity()[1]), {"wrong-recipient"}),
        ("not age", GOOD, {"not-age"}),
        ("garbage after the header", header_of(age(GOOD)) + os.urandom(200_000), {"damaged"}),
        ("missing column", age(write_csv(rows(9), COLUMNS[:-1])), {"missing-column"}),
        ("unknown column", age(write_csv([row(naam="x")], [*COLUMNS, "naam"])), {"unknown-column"}),
        ("special category", age(write_csv([row(nationaliteit="x")], [*COLUMNS, "nationaliteit"])), {"special-category"}),
        ("invalid UTF-8", age(GOOD.replace(b"cito", b"\xff\xfe", 1)), {"not-utf-8"}),
        ("0 bytes", b"", {"empty-file"}),
        ("0 bytes within age", age(b""), {"no-rows"}),
        ("a school that is not known", age(write_csv([row(brin_vestiging="09ZZ00")])), {"unknown-school"}),
        ("no zip, though it begins like one", age(b"PK\x03\x04" + bytes(3000)), {"zip-damaged"}),
        ("OpenPGP", b"\x85\x02" + os.urandom(3000), {"format-not-yet-openpgp"}),
    ],
)
def test_a_bad_delivery_is_refused_whole(name: str, delivered: bytes, rules: set[str]) -> None:
    _, outcome = deliver(delivered)
    assert outcome.refused, name
    assert rules_told(outcome) == rules
    assert outcome.truncated is ("truncated" in rules)
    assert outcome.counts["accepted_rows"] == 0


def test_a_truncation_found_at_the_end_takes_back_what_went_before() -> None:
    cut = age(write_csv(rows(40_000)))[:-10]
    with open_delivery(blob(cut), DROP_KEY, [IDENTITY]) as stream:
        checked = Checked(stream, context(), packaged_rules("nco-lvs-1"), batch_bytes=MIB)
        assert sum(batch.height for batch in checked.batches()) > 0  # batches came before the end was known
    assert checked.outcome.truncated
    assert checked.outcome.refused
    assert checked.outcome.counts["accepted_rows"] == 0


@pytest.mark.parametrize("line", [b"01AA00;1;2\n", b"01AA00" + b";" * 30 + b"\n"])
def test_short_and_long_rows_are_refused_and_not_filled(line: bytes) -> None:
    accepted, outcome = deliver(age(GOOD + line))
    assert accepted == 3000
    assert [(item.rule, item.row) for item in outcome.findings] == [("field-count", 3001)]


def test_a_board_that_did_not_enrol_and_one_of_another_vendor() -> None:
    for changes, rule in (({"enrolled": False}, "school-not-enrolled"), ({"vendor": "esis"}, "wrong-board")):
        _, outcome = deliver(age(GOOD), context(schools={"01AA00": standing(**changes)}))
        assert outcome.refused
        assert rules_told(outcome) == {rule}


# ---------------------------------------------------------------- bombs


def test_10_gb_of_zeros_in_10_mb_is_refused_early() -> None:
    hundred_mb = gzip.compress(bytes(100_000_000), 9)
    bomb = hundred_mb * 100
    assert 9_000_000 < len(bomb) < 11_000_000
    outcome, seconds, memory = measured(blob(age(bomb)))
    # zeros have no line, so the table stops it even before the ratio does
    assert rules_told(outcome) <= {"expansion", "line-too-long", "not-utf-8"}
    assert outcome.refused
    assert seconds < 10
    assert memory < 200 * MIB


def csv_bomb(rows_total: int) -> bytes:
    """A valid header and one valid row, over and over: some hundred times smaller when packed."""
    packer = zlib.compressobj(9, wbits=31)
    header, line = write_csv([row()]).split(b"\n", 1)
    packed = packer.compress(header + b"\n")
    for _ in range(rows_total // 10_000):
        packed += packer.compress(line * 10_000)
    return packed + packer.flush()


def test_a_bomb_of_valid_rows_is_stopped_by_its_ratio() -> None:
    bomb = csv_bomb(1_500_000)  # 170 MB
    outcome, seconds, memory = measured(blob(age(bomb)))
    assert rules_told(outcome) == {"expansion"}
    assert seconds < 30
    assert memory < 400 * MIB


def test_an_endless_plain_delivery_is_stopped_by_its_size() -> None:
    outcome, _, _ = measured(blob(age(GOOD * 3)), Limits(max_plain_bytes=len(GOOD)))
    assert rules_told(outcome) >= {"expansion"}


class Stored(io.BytesIO):
    """A blob of endless 'x' in age, made while it is read: one line of 1 GB."""

    def __init__(self) -> None:
        super().__init__()
        self._cipher = DropCipher(DROP_KEY).stream()
        self._source = self._encrypted()

    def _encrypted(self) -> Iterator[bytes]:
        reading, writing = os.pipe()
        import threading

        class Line:
            left = 1 << 30

            def read(self, size: int = -1) -> bytes:
                take = min(size, self.left)
                self.left -= take
                return b"x" * take

        class End:
            def write(self, data: bytes) -> int:
                return os.write(writing, data)

            def flush(self) -> None:
                pass

        def run() -> None:
            try:
                pyrage.encrypt_io(Line(), End(), [pyrage.x25519.Recipient.from_str(RECIPIENT)])
            except (OSError, pyrage.EncryptError):
                pass  # nobody reads on
            finally:
                os.close(writing)

        threading.Thread(target=run, daemon=True).start()
        try:
            while data := os.read(reading, MIB):
                yield data
        finally:
            os.close(reading)

    def read(self, size: int | None = -1) -> bytes:
        return self._cipher.update(next(self._source, b""))


def test_one_line_of_1_gb_is_refused_after_64_kib() -> None:
    outcome, seconds, memory = measured(Stored())
    assert rules_told(outcome) == {"line-too-long"}
    assert seconds < 10
    assert memory < 100 * MIB


def test_a_header_of_very_many_columns_is_refused() -> None:
    outcome, seconds, memory = measured(blob(age(b";".join([b"a"] * 10_000_000) + b"\n")))
    assert rules_told(outcome) == {"line-too-long"}
    assert seconds < 10
    assert memory < 100 * MIB


def test_many_faulty_rows_cost_no_more_memory() -> None:
    plain = write_csv([row(score="x", bsn="1", geslacht="?")]).split(b"\n", 1)
    outcome, seconds, memory = measured(blob(age(plain[0] + b"\n" + plain[1] * 300_000)))
    assert len(outcome.findings) == 1000
    assert outcome.findings_total == 900_001
    assert seconds < 30
    assert memory < 400 * MIB


def test_more_pupils_than_the_country_has_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_PILE", 1000)
    monkeypatch.setattr(tally, "MOST_PUPILS", 1000)
    assert deliver(age(write_csv(rows(5000, per_pupil=5))))[0] == 5000, "a thousand pupils"
    assert rules_told(deliver(age(write_csv(rows(5005, per_pupil=5))))[1]) == {"expansion"}
