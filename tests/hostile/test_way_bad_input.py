"""Every bad delivery that can be thought of, through the real door to the receipt, in one running gateway that must go on as if nothing
had happened.
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pytest

from audit.entry import Entry
from gateway.drop.formats import is_encrypted
from gateway.store.models import AuditRow, Drop
from gateway.store.objections import newest_registers
from keys.sealing import new_identity
from tests.support.canaries import Needle, Search, needles
from tests.support.deliveries import COLUMNS, age, header_of, write_csv
from tests.support.gateway import CAMPAIGN, Gateway, Place, Staged, started
from tests.support.intake import sftp_session
from tests.support.pupils import PER_SCHOOL, delivery, objections, results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: values and names that only stand in the files: none of them may be repeated anywhere
MARKS = ("lievelingskleur", "paarsblauw", "zevendedagsadventist", "stamboeknummer")


def good(place: Place, school: str = "41AA00") -> bytes:
    return delivery(place.at(school), place.today)


def with_column(place: Place, name: str, value: str) -> bytes:
    rows = [{**row, name: value} for row in results(place.at("41AA00"), place.today)]
    return write_csv(rows, [*COLUMNS, name])


def with_line(place: Place, school: str, line: str, times: int = 1) -> bytes:
    """A good delivery of one school, and lines after it that are no rows."""
    return good(place, school) + f"{line}\n".encode() * times


def short_line(place: Place, school: str) -> str:
    return f"{school};{place.at(school)[0].bsn};stamboeknummer"


def long_line(place: Place) -> str:
    return good(place, "41AA00").split(b"\n")[1].decode() + ";paarsblauw" * 3


def moved(place: Place, school: str) -> bytes:
    """The pupils of 41AA00 as if they were of another school."""
    rows = [{**row, "brin_vestiging": school} for row in results(place.at("41AA00"), place.today)]
    return write_csv(rows, COLUMNS)


def bomb(place: Place) -> bytes:
    """10 GB in 10 MB: a proper header, and empty lines without end."""
    packed = gzip.compress(good(place)) + gzip.compress(b"\n" * 100_000_000) * 100
    assert 9_000_000 < len(packed) < 11_000_000
    return packed


def bomb_of_rows(place: Place) -> bytes:
    """The same good row over and over."""
    lines = gzip.compress(good(place).splitlines(keepends=True)[1] * 100_000)
    return gzip.compress(good(place)) + lines * 12


@dataclass(frozen=True)
class Case:
    """What is delivered, and what the receipt must say. `made` gives the bytes as the vendor would upload them."""

    made: Callable[[Place], bytes]
    rules: frozenset[str]
    state: str = "rejected"
    folder: str = "leveringen"


def case(made: Callable[[Place], bytes], *rules: str, state: str = "rejected", folder: str = "leveringen") -> Case:
    return Case(made, frozenset(rules), state, folder)


CASES: dict[str, Case] = {
    "cut short": case(lambda p: p.sealed(good(p))[:-100], "truncated", state="incomplete"),
    "cut in its header": case(lambda p: p.sealed(good(p))[:120], "truncated", state="incomplete"),
    "for somebody else": case(lambda p: age(good(p), new_identity()[1]), "wrong-recipient"),
    "not encrypted": case(good, "not-age"),
    "noise": case(lambda p: b"\0" + os.urandom(50_000), "not-age"),
    "garbage after the header": case(lambda p: header_of(p.sealed(good(p))) + os.urandom(200_000), "damaged"),
    "a bit flipped inside": case(lambda p: flipped(p.sealed(good(p) * 9), 90_000), "damaged"),
    "missing column": case(lambda p: p.sealed(write_csv(results(p.at("41AA00"), p.today), COLUMNS[:-1])), "missing-column"),
    "unknown column": case(lambda p: p.sealed(with_column(p, "lievelingskleur", "paarsblauw")), "unknown-column"),
    "special category": case(lambda p: p.sealed(with_column(p, "geloof", "zevendedagsadventist")), "special-category"),
    "no header": case(lambda p: p.sealed(good(p).split(b"\n", 1)[1]), "no-header"),
    "short row": case(lambda p: p.sealed(with_line(p, "41AB00", short_line(p, "41AB00"))), "field-count", state="accepted"),
    "row with extra fields": case(lambda p: p.sealed(with_line(p, "41AB00", long_line(p))), "field-count", state="accepted"),
    "many short rows": case(
        lambda p: p.sealed(with_line(p, "41AA00", short_line(p, "41AA00"), 9)), "field-count", "too-many-refused"
    ),
    "invalid UTF-8": case(lambda p: p.sealed(good(p).replace(b"spelling", b"sp\xffl\xfeing", 1)), "not-utf-8"),
    "0 bytes": case(lambda p: b"", "empty-file"),
    "0 bytes, encrypted": case(lambda p: p.sealed(b""), "no-rows"),
    "a gzip bomb": case(lambda p: p.sealed(bomb(p)), "unreadable"),
    "a gzip bomb of rows": case(lambda p: p.sealed(bomb_of_rows(p)), "expansion"),
    "a damaged gzip": case(lambda p: p.sealed(gzip.compress(good(p))[:-4]), "gzip-damaged"),
    "wrong board": case(lambda p: p.sealed(good(p, "41BA00")), "wrong-board"),
    "one school of a wrong board": case(lambda p: p.sealed(delivery(p.at("41AA00", "41BA00"), p.today)), "wrong-board"),
    "school not enrolled": case(lambda p: p.sealed(good(p, "41CA00")), "school-not-enrolled"),
    "unknown school": case(lambda p: p.sealed(moved(p, "88ZZ00")), "unknown-school"),
    "register cut short": case(lambda p: p.sealed(register(p, "41AA00"))[:-9], "truncated", state="incomplete", folder="bezwaren"),
    "register of a wrong board": case(lambda p: p.sealed(register(p, "41BA00")), "wrong-board", folder="bezwaren"),
    "register that is a delivery": case(lambda p: p.sealed(good(p)), "unknown-column", "missing-column", folder="bezwaren"),
    "register with a wrong number": case(
        lambda p: p.sealed(register(p, "41AA00").replace(p.at("41AA00")[0].bsn.encode(), b"618273646")),
        "elfproef",
        "too-many-refused",
        folder="bezwaren",
    ),
}  # fmt: skip


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def register(place: Place, school: str) -> bytes:
    return objections([school], place.at(school)[:2], place.today)


def file_name(case: str) -> str:
    return f"{case.replace(' ', '-').replace(',', '')}.csv.age"


TWICE = "the-same-again.csv.age"
AFTERWARDS = "good-afterwards.csv.age"


@dataclass
class Ended:
    """What became of everything: the gateway, still running, with the newest drop and receipt of each file."""

    gateway: Gateway
    sha256: dict[str, str]
    drops: dict[str, Drop]
    receipts: dict[str, dict[str, Any]]

    @cached_property
    def needles(self) -> list[Needle]:
        """What stands in the files: some of each school's pupils, and the marks."""
        some = [pupil for at, pupil in enumerate(self.gateway.pupils) if at % PER_SCHOOL in (0, 1, 5)]
        return [*needles(some), *(Needle(mark, "ascii", mark.encode()) for mark in MARKS)]

    def values(self) -> Search:
        """A search for what stands in the files."""
        return Search(self.needles)

    def entries(self, drop: str) -> dict[str, AuditRow]:
        """A drop's audit entries by action, once all of them have their place in the log."""

        def numbered() -> dict[str, AuditRow] | None:
            rows = self.gateway.audited(drop)
            return {row.action: row for row in rows} if all(row.leaf is not None for row in rows) else None

        return self.gateway.wait(numbered, "the audit entries are in the log")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """All of it delivered at once, a good delivery after it, and everything come to its end."""
    with started(tmp_path_factory.mktemp("bad")) as gateway:
        cito = gateway.door()
        sha256 = {}
        for name, case in CASES.items():
            data = case.made(gateway)
            kept = is_encrypted(data) or not data  # of what the vendor did not encrypt no digest is kept
            sha256[file_name(name)] = hashlib.sha256(data).hexdigest() if kept else ""
            cito.deliver(file_name(name), data, case.folder)
            if name == "short row":
                again = data
        cito.deliver(AFTERWARDS, gateway.sealed(good(gateway)))
        gateway.settled([file_name(name) for name in CASES])
        sha256[TWICE] = sha256[file_name("short row")]
        cito.deliver(TWICE, again)
        cito.deliver("bezwaren.csv.age", gateway.sealed(objections(["41AA00"], [], gateway.today)), "bezwaren")
        gateway.settled([TWICE, "bezwaren.csv.age"])
        gateway.wait(lambda: gateway.drop(AFTERWARDS).linked_at, "the good drop is linked")
        gateway.settled([AFTERWARDS])
        drops = {drop.file_name: drop for drop in gateway.drops()}
        yield Ended(gateway, sha256, drops, {name: gateway.receipt(drop) for name, drop in drops.items()})


