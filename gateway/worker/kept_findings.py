"""What the ledger and the receipt keep of the findings about a drop."""

from collections.abc import Sequence

from gateway.checks.findings import Finding, finding
from gateway.store.models import Drop

#: findings kept in ledger and receipt; the total is kept beside them
KEPT = 1_000


def keep_findings(drop: Drop, findings: Sequence[Finding], total: int) -> None:
    """These are what is said of the drop now; `total` counts those that were left out of them too."""
    drop.findings = [found.as_dict() for found in findings[:KEPT]]
    drop.findings_total = total


def say_now(drop: Drop, rule: str, rows: int) -> None:
    """Of how many rows this warning holds now, and not whose; it replaces what was said before, and of none nothing is said."""
    others = [told for told in drop.findings if told["rule"] != rule]
    drop.findings_total -= len(drop.findings) - len(others)
    if rows:
        drop.findings_total += 1
        others = [*others[: KEPT - 1], finding(rule, count=rows).as_dict()]
    drop.findings = others
