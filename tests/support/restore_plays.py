"""A backup and a restore as processes that can be killed at any durable step (tests/support/crashing.py)."""

from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.linker.rows import remove_rows
from gateway.store.backup import make_backup
from gateway.store.home import Home
from gateway.store.restore import Order, restore
from keys.secret import Secret
from policies.errors import SluisError
from tests.support.crashing import fork_for_each_task
from tests.support.steps import Counter

#: below the folder that is watched
HOME, BACKUP = "home", "backup.age"


def bring_back(folder: Path, _counter: Counter, backup: str, identity: str, log: str, mortal: str | None = None) -> None:
    """`folder`/home out of a backup; a step that fails fails it."""
    order = Order(Path(backup), [Secret(identity.encode())], log=Path(log), mortal=Path(mortal) if mortal else None)
    with suppress(OSError, SluisError, SQLAlchemyError):
        restore(folder / HOME, order, remove_rows)


def save(folder: Path, _counter: Counter, of: str, recipient: str) -> None:
    """`folder`/backup.age of a home that stands elsewhere."""
    with suppress(OSError, SluisError, SQLAlchemyError):
        make_backup(Home.open(Path(of)), folder / BACKUP, [recipient])


if __name__ == "__main__":
    fork_for_each_task({"bring_back": bring_back, "save": save})
