"""The vendors' pages say what the checks do, and every rule is one that a check can find."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.catalogue_counting import COUNTING_RULES
from gateway.checks.catalogue_drop import DROP_RULES
from gateway.checks.catalogue_exchange import EXCHANGE_RULES
from gateway.checks.catalogue_row import ROW_RULES
from gateway.checks.findings import finding
from gateway.checks.pages import pages
from gateway.checks.rule import PLACEHOLDERS
from gateway.drop import receipt
from gateway.drop.lifecycle import State
from policies.objections import NO_REGISTER, WINDOW_OPEN

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "docs" / "vendor"


def test_the_generated_pages_are_as_the_code_is() -> None:
    made = pages(VENDOR)
    assert len(made) == 5
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"run: python -m gateway.checks.pages docs/vendor ({path.name})"
    assert "| `toetscode` |" in made[VENDOR / "nco-lvs-1.md"]
    assert "| `cito` | 0 tot en met 600 |" in made[VENDOR / "nco-lvs-1.md"]
    assert "| `M5` | 55,7 tot en met 258,5 | 148,5 tot en met 447,6 | 102,8 tot en met 310,5 |" in made[VENDOR / "nco-lvs-1.md"]
    assert "| gezondheid | `gezond`," in made[VENDOR / "nco-lvs-1.md"]
    assert "| `DIASPEL(?:-(?P<moment>M[3-8]\\|E[3-7]\\|B8))?` | `diataal` | `spelling` |" in made[VENDOR / "edexml-uwlr.md"]
    assert "| `ingediend_op` |" in made[VENDOR / "nco-bezwaar-1.md"]
    assert "| `levering` |" in made[VENDOR / "verbeteren.md"]


def test_codes_are_unique_and_every_text_is_whole() -> None:
    assert len(CATALOGUE) == len(DROP_RULES) + len(ROW_RULES) + len(EXCHANGE_RULES) + len(COUNTING_RULES)
    for rule in CATALOGUE.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.code)
        for text in (rule.dutch, rule.english, rule.cause, rule.cure):
            assert text.endswith("."), rule.code
        assert set(re.findall(r"{(\w+)}", rule.dutch)) == set(re.findall(r"{(\w+)}", rule.english)) <= set(PLACEHOLDERS)
        told = finding(rule.code, count=1, limit=2, topic="t", day=date(2026, 1, 2), until=date(2026, 3, 4)).message
        assert ("02-01-2026" in told, "04-03-2026" in told) == ("{day}" in rule.dutch, "{until}" in rule.dutch)


def test_every_rule_is_found_by_the_code() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py") if not path.name.startswith("catalogue"))
    by_kind = {"brin", "bsn", "onderwijsnummer", "code", "pattern", "date", "schooljaar", "postcode", "addition", "number"}
    assert [code for code in CATALOGUE if f'"{code}"' not in source and code not in by_kind] == []


def test_the_receipts_page_names_every_field_and_state() -> None:
    page = (VENDOR / "ontvangstbewijs.md").read_text(encoding="utf-8")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    document = receipt.compose(
        drop="d", folder="leveringen", file="f", sha256="", bytes=0, received_at=moment, state="received", campaign=None, counts={},
        findings=[], findings_total=0, waiting_for=[], objection_register={}, erase_before=moment, linked_at=None, erased_at=None,
        certificate=None,
    )  # fmt: skip
    words = {*document, *receipt.COUNTS, *(state.value for state in State if state not in receipt.STATES), WINDOW_OPEN, NO_REGISTER}
    assert [word for word in sorted(words) if f"`{word}`" not in page] == []
