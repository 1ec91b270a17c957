"""Rapportages.zip: same input same bytes, everything in it accounted for, never readable on disk."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from datetime import date

import pytest

from gateway.publish.bundle import BundleHead, ReportFile, contents_of, same_reports, seal_bundle, zip_bytes
from keys.chunked import Reader
from keys.secret import Secret
from policies.errors import Unsound

HEAD = BundleHead("2026-M", "12345", "Stichting De Sluis", 1, "", date(2026, 6, 10), "De autoriteit", "info@sluis.example")


def report(school: str, name: str = "De Brug", kind: str = "growth", content: bytes = b"%PDF-1.7 inhoud") -> ReportFile:
    return ReportFile(kind, school, name, len(content), hashlib.sha256(content).hexdigest(), lambda: content)


def opened(data: bytes) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive


def test_same_input_gives_the_same_bytes_in_whatever_order_it_comes() -> None:
    reports = [report("01AA00"), report("02BB00", "'t Eiland"), report("01AA00", kind="regular")]
    assert zip_bytes(HEAD, reports) == zip_bytes(HEAD, reports[::-1])


def test_names_start_with_the_schools_code_and_suit_every_system() -> None:
    reports = [report("02BB00", 'Prins/Willem: "de 1e" \\ <x>? é. '), report("01AA00", "n" * 300), report("01AA00", "..", kind="regular")]
    names = opened(zip_bytes(HEAD, reports)).namelist()
    assert names[:2] == ["Overzicht.pdf", "manifest.json"]
    assert names[2].startswith("Leergroei/01AA00 nnn") and len(names[2]) < 100
    assert names[3:] == ["Leergroei/02BB00 Prins Willem de 1e x é.pdf", "Regulier/01AA00.pdf"]


def test_manifest_names_every_other_file_with_its_hash() -> None:
    archive = opened(zip_bytes(HEAD, [report("01AA00"), report("02BB00", content=b"%PDF-1.7 iets anders")]))
    manifest = json.loads(archive.read("manifest.json"))
    assert (manifest["schema"], manifest["board"], manifest["campaign"], manifest["version"]) == ("sluis-bundle-1", "12345", "2026-M", 1)
    found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name != "manifest.json"}
    assert {file["name"]: file["sha256"] for file in manifest["files"]} == found


def test_manifest_says_which_register_of_objections_the_results_were_held_against() -> None:
    with_one = replace(report("01AA00"), objection_register=3)
    archive = opened(zip_bytes(HEAD, [with_one, report("02BB00"), report("01AA00", kind="regular")]))
    rows = {row["name"]: row for row in json.loads(archive.read("manifest.json"))["files"]}
    assert rows[with_one.name]["objection_register"] == 3
    assert rows[report("02BB00").name]["objection_register"] is None
    assert {name for name in rows if "objection_register" not in rows[name]} == {"Overzicht.pdf", report("01AA00", kind="regular").name}


def test_another_register_with_the_same_reports_is_the_same_bundle() -> None:
    before, after = (contents_of([replace(report("01AA00"), objection_register=version)]) for version in (1, 2))
    assert before != after and same_reports(before, after)
    older = [{name: value for name, value in before[0].items() if name != "objection_register"}]  # as bundles were before they named it
    assert same_reports(older, after)
    assert not same_reports(before, contents_of([report("01AA00", content=b"%PDF-1.7 iets anders")]))
    assert not same_reports(before, [])


def test_local_headers_are_complete_for_programs_that_unpack_a_stream() -> None:
    """No data descriptors (bit 3): a stored entry that has one can't be unpacked from a stream."""
    for entry in opened(zip_bytes(HEAD, [report("01AA00")])).infolist():
        assert entry.flag_bits & 0x08 == 0
        assert entry.date_time == (2026, 6, 10, 12, 0, 0)


def test_a_report_that_was_changed_after_it_was_built_stops_the_bundle() -> None:
    sound = report("01AA00")
    changed = ReportFile("growth", "02BB00", "De Brug", sound.size, sound.sha256, lambda: b"%PDF-1.7 anders")
    with pytest.raises(Unsound, match="02BB00") as raised:
        zip_bytes(HEAD, [sound, changed])
    assert raised.value.code == "report-changed"


def test_sealed_bundle_opens_to_the_very_zip_and_shows_nothing() -> None:
    reports = [report("01AA00", content=b"%PDF-1.7 " + b"geheim" * 50_000), report("02BB00")]
    key, target = Secret(b"k" * 32), io.BytesIO()
    facts = seal_bundle(HEAD, reports, key, "b-1", target)
    plain = zip_bytes(HEAD, reports)
    reader = Reader(key, "b-1", target)
    assert b"".join(reader.read_range(0, reader.size)) == plain
    assert (facts.size, facts.sha256) == (len(plain), hashlib.sha256(plain).hexdigest())
    assert facts.contents == contents_of(reports)
    assert b"geheim" not in target.getvalue() and b"PK" not in target.getvalue()[:100]
