"""Which results of a drop that is being linked replace those of other drops, or are replaced by them: counted before it is written down."""

from gateway.linker.results import rows_replaced
from gateway.store.counting import Rival, rivals_of
from gateway.store.home import Home
from gateway.store.models import Drop
from gateway.store.parts import reading_parts


def counted_rivals(home: Home, drop: Drop, file: str) -> dict[Rival, int]:
    """Of each part that may hold the same results as `file` (below results/), how many rows the earlier of the two loses to the later.

    Takes no lock of the ledger: whoever writes this down compares `rivals_of` again.
    """
    with reading_parts(home):
        with home.ledger.view() as session:
            rivals = rivals_of(session, drop)
        mine = home.results / file
        return {
            rival: rows_replaced(mine, home.results / rival.file) if rival.later else rows_replaced(home.results / rival.file, mine)
            for rival in rivals
        }
