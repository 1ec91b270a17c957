"""The typesetter: accessible, the same bytes for the same input, and data that stays data."""

import subprocess
import sys
import unicodedata
from io import BytesIO

import pytest
from pypdf import PdfReader

from gateway.typeset import compile_pdf
from gateway.typeset.coverage import FONTS, covered
from gateway.typeset.typst import MISSING
from policies.errors import Unsound

TEMPLATE = """= Rapport van #data.name
#figure(alt: "een staaf", rect(width: 3cm, height: 1cm, fill: red), caption: [Een staaf])
*vet* _cursief_ #text(weight: "semibold")[halfvet]
"""


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def test_a_document_is_tagged_and_names_its_language_and_title() -> None:
    reader = PdfReader(BytesIO(compile_pdf(TEMPLATE, {"name": "De Vlieger"}, title="Rapport De Vlieger")))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "nl"
    assert "/StructTreeRoot" in root
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata is not None
    assert reader.metadata.title == "Rapport De Vlieger"
    assert b"pdfuaid:part" in root["/Metadata"].get_data()


def test_a_document_says_nothing_of_when_or_by_whom_it_was_made() -> None:
    metadata = PdfReader(BytesIO(compile_pdf(TEMPLATE, {"name": "x"}, title="x"))).metadata
    assert metadata is not None
    assert set(metadata) <= {"/Title", "/Creator"}


def test_another_process_makes_the_same_bytes() -> None:
    here = compile_pdf(TEMPLATE, {"name": "De Vlieger"}, title="x")
    program = (
        "import sys; from gateway.typeset import compile_pdf;"
        f"sys.stdout.buffer.write(compile_pdf({TEMPLATE!r}, {{'name': 'De Vlieger'}}, title='x'))"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert there == here
    assert compile_pdf(TEMPLATE, {"name": "De Vliegert"}, title="x") != here


@pytest.mark.parametrize("name", ["#panic()", "= kop *vet* $x$", "<label> @label", '"); #read("x', "\\u{41}"])
def test_markup_in_a_name_stays_text(name: str) -> None:
    assert name.replace(" ", "") in text_of(compile_pdf(TEMPLATE, {"name": name}, title=name)).replace(" ", "")


def test_what_no_font_can_show_is_replaced_and_the_document_is_made() -> None:
    text = text_of(compile_pdf(TEMPLATE, {"name": "De \U0001f600 Ster\x07 é 学"}, title="\U0001f600"))
    assert "Ster" in text
    assert "é" in unicodedata.normalize("NFC", text)
    assert MISSING in text


def test_the_coverage_is_that_of_the_fonts() -> None:
    assert len(list(FONTS.glob("*.ttf"))) == 4
    assert set("abcXYZ0189éëïçÿœŁőΩя€–—…±−×≥≤µ·•") <= covered()
    assert not set("学\U0001f600\ue000אب") & covered()


@pytest.mark.parametrize("template", ["#unknown(1)", '#read("/etc/hostname")', '#import "@preview/cetz:0.3.0"', "#panic(data.secret)"])
def test_a_faulty_template_is_named_by_its_line_and_no_value_is_told(template: str) -> None:
    with pytest.raises(Unsound) as caught:
        compile_pdf(f"regel een\n{template}\n", {"secret": "zeerbijzonder"}, title="x")
    assert "line 2" in caught.value.message
    assert "zeerbijzonder" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_picture_without_alternative_text_is_refused() -> None:
    with pytest.raises(Unsound):
        compile_pdf(
            '#image(bytes("<svg xmlns=\\"http://www.w3.org/2000/svg\\" width=\\"9\\" height=\\"9\\"/>"), format: "svg")', {}, title="x"
        )
