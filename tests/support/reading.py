"""A stored delivery read to its end as the worker reads it, and what that takes."""

import io
import resource
import time
import tracemalloc
from collections.abc import Sequence

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.stream import Limits, open_delivery
from keys.secret import Secret
from policies.rules import packaged_rules
from tests.support.deliveries import DROP_KEY, IDENTITY, blob, context

MIB = 1 << 20


def deliver(
    delivered: bytes | io.BytesIO, where: CheckContext | None = None, limits: Limits | None = None, openpgp: Sequence[Secret] = ()
) -> tuple[int, Outcome]:
    """Accepted rows and outcome of a delivery as the worker reads it."""
    stored = delivered if isinstance(delivered, io.BytesIO) else blob(delivered)
    with open_delivery(stored, DROP_KEY, [IDENTITY], limits, openpgp) as stream:
        checked = Checked(stream, where or context(), packaged_rules("nco-lvs-1"))
        accepted = sum(batch.height for batch in checked.batches())
    return accepted, checked.outcome


def measured(delivered: io.BytesIO, limits: Limits | None = None, openpgp: Sequence[Secret] = ()) -> tuple[Outcome, float, int]:
    """Outcome, seconds, and how far the peak of memory rose [bytes]."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    begin = time.monotonic()
    try:
        _, outcome = deliver(delivered, limits=limits, openpgp=openpgp)
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return outcome, time.monotonic() - begin, max(traced, grown)
