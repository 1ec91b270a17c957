"""The results that count, for every command that reads them."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from gateway.linker.results import Layer, counting
from gateway.store.counting import live_results
from gateway.store.home import Home
from gateway.store.parts import reading_parts


@contextmanager
def results_that_count(home: Home) -> Iterator[tuple[pl.LazyFrame, dict[str, str]]]:
    """All linked results that count, of all campaigns, and of which parts: each part's digest, by drop. Their files stay until the block
    ends."""
    with reading_parts(home):
        with home.ledger.view() as session:
            parts = live_results(session)
        layers = [Layer(home.results / part.file, part.campaign if part.shared else None) for part in parts]
        yield counting(layers), {part.drop: part.sha256 for part in parts}
