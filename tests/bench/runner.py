"""Benchmarks beside their peers: the same work, in the same process, by turns, so that a busy machine slows both.

A module `tests/bench/bench_<name>.py` defines `run() -> list[Result]`, usually by `compare`. Every module runs in a process of its
own, so that its peak memory is its own.
"""

import gc
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

#: the contract asks for medians of at least so many runs
RUNS = 5


@dataclass(frozen=True)
class Result:
    """One line of bench/results.json (contract); `ratio` above 1 means that ours is better."""

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float
    peak_rss_mib: float
    runs: int

    def as_document(self) -> dict[str, str | float | int]:
        return asdict(self)


def peak_rss_mib() -> float:
    """The largest resident set of this process up to now [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes [s], without the garbage collector cutting in."""
    gc.disable()
    start = time.perf_counter()
    try:
        work()
        return time.perf_counter() - start
    finally:
        gc.enable()


def compare(
    name: str,
    ours: Callable[[], object],
    peer_name: str,
    peer: Callable[[], object],
    *,
    unit: str,
    amount: float,
    peer_amount: float | None = None,
    per: bool = True,
    runs: int = RUNS,
) -> Result:
    """The medians of `runs` interleaved runs of both, after one run of each that does not count.

    `amount` is how much work a call of `ours` does, `peer_amount` a call of `peer` (default: the same). With `per` the value is time
    per piece of work, in `unit` "ns", "us", "ms" or "s", and less is better; without it the value is work per second, and more is better.
    """
    if runs < RUNS:
        raise ValueError(f"a benchmark takes at least {RUNS} runs")
    ours(), peer()
    gc.collect()
    mine, theirs = [], []
    for turn in range(runs):
        for work, times in ((ours, mine), (peer, theirs)) if turn % 2 == 0 else ((peer, theirs), (ours, mine)):
            times.append(seconds(work))
    own, other = statistics.median(mine) / amount, statistics.median(theirs) / (peer_amount or amount)
    scale = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}[unit.split("/")[0]] if per else 1.0
    value, peer_value = (own * scale, other * scale) if per else (1 / own, 1 / other)
    return Result(
        name=name,
        value=round(value, 4),
        unit=unit,
        peer=peer_name,
        peer_value=round(peer_value, 4),
        ratio=round(other / own, 3),
        peak_rss_mib=round(peak_rss_mib(), 1),
        runs=runs,
    )