ALL = {**{file_name(name): case for name, case in CASES.items()}, TWICE: case(lambda p: b"", "duplicate-drop")}


@pytest.mark.parametrize("name", ALL)
def test_the_receipt_says_what_is_wrong(ended: Ended, name: str) -> None:
    """Its signature was checked when it was read."""
    case, receipt, drop = ALL[name], ended.receipts[name], ended.drops[name]
    assert receipt["state"] == case.state
    assert {finding["rule"] for finding in receipt["findings"]} == case.rules
    assert receipt["file"] == name
    assert receipt["sha256"] == ended.sha256[name]
    assert receipt["drop"] == drop.id
    assert receipt["findings_total"] == drop.findings_total >= len(receipt["findings"]) > 0
    if case.state != "accepted":
        assert receipt["counts"]["accepted_rows"] == 0
    assert bool(receipt["certificate"]) is (case.state == "rejected")


@pytest.mark.parametrize("name", ALL)
def test_the_audit_log_has_it(ended: Ended, name: str) -> None:
    case, drop, gateway = ALL[name], ended.drops[name], ended.gateway
    actions = ended.entries(drop.id)
    assert "drop.received" in actions
    assert set(actions[f"drop.{case.state}"].detail["rules"]) == case.rules
    assert ("drop.erasure-verified" in actions) is (case.state == "rejected")
    logged = Entry.from_bytes(gateway.home.audit_log().entry(actions[f"drop.{case.state}"].leaf or 0))
    assert (logged.object, logged.action) == (drop.id, f"drop.{case.state}")


