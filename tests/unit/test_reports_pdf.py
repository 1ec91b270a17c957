"""The PDF of a report: accessible, complete, confidential, and the same bytes for the same values."""

import dataclasses
import itertools
import multiprocessing
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from gateway.reports import charts, wording
from gateway.reports.pdf import render, values
from gateway.reports.school import SchoolReport
from tests.support.pdfs import boxes_of, elements
from tests.support.report_cases import LONG_NAME, cases, made_up_report

#: each of these takes a part of a second or more: `make check` leaves them out
pytestmark = pytest.mark.slow

CASES = cases()
DAY = date(2026, 7, 3)
CAMPAIGN = "2026-voorjaar"
PAGES = {"full": 6, "long": 6, "nothing": 3, "one_group": 4, "alone": 4, "two_tests": 5}


def reader(name: str) -> PdfReader:
    return PdfReader(BytesIO(render(CASES[name], DAY, CAMPAIGN)))


def text_of(pdf: PdfReader) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pdf.pages))


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_a_tagged_document_in_dutch_with_a_title_and_its_own_fonts(name: str) -> None:
    pdf = reader(name)
    root: Any = pdf.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "nl"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert pdf.metadata is not None
    assert pdf.metadata.title == f"Leergroei-rapportage {CASES[name].name} ({CASES[name].code}), {CAMPAIGN}"
    assert set(pdf.metadata) <= {"/Title", "/Creator"}
    assert b"pdfuaid:part" in root["/Metadata"].get_data()
    assert len(pdf.pages) == PAGES[name]
    fonts = [font for page in pdf.pages for font in page["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert "OpenSans" in descriptor["/FontName"]
        assert "/FontFile2" in descriptor


@pytest.mark.parametrize("name", CASES)
def test_every_figure_has_an_alternative_and_every_table_a_header(name: str) -> None:
    tree = list(elements(reader(name).trailer["/Root"]["/StructTreeRoot"]))
    kinds = [str(one["/S"]) for one in tree]
    drawn = sum(len(part.periods) for domain in CASES[name].domains for part in domain.parts)
    figures = [one for one in tree if one["/S"] == "/Figure"]
    assert len([one for one in figures if "Staafdiagram" in str(one.get("/Alt"))]) == drawn
    assert all(str(one.get("/Alt", "")).strip() for one in figures)
    assert kinds.count("/Table") == drawn + any(domain.parts for domain in CASES[name].domains)
    for table in (one for one in tree if one["/S"] == "/Table"):
        assert [one for one in elements(table) if one["/S"] == "/TH"]
    levels = [int(kind[2]) for kind in kinds if re.fullmatch(r"/H[1-6]", kind)]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_the_cover_names_board_school_code_campaign_and_day() -> None:
    report = made_up_report()
    cover = re.sub(r"\s+", " ", reader("full").pages[0].extract_text())
    for said in (report.board, report.board_name, report.name, report.code, CAMPAIGN, "3 juli 2026", "VERTROUWELIJK"):
        assert said in cover


def test_the_longest_name_stands_on_the_cover_in_full() -> None:
    cover = re.sub(r"\s+", "", reader("long").pages[0].extract_text())
    assert LONG_NAME.replace(" ", "") in cover


def test_every_number_of_a_report_stands_in_its_tables_and_alternatives() -> None:
    report = made_up_report()
    pdf = reader("full")
    text = text_of(pdf)
    alternatives = " ".join(str(one.get("/Alt", "")) for one in elements(pdf.trailer["/Root"]["/StructTreeRoot"]))
    for domain in report.domains:
        assert wording.domain_name(domain.domain) in text
        for period in (period for part in domain.parts for period in part.periods):
            for row in period.rows:
                for cohort, figure in zip(period.cohorts, row.figures, strict=True):
                    if figure is not None:
                        line = [wording.group_name(row.group, period.period), cohort, str(figure.n), wording.number(figure.first)]
                        assert " ".join(line) in text
                        assert f"eigen school {wording.number(figure.growth)} (n = {figure.n})" in alternatives


def test_a_report_without_figures_says_so_and_shows_none() -> None:
    text = text_of(reader("nothing"))
    assert "tonen we in deze ronde geen cijfers" in text
    assert "Landelijk gemiddelde" not in text


def test_terms_and_reasons_are_explained_in_every_report() -> None:
    for name in ("full", "nothing"):
        text = text_of(reader(name))
        for said in ("Wat u niet ziet, en waarom", "Hoe we rekenen", "Begrippen", "voorspelde referentiewaarde", "5 of minder leerlingen"):
            assert said in text


def test_equal_values_give_equal_bytes_and_another_name_does_not() -> None:
    one = render(CASES["one_group"], DAY, CAMPAIGN)
    assert render(CASES["one_group"], DAY, CAMPAIGN) == one
    assert render(dataclasses.replace(CASES["one_group"], name="Anders"), DAY, CAMPAIGN) != one


def test_reports_can_be_rendered_by_other_processes() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(render, CASES["nothing"], DAY, CAMPAIGN).result(60) == render(CASES["nothing"], DAY, CAMPAIGN)


def test_rendering_loads_no_polars() -> None:
    program = "import sys, gateway.reports.pdf; sys.exit('polars' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", CASES)
def test_no_text_lies_outside_its_page(name: str, tmp_path: Path) -> None:
    """Words' boxes as poppler sees them: all inside the margins."""
    path = tmp_path / "report.pdf"
    path.write_bytes(render(CASES[name], DAY, CAMPAIGN))
    boxes = boxes_of(path)
    assert len(boxes) > 100
    for left, top, right, bottom in boxes:
        assert left > 55 and right < 595.3 - 55
        assert top > 30 and bottom < 841.9 - 20


def numbers_in(node: object) -> Iterator[float]:
    if isinstance(node, dict):
        for value in node.values():
            yield from numbers_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from numbers_in(value)
    elif isinstance(node, float):
        yield node


@pytest.mark.parametrize("name", CASES)
def test_pictures_stay_inside_their_frames(name: str) -> None:
    said = values(CASES[name], DAY, CAMPAIGN)
    assert all(0 <= value <= 1 for domain in said["domains"] for value in numbers_in(domain))


@pytest.mark.parametrize("figures", [[0.0], [3.2], [-3.2], [-0.04, 0.03], [119.9, -80.0], [1e-9], [250.0, 251.0]])
def test_an_axis_holds_zero_and_all_values_in_round_steps(figures: list[float]) -> None:
    low, high, step = charts.axis(figures)
    assert low <= min(0, *figures, 0) and high >= max(0, *figures, 0)
    assert 1 <= (high - low) / step <= 12
    assert low / step == pytest.approx(round(low / step))
    assert high / step == pytest.approx(round(high / step))


def test_marks_of_one_value_lie_on_different_lanes_and_far_ones_at_the_end() -> None:
    strip = charts.strip([("3", True, 0.2), ("4", True, 0.2), ("5", True, 9.0), ("6", False, -9.0)])
    assert strip["lanes"] == 2
    assert {mark["label"]: mark["at"] for mark in strip["marks"]} == {"3": 0.6, "4": 0.6, "5": 1.0, "6": 0.0}


def test_numbers_are_said_in_dutch() -> None:
    assert wording.number(-1234.5) == "−1234,5"
    assert wording.whole(131201) == "131.201"
    assert (wording.signed(0.3), wording.signed(0.0), wording.signed(-0.3), wording.signed(None)) == ("+0,3", "0,0", "−0,3", "–")
    assert wording.day(date(2026, 3, 1)) == "1 maart 2026"
    assert (wording.group_name(5, 0), wording.group_name(5, 1), wording.group_name(0, 1)) == ("5", "5–6", "S")


def test_what_compares_with_the_prediction_is_counted_in_what_is_shown() -> None:
    figure = next(f for p in made_up_report().domains[0].parts[0].periods for _, f in p.newest())
    more, less = dataclasses.replace(figure, growth=9.0, reference=8.0), dataclasses.replace(figure, growth=7.0, reference=8.0)
    none = dataclasses.replace(figure, reference=None)
    assert "In 2 van de 3 " in wording.against_reference([more, less, more, none])
    assert "In geen van de 2 " in wording.against_reference([less, less])
    assert "In elk van de 2 " in wording.against_reference([more, more])
    assert "niet meer dan voorspeld" in wording.against_reference([less])
    assert wording.against_reference([none]) == ""


def test_a_report_can_be_sent_to_another_process_and_is_equal_there() -> None:
    report = made_up_report()
    again = pickle.loads(pickle.dumps(report))
    assert isinstance(again, SchoolReport)
    assert again == report
