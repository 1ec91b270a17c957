"""Zips and XML made to harm: refused by their own rule, in bounded memory, and nothing of them is told."""

import gc
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checks import archive
from gateway.checks.check import Checked
from gateway.checks.findings import DropRefused
from gateway.checks.strict_xml import Element, StrictXml
from policies.rules import packaged_rules
from tests.support.deliveries import SCHOOL, check, context, row, rows, rules_told, standing
from tests.support.exchange import edexml, exchange, packed, uwlr

TABLE = [row(toetscode="RW-3.0-M5")]
PUPILS, RESULTS = edexml(SCHOOL, TABLE), uwlr(SCHOOL, TABLE)
GOOD = exchange(TABLE)
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
CANARY = "canary-7316"


def told_of(plain: bytes) -> set[str]:
    outcome = check(plain)[1]
    assert outcome.refused and CANARY not in repr(outcome)
    return rules_told(outcome)


def with_pupils(content: str | bytes) -> bytes:
    return exchange(TABLE, pupils=content)


# ---------------------------------------------------------------- the zip


@pytest.mark.parametrize(
    "name",
    [
        f"../{SCHOOL}/leerlingen.xml", f"/{SCHOOL}/leerlingen.xml", f"C:/{SCHOOL}/leerlingen.xml", f"{SCHOOL}\\leerlingen.xml",
        f"{SCHOOL}/../{SCHOOL}/leerlingen.xml", f"{SCHOOL}/leerlingen.xml/", f"{SCHOOL}/leerlingen.xml\n", f"{SCHOOL}/LEERLINGEN.XML",
        f"x/{SCHOOL}/leerlingen.xml", "leerlingen.xml", f"{SCHOOL}/meer.zip", "__MACOSX/._x", f"{CANARY}.xml", "01aa00/leerlingen.xml",
        "٠١AA00/leerlingen.xml",
    ],
)  # fmt: skip
def test_no_other_name_is_taken(name: str) -> None:
    files = [(f"{SCHOOL}/resultaten.xml", RESULTS), (f"{SCHOOL}/leerlingen.xml", PUPILS), (name, PUPILS)]
    assert told_of(packed(files)) == {"zip-names"}