@pytest.mark.parametrize("name", ALL)
def test_no_value_out_of_the_file_is_told(ended: Ended, name: str) -> None:
    search, drop, door = ended.values(), ended.drops[name], ended.gateway.door()
    for file in (f"{drop.id}.json", f"{drop.id}.txt"):
        search.data(door.read(file), file)
    assert search.looked_at >= 2
    assert search.hits == set()


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.state == "rejected"])
def test_what_is_refused_is_erased_and_what_may_be_completed_is_not(ended: Ended, name: str) -> None:
    home, drop = ended.gateway.home, ended.drops[name]
    assert not home.blob(drop.id).exists()
    assert not home.mortal.exists("drops", drop.id)


def test_what_was_cut_short_is_kept_until_it_is_sent_again(ended: Ended) -> None:
    home = ended.gateway.home
    cut = [ended.drops[name] for name, case in ALL.items() if case.state == "incomplete"]
    assert len(cut) == 3
    for drop in cut:
        assert home.blob(drop.id).exists()
        assert home.mortal.exists("drops", drop.id)


def test_no_log_and_no_table_holds_a_value(ended: Ended) -> None:
    """Nor does any other file of the home: what is still held is ciphertext."""
    search = ended.values()
    search.file(ended.gateway.log)
    search.folder(ended.gateway.home.path)
    search.folder(ended.gateway.folder / "tmp")
    assert search.looked_at > 200
    assert search.hits == set()


def test_only_bad_rows_are_left_out_of_an_accepted_drop(ended: Ended) -> None:
    for name in ("short row", "row with extra fields"):
        counts = ended.receipts[file_name(name)]["counts"]
        rows = len(results(ended.gateway.at("41AB00"), ended.gateway.today))
        assert (counts["rows"], counts["accepted_rows"], counts["refused_rows"]) == (rows + 1, rows, 1)
        [finding] = ended.receipts[file_name(name)]["findings"]
        assert finding["row"] == rows + 1


