"""The certificate's page: accessible, complete, the same bytes for the same document, and the signed document in it."""

import itertools
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from audit import certificate, document
from gateway.drop.certificate import dutch
from gateway.publish.certificate import certificate_pdf
from tests.support.audit_logs import signer
from tests.support.certificates import DROP, certified
from tests.support.pdfs import boxes_of, elements, text_of


def flat(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text for item in value for text in flat(item)]


def squeezed(text: str) -> str:
    """Without spaces: a page breaks lines where it must."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("lives", [False, True], ids=["ended", "lives"])
def test_everything_that_is_said_stands_on_the_page(lives: bool, tmp_path: Path) -> None:
    found = certified(tmp_path / "log", epoch_lives=lives)
    path = tmp_path / "page.pdf"
    path.write_bytes(certificate_pdf(found))
    page = squeezed(text_of(path))
    said = dutch(found)
    assert len(flat(list(said.values()))) > 80
    # cells whose text takes two lines are read in the table's order, not the page's: words tell
    missing = [text for text in flat(list(said.values())) if any(squeezed(word) not in page for word in text.split())]
    assert not missing
    command = f"sluisauditcheck{DROP}.certificaat.json--keysluis.vkey.txt"
    for whole in (found["sha256"], said["root"], DROP, "Certificaatvanvernietiging", "NISTSP800-88", command):
        assert whole in page
    for line in (*found["log"]["proof"].split("\n"), *found["signatures"]):
        assert squeezed(line) in page


def test_it_is_a_tagged_document_in_dutch_with_a_title_and_its_own_fonts(tmp_path: Path) -> None:
    pdf = PdfReader(BytesIO(certificate_pdf(certified(tmp_path))))
    root: Any = pdf.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == "nl" and root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert b"pdfuaid:part" in root["/Metadata"].get_data()
    assert pdf.metadata is not None and pdf.metadata.title == f"Certificaat van vernietiging {DROP}"
    assert set(pdf.metadata) <= {"/Title", "/Creator"}
    assert len(pdf.pages) == 2
    for font in (font for page in pdf.pages for font in page["/Resources"]["/Font"].values()):
        descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert re.search("OpenSans|DejaVuSansMono", descriptor["/FontName"]) and "/FontFile2" in descriptor
    tree = list(elements(root["/StructTreeRoot"]))
    kinds = [str(one["/S"]) for one in tree]
    assert kinds.count("/Table") == 5
    for table in (one for one in tree if one["/S"] == "/Table"):
        assert [one for one in elements(table) if one["/S"] == "/TH"]
    levels = [int(kind[2]) for kind in kinds if re.fullmatch(r"/H[1-6]", kind)]
    assert levels[0] == 1 and len(levels) == 9
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"organisation": "Stichting " + "Samenwerkingsverband " * 8, "vendor": "x" * 60, "address": "Lange Poten " * 12},
        {"log_size": 60_000},
    ],
    ids=["usual", "long names", "large log"],
)
def test_it_takes_two_pages_and_no_text_lies_outside_them(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    path.write_bytes(certificate_pdf(certified(tmp_path / "log", **changes)))
    assert len(PdfReader(path).pages) == 2
    boxes = boxes_of(path)
    assert len(boxes) > 300
    for left, top, right, bottom in boxes:
        assert left > 55 and right < 595.3 - 55
        assert top > 30 and bottom < 841.9 - 20


def test_the_signed_document_is_attached_as_it_is_and_can_be_checked(tmp_path: Path) -> None:
    """Also what no font can show: the page replaces that, the document must not."""
    found = certified(tmp_path, organisation="De 😀 Autoriteit")
    attached = PdfReader(BytesIO(certificate_pdf(found))).attachments
    assert list(attached) == [f"{DROP}.certificaat.json"]
    (data,) = attached[f"{DROP}.certificaat.json"]
    assert data == document.write(found)
    assert certificate.check(data, [signer().verifier])["nist_sp_800_88"]["organisation"] == "De 😀 Autoriteit"  # type: ignore[call-overload, index]


def test_another_process_makes_the_same_bytes_and_another_certificate_others(tmp_path: Path) -> None:
    found = certified(tmp_path / "a")
    path = tmp_path / "certificate.json"
    path.write_bytes(document.write(found))
    program = (
        "import json, sys; from gateway.publish.certificate import certificate_pdf;"
        "sys.stdout.buffer.write(certificate_pdf(json.load(open(sys.argv[1]))))"
    )
    there = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=True).stdout
    assert there == certificate_pdf(found)
    assert certificate_pdf(certified(tmp_path / "b", bytes=111_222_334)) != there