def test_a_name_with_a_nul_is_refused() -> None:
    # the library would cut it there and read the file as leerlingen.xml
    name = f"{SCHOOL}/leerlingen.xml"
    hidden = packed([(f"{SCHOOL}/resultaten.xml", RESULTS), (f"{name}#.exe", PUPILS)]).replace(f"{name}#".encode(), f"{name}\0".encode())
    assert told_of(hidden) == {"zip-names"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused() -> None:
    files = [(f"{SCHOOL}/leerlingen.xml", PUPILS), (f"{SCHOOL}/resultaten.xml", RESULTS), (f"{SCHOOL}/leerlingen.xml", PUPILS)]
    assert told_of(packed(files)) == {"zip-names"}


def test_a_symbolic_link_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        link = zipfile.ZipInfo(f"{SCHOOL}/leerlingen.xml")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        zipped.writestr(link, "/etc/passwd")
        zipped.writestr(f"{SCHOOL}/resultaten.xml", RESULTS)
    assert told_of(out.getvalue()) == {"zip-names"}


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_entry_is_refused(flag: int) -> None:
    content = bytearray(GOOD)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        (flags,) = struct.unpack_from("<H", content, at + offset)
        struct.pack_into("<H", content, at + offset, flags | flag)
    assert told_of(bytes(content)) == {"zip-method"}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_way_of_packing_is_refused(method: int) -> None:
    assert told_of(packed({f"{SCHOOL}/leerlingen.xml": PUPILS, f"{SCHOOL}/resultaten.xml": RESULTS}, method)) == {"zip-method"}


def test_a_bomb_is_refused_by_what_it_says_and_when_it_lies() -> None:
    bomb = PUPILS.encode() + b" " * (40 << 20)
    assert told_of(with_pupils(bomb)) == {"expansion"}
    lying = bytearray(with_pupils(bomb))
    # what it says in both headers is less than what it holds: the reader stops there, and the checksum does not fit
    for size in (struct.pack("<I", len(bomb)),):
        while (at := lying.find(size)) >= 0:
            lying[at : at + 4] = struct.pack("<I", 100_000)
    assert told_of(bytes(lying)) & {"zip-damaged", "xml-damaged"}


def test_a_zip_in_a_zip_is_not_opened() -> None:
    assert told_of(with_pupils(GOOD)) == {"xml-damaged"}


def test_entries_that_share_bytes_are_refused() -> None:
    content = bytearray(GOOD)
    first = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", first + 4)
    struct.pack_into("<I", content, second + 42, 0)
    assert told_of(bytes(content)) == {"zip-damaged"}


def test_another_name_in_the_local_header_is_refused() -> None:
    content = GOOD.replace(b"leerlingen.xml", b"leerlingex.xml", 1)
    assert told_of(content) == {"zip-damaged"}


def test_a_changed_byte_or_a_cut_end_is_refused() -> None:
    stored = packed({f"{SCHOOL}/leerlingen.xml": PUPILS, f"{SCHOOL}/resultaten.xml": RESULTS}, zipfile.ZIP_STORED)
    assert told_of(stored.replace(b"Zonneschijn", b"Zonneschijm")) == {"zip-damaged"}
    assert told_of(GOOD[:-10]) == told_of(GOOD[: len(GOOD) // 2]) == {"zip-damaged"}


def test_a_zip_behind_another_is_refused() -> None:
    assert told_of(packed({"x": b"x"}) + GOOD) == {"zip-damaged"}


def test_too_many_entries_and_too_large_a_zip_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    assert told_of(GOOD) == {"expansion"}
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_PACKED", 1000)
    assert told_of(GOOD) == {"expansion"}
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1000)
    assert told_of(GOOD) == {"expansion"}
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_FILE", 1000)
    assert told_of(GOOD) == {"expansion"}


def test_what_is_wrong_before_the_damage_is_told_too() -> None:
    other, faulty = "02BB01", [row(toetscode="RW-3.0-M5", score="x")]
    files = {
        f"{SCHOOL}/leerlingen.xml": edexml(SCHOOL, faulty), f"{SCHOOL}/resultaten.xml": uwlr(SCHOOL, faulty),
        f"{other}/leerlingen.xml": edexml(other, TABLE), f"{other}/resultaten.xml": uwlr(other, TABLE)[:-30],
    }  # fmt: skip
    outcome = check(packed(files), context(schools={code: standing(code) for code in (SCHOOL, other)}))[1]
    assert [(told.rule, told.row) for told in outcome.findings] == [("xml-damaged", None), ("number", 1)]
    assert outcome.findings[0].message.startswith(f"{other}/resultaten.xml: ")
    assert outcome.findings[1].message.startswith(f"{SCHOOL}/resultaten.xml, resultaat 1 (Client.ScoreOngeldig): ")


# ---------------------------------------------------------------- the XML

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        f'<!DOCTYPE EDEX [<!ENTITY l0 "ha">{LAUGHS}]>',
        f'<!DOCTYPE EDEX [<!ENTITY {CANARY} SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE EDEX SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE EDEX [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
        "<!DOCTYPE EDEX>",
    ],
)
def test_a_doctype_is_refused_whatever_it_says(doctype: str) -> None:
    assert told_of(with_pupils(PUPILS.replace(DECLARATION, DECLARATION + doctype))) == {"xml-doctype"}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (PUPILS.encode("utf-16"), "not-utf-8"),
        (PUPILS.replace("UTF-8", "ISO-8859-1").replace("Zonneschijn", "Zoë").encode("latin-1"), "not-utf-8"),
        (PUPILS.replace("UTF-8", "UTF-7").encode(), "not-utf-8"),
        (PUPILS.replace("Zonneschijn", "Zoë").encode("latin-1"), "xml-damaged"),
        (PUPILS.replace("Zonneschijn", "\0").encode(), "xml-damaged"),
        (PUPILS.replace("Zonneschijn", "&canary;").encode(), "xml-damaged"),
        (PUPILS[:-9].encode(), "xml-damaged"),
        (b" ", "xml-damaged"),
        (f"<{CANARY}/>".encode(), "xml-message"),
        (PUPILS.replace("<bsn>", "<bsn><a/>").encode(), "xml-message"),  # pieces of text would add up without end
        (PUPILS.replace("<bsn>", "<bsn>" + "1" * 300).encode(), "xml-limits"),
        (PUPILS.replace('key="L', 'key="L' + "1" * 300).encode(), "xml-limits"),
        (PUPILS.replace("<land>", "<land>" + "<a>" * 40).encode(), "xml-limits"),
        (PUPILS.replace("<land>", "".join(f"<n{n}/>" for n in range(2000)) + "<land>").encode(), "xml-limits"),
        (PUPILS.replace("<land>", "<land " + " ".join(f"n{n}=''" for n in range(2000)) + ">").encode(), "xml-limits"),
        (PUPILS.replace("<land>", "".join(f'<a xmlns:p{n}="urn:x"/>' for n in range(2000)) + "<land>").encode(), "xml-limits"),
    ],
)
def test_bad_xml_is_refused(content: bytes, rule: str) -> None:
    assert told_of(with_pupils(content)) == {rule}


