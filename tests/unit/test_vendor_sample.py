"""`sluis deliver sample`: what it writes is valid by the checks on any day, and by the official schemas."""

import gzip
import io
import shutil
import zipfile
from datetime import date
from pathlib import Path

import pytest
import xmlschema

from gateway.checks.objections import read_objection_register
from gateway.checks.withdrawal import read_withdrawal
from gateway.vendor.sample import SCHOOLS, write_samples
from policies.errors import Refused
from tests.support.deliveries import check, context, standing

STANDARDS = Path(__file__).resolve().parents[3] / "shared" / "standards"
VENDOR_PAGES = Path(__file__).resolve().parents[2] / "docs" / "vendor"
#: around the changes of school year and round, and a leap day
DAYS = [date(2026, 1, 24), date(2026, 1, 25), date(2026, 6, 5), date(2026, 7, 31), date(2026, 8, 1), date(2026, 12, 31), date(2028, 2, 29)]


@pytest.mark.parametrize("today", DAYS, ids=str)
def test_every_sample_is_fit_on_any_day(tmp_path: Path, today: date) -> None:
    files = {path.name: path.read_bytes() for path in write_samples(tmp_path / "new", today)}
    where = context(today=today, schools={code: standing(code) for code in SCHOOLS})
    told = {
        name: check(gzip.decompress(files[name]) if name.endswith(".gz") else files[name], where)
        for name in ("levering.csv", "levering-gzip.csv.gz", "levering-edexml-uwlr.zip")
    }
    for accepted, outcome in told.values():
        assert not outcome.refused and outcome.findings == [] and outcome.counts["schools"] == 2
        assert len(accepted) == outcome.counts["rows"] > 90 and outcome.counts["pupils"] >= 20
    plain, packed, zipped = (accepted for accepted, _ in told.values())
    assert plain == packed and sorted(map(str, plain)) == sorted(map(str, zipped))
    objections = read_objection_register(io.BytesIO(files["bezwaren.csv"]), SCHOOLS, today)
    assert (objections.refused, objections.findings, set(objections.schools)) == (False, [], set(SCHOOLS))
    withdrawal = read_withdrawal(io.BytesIO(files["intrekking.csv"]))
    assert (withdrawal.refused, withdrawal.findings, len(withdrawal.reasons)) == (False, [], 1)


@pytest.mark.skipif(not STANDARDS.is_dir(), reason="Edustandaard's schemas, no part of the project, are not in ../shared/standards")
def test_the_samples_are_valid_by_the_official_schemas(tmp_path: Path) -> None:
    for schema in (STANDARDS / "edexml-2.1").glob("*.xsd"):
        shutil.copy(schema, tmp_path)
    shutil.copy(VENDOR_PAGES / "sluis-toevoegingen.xsd", tmp_path)
    pupils = xmlschema.XMLSchema(str(tmp_path / "sluis-toevoegingen.xsd"))
    results = xmlschema.XMLSchema(str(STANDARDS / "uwlr-2.2" / "UWLR_Leerresultaten_v2p2.xsd"))
    # the schemas at hand know school years up to this one
    (file,) = (path for path in write_samples(tmp_path / "new", date(2025, 6, 30)) if path.suffix == ".zip")
    with zipfile.ZipFile(file) as archive:
        for school in SCHOOLS:
            pupils.validate(archive.read(f"{school}/leerlingen.xml").decode())
            results.validate(archive.read(f"{school}/resultaten.xml").decode())


def test_the_same_day_gives_the_same_files_and_none_is_overwritten(tmp_path: Path) -> None:
    first, second = (write_samples(tmp_path / name, DAYS[0]) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    first[0].write_text("own work")
    with pytest.raises(Refused, match="holds one of the files already"):
        write_samples(tmp_path / "a", DAYS[0])
    assert first[0].read_text() == "own work"
    with pytest.raises(Refused, match="can't be written"):
        write_samples(first[0] / "below a file", DAYS[0])


def test_the_numbers_are_those_of_tests(tmp_path: Path) -> None:
    (table, *_) = write_samples(tmp_path / "new", DAYS[0])
    rows = [line.split(";") for line in table.read_text().splitlines()[1:]]
    assert {row[1][:5] for row in rows} == {"99999", ""} and {row[2][:5] for row in rows} == {"10999", ""}
    assert all((row[1] == "") != (row[2] == "") for row in rows)
