"""Fuzzes EDEXML and UWLR in a zip: any bytes in the place of one of the two files. Needs atheris; see tests/support/fuzzing.py.

Whatever comes: findings and never a crash, no value of the file told, and no name or other unasked element in what is read.
"""

import io
import zipfile

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["gateway.checks", "policies"]):
    import gateway.checks.check
    from gateway.checks import archive

from tests.support.deliveries import SCHOOL, row, rows
from tests.support.exchange import edexml, packed, result, uwlr
from tests.support.fuzzing import fuzz, judged

TABLE = [{**entry, "toetscode": "RW-3.0-M5"} for entry in rows(6, per_pupil=2)]
PUPILS, RESULTS = edexml(SCHOOL, TABLE).encode(), uwlr(SCHOOL, TABLE, others=1).encode()
#: what stands in elements that nobody asks for
UNASKED = ("Zonneschijn", "Wimpie", "Vlinders")
#: [bytes] that the parser is given at once
STEPS = (1 << 16, 1, 7, 333)


def one(data: bytes) -> None:
    content, pupils, step = data[:-1], bool(data) and data[-1] % 2 == 0, STEPS[data[-1] // 2 % len(STEPS)] if data else STEPS[0]
    files = {f"{SCHOOL}/leerlingen.xml": content if pupils else PUPILS, f"{SCHOOL}/resultaten.xml": RESULTS if pupils else content}
    archive._READ = STEPS[0]
    accepted, outcome = judged(io.BytesIO(packed(files, zipfile.ZIP_STORED)), content)
    if step != STEPS[0]:
        archive._READ = step
        in_pieces = judged(io.BytesIO(packed(files, zipfile.ZIP_STORED)), content)
        assert in_pieces[1].refused is outcome.refused
        assert outcome.refused or in_pieces == (accepted, outcome)
    if outcome.refused:
        return
    assert not [word for word in UNASKED if word in repr(accepted)]
    # a pupil's rows are the pupil's, whatever was done to the keys: no two pupils are mixed into one row
    known = {(entry["bsn"], entry["geboortedatum"], entry["postcode"]) for entry in TABLE}
    if not pupils:
        assert {(str(row["bsn"] or ""), str(row["geboortedatum"]), row["postcode"]) for row in accepted} <= known


def seeds() -> dict[str, bytes]:
    """Both files as vendors write them, and what is tried in them."""
    few = [row(toetscode="RW-3.0-M5"), row(bsn="", onderwijsnummer="100000009", toetscode="BLZ07-20-138", score="x")]
    doctype = b'<!DOCTYPE EDEX [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    parts = uwlr(SCHOOL, few, more=result("x", "2026-01-20Z", "RW-3.0-M5", "<anderresultaat>goed</anderresultaat><score>3</score>"))
    return {
        "pupils": PUPILS + b"\0", "results": RESULTS + b"\1", "pupils-2.0": edexml(SCHOOL, few, "2.0").encode() + b"\4",
        "parts": parts.encode() + b"\3", "doctype": PUPILS.replace(b"?>", b"?>" + doctype, 1) + b"\0",
        "utf-16": PUPILS.decode().encode("utf-16") + b"\0", "health": PUPILS.replace(b"<land>", b"<etniciteit/><land>") + b"\0",
        "cdata": RESULTS.replace(b"<oso:vaardigheidsscore>", b"<oso:vaardigheidsscore><![CDATA[1]]>") + b"\1",
    }  # fmt: skip


WORDS = [
    *(f"<{name}>".encode() for name in ("leerling", "bsn", "sofinummer", "blok", "code", "huisletter", "toevoegingen", "EDEX", "school")),
    *(f"<{name}>".encode() for name in ("resultaat", "toets", "toetscode", "leerlingid", "score", "norm", "toetsafname")),
    b"<toetsonderdeelcode>",
    *(f"</{name}>".encode() for name in ("leerling", "resultaat", "toets", "toetsafname", "blok", "norm", "EDEX")),
    b"<!DOCTYPE ", b"<!ENTITY ", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?pi ", b"?>", b"&amp;", b"&#x0;", b"&a;", b"xmlns=", b"/>",
    b'key="', b"encoding=", b"ISO-8859-1", b"2026-01-20Z", b"sluis-adres-1", b"\xff\xfe", b"\0", b"xsi:type", b"urn:x",
]  # fmt: skip

if __name__ == "__main__":
    assert gateway.checks.check
    fuzz(one, seeds(), WORDS)
