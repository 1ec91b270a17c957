"""What the fuzzers of deliveries have in common: seeds, how they are started, and what must hold whatever comes.

python -m tests.hostile.fuzz_csv CORPUS -max_total_time=60      a folder of its own, which it fills
python -m tests.hostile.fuzz_csv FIND                           plays one input again
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import atheris  # type: ignore[import-not-found,unused-ignore]

from gateway.checks.catalogue import CATALOGUE
from gateway.checks.check import Checked, Outcome
from gateway.checks.findings import DropRefused
from gateway.checks.rule import Level
from policies.rules import packaged_rules
from tests.support.deliveries import SCHOOL, context, standing
from tests.support.leaks import carried, leaked, told

RULES = packaged_rules("nco-lvs-1")
SCHOOLS = (SCHOOL, "02BB01")
WHERE = context(schools={code: standing(code) for code in SCHOOLS})


class Watched(Checked):
    """A reading that keeps what the exceptions that ended it said."""

    def __init__(self, stream: BinaryIO, batch_bytes: int = 16 << 20) -> None:
        super().__init__(stream, WHERE, RULES, batch_bytes)
        self.carried = ""

    def _source(self) -> Any:
        return _Source(super()._source, self)


class _Source:
    def __init__(self, make: Callable[[], Any], reading: Watched) -> None:
        self._make = make
        self._reading = reading

    def batches(self) -> Iterator[Any]:
        try:
            yield from self._make().batches()
        except DropRefused as stop:
            self._reading.carried = carried(stop)
            raise


def judged(stream: BinaryIO, content: bytes, batch_bytes: int = 16 << 20) -> tuple[list[dict[str, Any]], Outcome]:
    """Reads a delivery to its end: the accepted rows and the outcome, after what must hold of every one was looked at."""
    reading = Watched(stream, batch_bytes)
    accepted = [row for batch in reading.batches() for row in batch.to_dicts()]
    outcome, counts = reading.outcome, reading.outcome.counts
    assert not (values := leaked(content, told(outcome), reading.carried)), f"told of the file: {values}"
    assert all(item.rule in CATALOGUE for item in outcome.findings)
    refusals = [item for item in outcome.findings if CATALOGUE[item.rule].level is Level.DROP]
    assert bool(refusals) is outcome.refused
    assert counts["rows"] >= counts["refused_rows"] >= 0
    if not outcome.refused:
        assert len(accepted) == counts["accepted_rows"] <= counts["rows"] - counts["refused_rows"]
        assert {row["brin_vestiging"] for row in accepted} <= set(SCHOOLS)
    return accepted, outcome


class _Silence(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(f"something was logged: {record.name} {record.levelname}")


UNFORESEEN: list[str] = []


@contextmanager
def quiet_threads() -> Iterator[None]:
    """A thread that fails, or is still there at the end, is a find."""
    before = set(threading.enumerate())
    yield
    assert not UNFORESEEN, UNFORESEEN
    assert not set(threading.enumerate()) - before, "a thread outlived its delivery"


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def fuzz(one: Callable[[bytes], None], seeds: Mapping[str, bytes], words: Sequence[bytes] = ()) -> None:
    """Begins with the seeds, as the command line says; `words`: what to weave in."""
    logging.getLogger().addHandler(_Silence())
    threading.excepthook = lambda failed: UNFORESEEN.append(f"{failed.exc_type.__name__} in {failed.thread}")
    corpora = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    arguments = list(sys.argv)
    if corpora and not corpora[0].is_file():
        corpora[0].mkdir(parents=True, exist_ok=True)
        for name, seed in seeds.items():
            (corpora[0] / name).write_bytes(seed)
        dictionary = corpora[0].with_suffix(".dict")
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        arguments.append(f"-dict={dictionary}")
    atheris.Setup(arguments, one)
    atheris.Fuzz()
