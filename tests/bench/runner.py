"""Benchmarks beside their peers: the same work, in the same process, by turns, so that a busy machine slows both.

A module `tests/bench/bench_<name>.py` defines `run() -> list[Result]`, usually by `compare`. Every module runs in a process of its
own, so that its peak memory is its own.
"""

import gc
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

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


@dataclass(frozen=True)
class Side:
    """One that takes part: `work` is timed; what `before` does (files thrown away, a disk that comes to rest) is not."""

    name: str
    work: Callable[[], object]
    before: Callable[[], object] = field(default=lambda: None)


def in_turns(sides: Sequence[Side], runs: int) -> list[list[float]]:
    """The times of each side [s] in `runs` interleaved rounds, each round begun by the next one; one round before does not count."""
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(-1, runs):
        for step in range(len(sides)):
            which = (max(turn, 0) + step) % len(sides)
            sides[which].before()
            gc.collect()
            taken = seconds(sides[which].work)
            if turn >= 0:
                times[which].append(taken)
    return times


def contest(
    name: str,
    ours: Side,
    peers: Sequence[Side],
    *,
    unit: str,
    amount: float,
    runs: int = RUNS,
    rss: Callable[[], float] = peak_rss_mib,
) -> list[Result]:
    """Work per second of ours beside each peer, all in the same interleaved rounds; the first peer's line is called `name`.

    `amount` is the work in one run, `rss` tells the memory [MiB] that ours came to take.
    """
    if runs < RUNS:
        raise ValueError(f"a benchmark takes at least {RUNS} runs")
    own, *others = (statistics.median(times) for times in in_turns([ours, *peers], runs))
    return [
        Result(
            name=name if peer is peers[0] else f"{name}_vs_{peer.name.split()[0].lower()}",
            value=round(amount / own, 4),
            unit=unit,
            peer=peer.name,
            peer_value=round(amount / other, 4),
            ratio=round(other / own, 3),
            peak_rss_mib=round(rss(), 1),
            runs=runs,
        )
        for peer, other in zip(peers, others, strict=True)
    ]


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
    mine, theirs = in_turns([Side(name, ours), Side(peer_name, peer)], runs)
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
