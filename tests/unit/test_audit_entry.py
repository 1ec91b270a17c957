"""Entries: one spelling each, nothing lost, and never a pupil's number."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from audit.canonical import canonical, parse
from audit.entry import Entry, identifies
from policies.errors import Refused, SluisError, Unsound

BSN = "111222333"  # passes the elfproef
OND = "100000009"  # onderwijsnummer: sum 5 modulo 11, begins with 10
NEITHER = "111222334"


def entry(**changes: Any) -> Entry:
    values: dict[str, Any] = {
        "id": "0006414c0b2d40-00001-9f8e7d6c",
        "time": datetime(2026, 11, 21, 9, 30, 0, 1, UTC),
        "actor": "worker",
        "origin": "local",
        "action": "drop.erased",
        "object": "d20261121-abcdefghijklmnop",
        "result": "ok",
        "detail": {"bytes": 12, "schools": ["01AA00"], "last": True, "campaign": None},
    }
    return Entry(**{**values, **changes})


def test_an_entry_has_these_very_bytes() -> None:
    assert entry().to_bytes() == (
        b'{"action":"drop.erased","actor":"worker","detail":{"bytes":12,"campaign":null,"last":true,"schools":["01AA00"]},'
        b'"id":"0006414c0b2d40-00001-9f8e7d6c","object":"d20261121-abcdefghijklmnop","origin":"local","result":"ok",'
        b'"schema":"sluis-audit-1","time":"2026-11-21T09:30:00.000001Z"}'
    )


def test_bytes_become_the_same_entry_again() -> None:
    assert Entry.from_bytes(entry().to_bytes()) == entry()


def test_time_is_written_in_utc() -> None:
    amsterdam = timezone(timedelta(hours=1))
    assert entry(time=datetime(2026, 11, 21, 10, 30, 0, 1, amsterdam)).to_bytes() == entry().to_bytes()


@pytest.mark.parametrize("name", ["id", "actor", "origin", "action", "object", "result"])
@pytest.mark.parametrize("value", ["", 5])
def test_an_entry_that_does_not_say_everything_is_refused(name: str, value: object) -> None:
    with pytest.raises(Refused) as refusal:
        entry(**{name: value}).to_bytes()
    assert refusal.value.code == "entry-incomplete"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(Refused, match="zone"):
        entry(time=datetime(2026, 11, 21)).to_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": BSN},
        {"object": f"leerling_{BSN}.csv"},
        {"origin": f"BSN{BSN}"},
        {"id": f"x {BSN}"},
        {"id": BSN},
        {"result": f"\n{BSN}"},
        {"detail": {"note": OND}},
        {"detail": {"rows": int(BSN)}},
        {"detail": {BSN: 1}},
        {"detail": {"deep": [{"er": ["x", f"{BSN}"]}]}},
        {"detail": {"bytes": BSN}},
        {"detail": {"note": "١١١٢٢٢٣٣٣"}},
        {"detail": {"note": f"{'a' * 64} {BSN}"}},
    ],
    ids=str,
)
def test_what_is_shaped_like_a_pupils_number_is_refused_and_not_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        entry(**changes).to_bytes()
    assert refusal.value.code == "entry-identifies"
    assert BSN not in str(refusal.value) and OND not in str(refusal.value)


@pytest.mark.parametrize(
    "detail",
    [
        {"note": NEITHER},
        {"note": "000000000"},
        {"note": f"1{BSN}"},
        {"note": BSN[:8]},
        {"note": "200000009"},  # sum 5, but no onderwijsnummer begins so
        {"bytes": int(BSN)},
        {"size": int(BSN)},
        {"plain_bytes": int(BSN)},
        {"sha256": f"{'a' * 20}{BSN}{'b' * 35}"},
        {"key": f"0a1b2c3d-0000-4000-8000-abc{BSN}"},
        {"on": True},
    ],
    ids=str,
)
def test_sizes_hashes_and_other_numbers_pass(detail: dict[str, Any]) -> None:
    assert Entry.from_bytes(entry(detail=detail).to_bytes()).detail == detail


def test_digits_by_chance_inside_the_ledgers_own_ids_pass() -> None:
    assert entry(id=f"0006a{BSN}-00001-9f8e7d6c").to_bytes()
    assert identifies(f"a{BSN}-")


def test_too_long_an_entry_is_refused() -> None:
    with pytest.raises(Refused, match="65535") as refusal:
        entry(detail={"text": "x" * 65_536}).to_bytes()
    assert refusal.value.code == "entry-too-long"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        entry().to_bytes() + b"\n",
        entry().to_bytes().replace(b'"ok"', b'"\\u006fk"'),
        entry().to_bytes().replace(b'"bytes":12', b'"bytes":12.0'),
        entry().to_bytes().replace(b'"actor":"worker",', b""),
        entry().to_bytes().replace(b'"actor":"worker"', b'"actor":""'),
        entry().to_bytes().replace(b"sluis-audit-1", b"sluis-audit-2"),
        entry().to_bytes().replace(b"09:30:00.000001Z", b"09:30:00Z"),
        entry().to_bytes().replace(b"2026-11-21", b"2026-11-1"),
        b'{"a":1,"a":1}',
        b"[" * 5_000,
        b"[" * 40 + b"]" * 40,
        b"1" * 5_000,
        b"NaN",
    ],
    ids=lambda data: data[:40].decode("latin-1"),
)
def test_other_bytes_are_no_entry(data: bytes) -> None:
    with pytest.raises(Unsound) as refusal:
        Entry.from_bytes(data)
    assert refusal.value.code in ("not-canonical", "not-an-entry")


# ---------------------------------------------------------------- RFC 8785


def test_members_are_ordered_by_their_utf_16_units() -> None:
    # RFC 8785 section 3.2.3: the example's names, in the order that the RFC gives
    names = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(parse(canonical(dict.fromkeys(reversed(names), 0)))) == names  # type: ignore[arg-type]


def test_strings_are_written_as_the_rfc_says() -> None:
    # RFC 8785 section 3.2.2.2
    assert canonical("\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/\b\t\f\r\u007f").decode() == (
        '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\\b\\t\\f\\r\u007f"'
    )


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), "\ud800", {1: 2}, b"x", {"a": {1, 2}}, float("nan")], ids=repr)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as refusal:
        canonical(value)
    assert refusal.value.code == "not-canonical"


def test_the_largest_numbers_pass() -> None:
    assert canonical([2**53 - 1, -(2**53) + 1, 0]) == b"[9007199254740991,-9007199254740991,0]"


def test_refusals_are_of_the_one_hierarchy() -> None:
    assert issubclass(Refused, SluisError) and issubclass(Unsound, SluisError)