def test_the_good_one_went_through_and_nothing_else_did(ended: Ended) -> None:
    gateway, good = ended.gateway, ended.drops[AFTERWARDS]
    assert ended.receipts[AFTERWARDS]["state"] == "linked"
    assert ended.receipts[AFTERWARDS]["findings"] == []
    assert set(gateway.parts()) == {good.id}
    assert gateway.parts()[good.id].rows == len(results(gateway.at("41AA00"), gateway.today))
    assert list(gateway.home.results.rglob("*.parquet")) == [gateway.home.results / gateway.parts()[good.id].file]
    for name in ("short row", "row with extra fields"):
        assert ended.receipts[file_name(name)]["waiting_for"] == ["objection-register 41AB00"]


def test_a_bad_register_changes_nothing(ended: Ended) -> None:
    with ended.gateway.home.ledger.view() as session:
        registers = newest_registers(session, CAMPAIGN)
    assert {school: register.version for school, register in registers.items()} == {"41AA00": 1}


PATHS = [
    "leveringen/../../x.age", "leveringen/../bezwaren/x.age", "../x.age", "/etc/passwd", "leveringen/..\\x.age", "leveringen/sub/x.age",
    "leveringen/.ssh", "leveringen/x\n.age", "leveringen/x\u202eega.age", "leveringen/-rf.age", "leveringen/x.age.", "x.age",
    "ontvangst/x.json", "sleutels/sluis.age.txt", "leveringen/618273645.csv.age", "leveringen/" + "x" * 256,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_tricks_with_paths_are_sftp_errors(ended: Ended, path: str) -> None:
    gateway, sftp = ended.gateway, ended.gateway.door().sftp
    before, audited = len(gateway.drops()), len(gateway.audited("vendor:cito"))
    with pytest.raises(OSError) as refused:
        sftp.open(path, "wb")
    assert str(refused.value)
    assert len(gateway.drops()) == before
    assert not list((gateway.home.path / "incoming").rglob("*.blob"))
    if not isinstance(refused.value, FileNotFoundError):  # a mere miss is no attempt at anything
        entries = gateway.audited("vendor:cito")[audited:]
        assert [entry.action for entry in entries] == ["sftp.open"]
        assert "618273645" not in str(entries[0].detail)


def test_a_line_that_breaks_delivers_nothing(ended: Ended) -> None:
    gateway = ended.gateway
    before = len(gateway.drops())
    with sftp_session(gateway.intake_port, "esis", gateway.keys["esis"]) as sftp:
        file = sftp.open("leveringen/afgebroken.csv.age", "wb")
        file.write(gateway.sealed(good(gateway, "41BA00"))[:5_000])
        file.flush()
    with sftp_session(gateway.intake_port, "esis", gateway.keys["esis"]) as sftp:
        gateway.wait(lambda: sftp.stat("leveringen/afgebroken.csv.age").st_size == 5_000 or None, "what arrived is there to be resumed")
    assert len(gateway.drops()) == before


# ---------------------------------------------------------------- the calendar


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    place = Staged(tmp_path_factory.mktemp("late"))
    yield place
    place.stop()


def test_the_last_day_ends_at_midnight_in_amsterdam(staged: Staged) -> None:
    """24 February 2026 is the last day: 23:00 in UTC is the end of it."""
    last = datetime(2026, 2, 24, 22, 59, 59, tzinfo=UTC)
    assert staged.today + timedelta(days=14) == last.date()
    staged.at_time(last)
    in_time = staged.deliver("in-time.csv.age", staged.sealed(good(staged)))
    assert (in_time.state, in_time.findings) == ("accepted", [])
    staged.at_time(last + timedelta(seconds=1))
    late = staged.deliver("late.csv.age", staged.sealed(good(staged)))
    receipt = staged.receipt(late)
    assert receipt["state"] == "rejected"
    assert [finding["rule"] for finding in receipt["findings"]] == ["after-deadline"]
    assert receipt["erased_at"]
    assert [row.action for row in staged.audited(late.id)][:2] == ["drop.received", "drop.rejected"]
    assert staged.parts() == {}
