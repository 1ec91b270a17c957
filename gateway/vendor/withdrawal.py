"""`sluis deliver withdraw`: the file `nco-intrekking-1` that takes whole deliveries back. It names deliveries, and no pupil."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gateway.checks.withdrawal import FORMAT
from gateway.vendor.refusals import refusal
from policies.calendar import AMSTERDAM
from policies.rules import packaged_rules


def write_withdrawal(folder: Path, drops: Sequence[str], reason: str) -> Path:
    """Write the file that withdraws `drops`, under a name of its own. WrongUsage: `not-a-drop`, `no-such-reason`."""
    rules = packaged_rules(FORMAT)
    reasons = rules.values("reden")
    if reason not in reasons:
        raise refusal("no-such-reason", reasons=", ".join(reasons))
    if not all(re.fullmatch(rules.by_name["levering"].pattern, drop) for drop in drops):
        raise refusal("not-a-drop")
    file = folder / f"intrekking-{datetime.now(AMSTERDAM):%Y-%m-%d-%H%M%S}-{secrets.token_hex(2)}.csv"
    file.write_text("".join(f"{line}\n" for line in ("levering;reden", *(f"{drop};{reason}" for drop in drops))), encoding="ascii")
    return file
