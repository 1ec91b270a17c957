"""`sluis deliver check`: what a vendor is told of its files, in which words, and when a value of theirs is shown."""

import gzip
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.checks.catalogue import CATALOGUE
from gateway.cli.app import run
from gateway.cli.deliver_said import printable
from gateway.vendor.check import check_file
from gateway.vendor.sample import SCHOOLS, write_samples
from policies.calendar import AMSTERDAM
from tests.support.exchange import packed

WITHDRAWAL = "levering;reden\nd20260120-abcdefghijklmnop;onjuist\n"
Told = Callable[..., Any]


@pytest.fixture
def samples(tmp_path: Path) -> dict[str, Path]:
    return {path.name: path for path in write_samples(tmp_path / "voorbeelden", datetime.now(AMSTERDAM).date())}


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What the command prints, or its JSON answer; with the exit status that it must have."""

    def answer(*arguments: object, status: int = 0, json_: bool = True) -> Any:
        capsys.readouterr()
        assert run([*(["--json"] if json_ else []), "deliver", "check", *map(str, arguments)]) == status
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return json.loads(said.out) if json_ and said.out else said.out or said.err

    return answer


def spoilt(samples: dict[str, Path], **changes: tuple[int, str]) -> tuple[Path, dict[str, str]]:
    """The sample with values changed: column → (row, value); and the values that were there."""
    header, *lines = samples["levering.csv"].read_text().splitlines()
    names, rows = header.split(";"), [line.split(";") for line in lines]
    before = {}
    for column, (row, value) in changes.items():
        before[column] = rows[row - 1][names.index(column)]
        rows[row - 1][names.index(column)] = value
    file = samples["levering.csv"].with_name("fout.csv")
    file.write_text("\n".join([header, *(";".join(row) for row in rows), ""]))
    return file, before


def rules_in(document: dict[str, Any]) -> list[str]:
    return [one["rule"] for one in document["rules"]]


def test_what_a_file_is_its_content_says(samples: dict[str, Path], told: Told) -> None:
    formats = {name: told(path)["format"] for name, path in samples.items()}
    assert formats == {
        "levering.csv": "nco-lvs-1",
        "levering-gzip.csv.gz": "nco-lvs-1",
        "levering-edexml-uwlr.zip": "edexml-uwlr",
        "bezwaren.csv": "nco-bezwaar-1",
        "intrekking.csv": "nco-intrekking-1",
    }
    renamed = samples["bezwaren.csv"].rename(samples["bezwaren.csv"].with_name("levering.dat"))
    renamed.write_bytes(gzip.compress("\ufeff".encode() + renamed.read_bytes()))
    assert told(renamed)["format"] == "nco-bezwaar-1"


def test_several_files_are_checked_in_one_go(samples: dict[str, Path], told: Told) -> None:
    bad, _ = spoilt(samples, postcode=(2, "0000AA"), score=(5, "veel"))
    answers = told(samples["levering.csv"], bad, samples["bezwaren.csv"], status=1)
    assert [(one["file"], one["refused"]) for one in answers] == [("levering.csv", False), ("fout.csv", True), ("bezwaren.csv", False)]
    text = told(samples["levering.csv"], bad, samples["bezwaren.csv"], status=1, json_=False)
    assert "3 bestanden: 2 in orde, 1 geweigerd" in text
    assert "absent kan niet gelezen worden" in told(samples["levering.csv"], bad.with_name("absent"), status=1)
    assert "can't be read" in told(bad.parent, "--lang", "en", status=1)


def test_findings_are_told_rule_by_rule_with_their_cure(samples: dict[str, Path], told: Told) -> None:
    """Also beyond what a receipt has room for, each rule has its count."""
    table = samples["levering.csv"].read_text().splitlines()
    bad = samples["levering.csv"].with_name("fout.csv")
    bad.write_text("\n".join([table[0], *[line.replace(";M;", ";?;").replace(";V;", ";?;") for line in table[1:]] * 20, ""]))
    answer = told(bad, status=1)
    rows = 20 * (len(table) - 1)
    (one,) = (one for one in answer["rules"] if one["rule"] == "code")
    assert len(answer["findings"]) == 1000 < rows == one["count"]
    assert (one["columns"], one["first_rows"], one["level"]) == (["geslacht"], [1, 2, 3, 4, 5], "row")
    assert (one["cause"], one["cure"]) == (CATALOGUE["code"].cause, CATALOGUE["code"].cure)
    text = told(bad, status=1, json_=False)
    assert f"{rows:,}".replace(",", ".") in text and CATALOGUE["code"].cure in text
    assert "rij 1, kolom geslacht" in text and "rij 6," not in text and "hele levering geweigerd" in text


def test_the_answer_is_dutch_and_english_with_a_flag(samples: dict[str, Path], told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, _ = spoilt(samples, postcode=(2, "0000AA"), score=(5, "veel"))
    dutch, english = told(bad, status=1, json_=False), told(bad, "--lang", "en", status=1, json_=False)
    assert "wordt geweigerd" in dutch and CATALOGUE["postcode"].dutch in dutch and "rij 2, kolom postcode" in dutch
    assert "refused" in english and CATALOGUE["postcode"].english in english and "row 2, column postcode" in english
    assert CATALOGUE["postcode"].dutch not in english
    monkeypatch.setenv("SLUIS_LANG", "en")
    assert told(bad, status=1, json_=False) == english
    told(bad, "--lang", "fr", status=2)


def test_every_rule_can_be_said_in_english_with_the_facts_of_its_dutch_text() -> None:
    words = re.compile(r"{([a-z]+)}")
    for rule in CATALOGUE.values():
        assert set(words.findall(rule.english)) <= set(words.findall(rule.dutch)) | {"topic"}, rule.code


def test_values_are_shown_when_asked_for_and_never_otherwise(samples: dict[str, Path], told: Told) -> None:
    bad, _ = spoilt(samples, bsn=(2, "111222334"), postcode=(3, "0000AA"), toetscode=(4, "x" * 300))
    for json_ in (True, False):
        text = str(told(bad, status=1, json_=json_))
        assert not any(value in text for value in ("111222334", "0000AA", "xxx"))
    answer = told(bad, "--show-values", status=1)
    values = {(one["row"], one["column"]): one["value"] for one in answer["findings"] if "value" in one}
    assert values == {(2, "bsn"): "111222334", (3, "postcode"): "0000AA", (4, "toetscode"): "x" * 79 + "…"}
    assert 'rij 2, kolom bsn: "111222334"' in told(bad, "--show-values", status=1, json_=False)
    packed_ = bad.with_suffix(".csv.gz")
    packed_.write_bytes(gzip.compress(bad.read_bytes()))
    assert told(packed_, "--show-values", status=1)["findings"] == answer["findings"]


def test_values_of_a_zip_are_those_of_the_result_or_of_its_pupil(samples: dict[str, Path], told: Told, tmp_path: Path) -> None:
    with zipfile.ZipFile(samples["levering-edexml-uwlr.zip"]) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    second = f"{SCHOOLS[1]}/leerlingen.xml"
    score = re.compile(r"(vaardigheidsscore>)[0-9.]+")
    files[f"{SCHOOLS[0]}/resultaten.xml"] = score.sub(r"\g<1>veel", files[f"{SCHOOLS[0]}/resultaten.xml"], count=1)
    files[second] = re.sub(r"(<postcodenl>)....", r"\g<1>0000", files[second])
    file = tmp_path / "fout.zip"
    file.write_bytes(packed(files))
    findings = told(file, "--show-values", status=1)["findings"]
    values = {(re.split(r" \(|:", one["message"])[0], one["column"]): one.get("value", "") for one in findings}
    assert values[f"{SCHOOLS[0]}/resultaten.xml, resultaat 1", "score"] == "veel"
    assert values[f"{SCHOOLS[1]}/resultaten.xml, resultaat 1", "postcodenl"].startswith("0000")
    text = told(file, "--show-values", status=1, json_=False)
    assert f'{SCHOOLS[0]}/resultaten.xml, resultaat 1 (Client.ScoreOngeldig), kolom score: "veel"' in text
    assert "veel" not in told(file, status=1, json_=False)


def test_a_value_can_not_play_with_the_terminal(samples: dict[str, Path], told: Told) -> None:
    bad, _ = spoilt(samples, postcode=(2, "\x1b[2J\x07[red]x"))
    text = told(bad, "--show-values", status=0, json_=False)
    assert "\x1b" not in text and '"\\x1b[2J\\x07[red]x"' in text
    assert printable("gewoon é") == '"gewoon é"'


def test_unknown_schools_are_found_with_a_register(samples: dict[str, Path], told: Told, tmp_path: Path) -> None:
    def duo(codes: Sequence[str]) -> Path:
        file = tmp_path / "duo.csv"
        lines = ["BEVOEGD GEZAG NUMMER,BEVOEGD GEZAG NAAM,VESTIGINGSCODE,VESTIGINGSNAAM,SOORT PO"]
        file.write_text("\n".join([*lines, *(f"12345,Stichting,{code},School,bo" for code in codes), ""]))
        return file

    delivery = samples["levering.csv"]
    assert not told(delivery, "--register-of-schools", duo(SCHOOLS))["refused"]
    assert rules_in(told(delivery, "--register-of-schools", duo(SCHOOLS[:1]), status=1)) == ["unknown-school"]
    assert not told(samples["bezwaren.csv"], "--register-of-schools", duo(SCHOOLS))["refused"]
    told(delivery, "--register-of-schools", delivery, status=1)


def test_a_gateways_own_rules_are_held(samples: dict[str, Path], told: Told, tmp_path: Path) -> None:
    rules = tmp_path / "sluis.regels.toml"
    file = samples["levering.csv"].with_name("proef.csv")
    file.write_text(samples["levering.csv"].read_text().replace(";cito;", ";proef;"))
    assert "code" in rules_in(told(file, status=1))
    rules.write_text('publishers = ["proef"]\n[[scales]]\npublisher = "proef"\nrange = [0, 600]\n')
    assert not told(file, "--rules", rules)["refused"]
    rules.write_text("publishers = 1\n")
    assert "line 1" in told(file, "--rules", rules, status=3)


def test_a_wrong_withdrawal_or_register_is_told_too(tmp_path: Path, told: Told) -> None:
    file = tmp_path / "x.csv"
    file.write_text(WITHDRAWAL + "levering.csv;zomaar\n")
    assert told(file, status=1)["counts"]["refused_rows"] == 1
    assert "2 rijen, 1 geweigerd" in told(file, status=1, json_=False)
    file.write_text("brin_vestiging;bsn;onderwijsnummer;ingediend_op;ingetrokken_op\n99AA00;999990020;;31-01-2026;\n")
    assert told(file, "--show-values", status=1)["findings"][-1]["value"] == "31-01-2026"


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5000, b"PK\x03\x04 and no more", b"\x1f\x8b\x08 no gzip", b"levering", b"\xff\xfe;\n"], ids=repr
)
def test_what_is_nothing_is_refused_without_a_fault(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    verdict = check_file(file)
    assert verdict.refused and verdict.with_values().values == {}


def test_an_encrypted_file_can_not_be_checked(tmp_path: Path, told: Told) -> None:
    file = tmp_path / "x.csv"
    for content in (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"\x85\x01\x0c\x03"):
        file.write_bytes(content)
        assert "alleen Sluis kan het lezen" in told(file, status=1)
