"""The files of the results store: which is whose, and that none goes while it is read.

A part lies at `results/CAMPAIGN/DROP.parquet`, and once persons were taken out of it at `DROP.1.parquet`, then `DROP.2.parquet` …: the
ledger says which of them counts. What else is there of a drop whose results count was replaced, is about to be its next, or is what a
linking made that came too late.
"""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from sqlmodel import select

from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.models import Part
from keys.durable import UNFINISHED

LOCK = ".lock"


def attempt_file(file: str) -> str:
    """A fresh name below results/ for what may become the part `file`: whoever links the same drop at the same time has another."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{drop_of_file(path.name)}.{secrets.randbits(64)}{path.suffix}"))


def next_file(file: str) -> str:
    """The name below results/ under which a part is written anew."""
    path = PurePosixPath(file)
    drop, _, number = path.stem.partition(".")
    return str(path.with_name(f"{drop}.{int(number or 0) + 1}{path.suffix}"))


def drop_of_file(name: str) -> str:
    """Whose results a file of the store holds, whole or half written."""
    return name.removeprefix(UNFINISHED).partition(".")[0]


def is_passing(name: str, file: str) -> bool:
    """Whether a file beside the part `file` may be what replaces it, or what it replaced: whoever rewrites it next removes that."""
    path = PurePosixPath(file)
    number = name.removeprefix(UNFINISHED).removeprefix(f"{drop_of_file(path.name)}.").partition(".")[0]
    return number.isdigit() or (name == f"{drop_of_file(path.name)}{path.suffix}" != path.name)


@contextmanager
def reading_parts(home: Home) -> Iterator[None]:
    """The files of the parts that count stay where they are; whoever rewrites them comes back later."""
    with (home.results / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextmanager
def rewriting_parts(home: Home) -> Iterator[bool]:
    """Whether nobody reads or rewrites the parts now; then it stays so."""
    with (home.results / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def remove_replaced(home: Home, attempts: bool = False) -> int:
    """Remove what was replaced, and what a rewriting that was cut off left; answers how many files. Only within `rewriting_parts`.

    `attempts`: also what a linking that was cut off left of a drop that has no results yet; one that is under way is tried again.
    """
    with home.ledger.view() as session:
        files = dict(session.exec(select(Part.drop, Part.file)).all())

    def is_left(path: Path) -> bool:
        drop = drop_of_file(path.name)
        if drop in files:
            return path != home.results / files[drop]
        return attempts and path.name != f"{drop}.parquet"  # which a change that is about to end may have put there

    left = [path for path in home.results.glob("*/*.parquet*") if is_left(path)]
    for path in left:
        unlink_durably(path)
    return len(left)