@pytest.mark.parametrize("begin", ["<EDEX><a b='", "<EDEX><!-- ", "<EDEX><a>", "<EDEX", "<EDEX><?pi "])
def test_a_gigabyte_without_a_tag_stops_early_in_little_memory(begin: str) -> None:
    given = 0

    def chunks() -> Iterator[bytes]:
        nonlocal given
        yield begin.encode()
        for _ in range(16384):
            given += 1
            yield b"x" * 65536

    tracemalloc.start()
    with pytest.raises(DropRefused, match="xml-limits"):
        for _ in StrictXml(Element({"EDEX": Element()}), lambda name: None).read(chunks()):
            pass
    assert given < 10 and tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_pupils_without_results_pile_up_no_more_than_those_of_one_school() -> None:
    def delivered(schools: int) -> bytes:
        pupils = edexml(SCHOOL, []).replace("<leerlingen>", "<leerlingen>" + "".join(f'<leerling key="{key}"/>' for key in range(12_000)))
        return packed(
            [
                (f"{code}/{name}", content.replace(f"<brincode>{SCHOOL[:4]}", f"<brincode>{code[:4]}"))
                for code in (f"{number:02}AA00" for number in range(schools))
                for name, content in (("leerlingen.xml", pupils), ("resultaten.xml", uwlr(SCHOOL, [])))
            ]
        )

    told_of(delivered(1))  # what is made once is no part of it
    peaks = []
    for plain in (delivered(2), delivered(10)):
        gc.disable()  # what is let go of is gone at once, and not when garbage happens to be collected
        tracemalloc.start()
        try:
            assert told_of(plain) == {"no-rows"}
            peaks.append(tracemalloc.get_traced_memory()[1] - len(plain))
        finally:
            tracemalloc.stop()
            gc.enable()
    assert peaks[1] < peaks[0] * 1.5, peaks


def test_memory_does_not_grow_with_the_results() -> None:
    peaks = []
    for count in (2_000, 120_000):
        table = [{**entry, "toetscode": "RW-3.0-M5"} for entry in rows(200)]
        body = uwlr(SCHOOL, table)
        head, rest = body.split("<toetsafnames>")
        sittings, tail = rest.split("</toetsafnames>")

        def content(head: str = head, sittings: str = sittings, tail: str = tail, count: int = count) -> Iterator[bytes]:
            yield (head + "<toetsafnames>").encode()
            for turn in range(count // 200):
                yield sittings.replace('key="r', f'key="{turn}-').encode()
            yield ("</toetsafnames>" + tail).encode()

        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr(f"{SCHOOL}/leerlingen.xml", edexml(SCHOOL, table))
            with zipped.open(f"{SCHOOL}/resultaten.xml", "w") as file:
                for piece in content():
                    file.write(piece)
        plain = out.getvalue()
        tracemalloc.start()
        checked = Checked(io.BytesIO(plain), context(), packaged_rules("nco-lvs-1"))
        assert sum(batch.height for batch in checked.batches()) == count
        peaks.append(tracemalloc.get_traced_memory()[1] - len(plain))
        tracemalloc.stop()
    # one stretch of results, and 8 bytes and a table's place for each key
    assert peaks[1] < 48 << 20, peaks


# ---------------------------------------------------------------- whatever is done to the bytes


@given(edits=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_zips_give_findings_and_never_a_crash(edits: list[tuple[int, int]]) -> None:
    content = bytearray(GOOD)
    for at, value in edits:
        content[at] = value
    check(bytes(content))


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(RESULTS) - 1), st.sampled_from(["", "<", ">", "&", '"', "\0", "]]>", "<a>", "9", "é"])), max_size=4
    ),
    pupils=st.booleans(),
)
def test_changed_xml_gives_findings_and_never_a_crash(edits: list[tuple[int, str]], pupils: bool) -> None:
    text = PUPILS if pupils else RESULTS
    for at, value in edits:
        text = text[:at] + value + text[at + 1 :]
    outcome = check(exchange(TABLE, **{"pupils" if pupils else "results": text.encode("utf-8", "replace")}))[1]
    assert "Zonneschijn" not in repr(outcome) and "1234AB" not in repr(outcome)


def test_random_bytes_behind_the_signature_are_no_zip() -> None:
    for _ in range(50):
        assert told_of(b"PK\x03\x04" + os.urandom(500)) == {"zip-damaged"}
