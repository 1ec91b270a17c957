"""docs/operator/vendors.md names what the code knows: limits, reasons, kinds of keys."""

import re
from pathlib import Path

import pytest

from gateway.intake.front.defender import POINTS
from gateway.store.vendor_limits import LIMITS


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs" / "operator" / "vendors.md").read_text()


def reasons_in(path: Path) -> set[str]:
    text = path.read_text()
    found = re.findall(r'(?:Admission\(|_refuse\(account, |return |else |login\()"([a-z]+(?:-[a-z]+)+|revoked|expired|signature)"', text)
    found += re.findall(r'"([a-z]+-[a-z]+)" if certificate is None else "([a-z]+-[a-z]+)"', text)
    return {word for one in found for word in (one if isinstance(one, tuple) else (one,))}


def test_every_reason_is_explained(page: str, project: Path) -> None:
    table = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", page.split("## What the log says")[1].split("| --- |")[-1]))
    known = reasons_in(project / "gateway/store/entrance.py") | reasons_in(project / "gateway/intake/ssh/login.py")
    assert {"revoked", "key-unknown", "ca-unknown", "certificate-principal", "signature-form"} <= known, "the search finds them"
    assert known - table - set(POINTS) == set(), "POINTS are what the defender counts, and no reason"
    assert table - known <= {"too-many-sessions", "too-many-sessions-in-all"}


def test_every_limit_is_named(page: str) -> None:
    assert all(f"`{limit}`" in page for limit in LIMITS)
