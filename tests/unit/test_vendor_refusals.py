"""What the vendor's side refuses is said in two languages, about the same facts, and every text is used."""

import re
from pathlib import Path

import pytest

from gateway.vendor.refusals import CATALOGUE, Text, refusal

ROOT = Path(__file__).resolve().parents[2]
CODE = "".join(path.read_text() for path in [*(ROOT / "gateway/vendor").glob("*.py"), ROOT / "gateway/cli/deliver.py"])


def facts_of(*texts: str) -> set[str]:
    return set(re.findall(r"{([a-z_]+)}", " ".join(texts)))


@pytest.mark.parametrize("code", CATALOGUE)
def test_both_languages_say_it(code: str) -> None:
    text: Text = CATALOGUE[code]
    dutch, english = facts_of(text.dutch, text.dutch_hint), facts_of(text.english, text.english_hint)
    own = {"other_side", "introduce", "remedy", "dutch_remedy"}
    assert dutch - own == english - own
    error = refusal(code, **dict.fromkeys(dutch | english, "X"))
    assert error.dutch is not None and isinstance(error, text.kind)
    for sentence in (error.message, error.hint.strip(), error.dutch[0], error.dutch[1].strip()):
        assert sentence and "{" not in sentence
    assert error.message != error.dutch[0]


def test_nothing_else_is_raised_there() -> None:
    raised = set(re.findall(r"raise ([A-Z]\w+)\(", CODE)) - {"ConnectionError", "NotFit"}
    assert raised == set()
    assert set(re.findall(r'refusal\(\s*"([a-z-]+)"', CODE)) == set(CATALOGUE)
