"""The live register of persons, kept in memory between drops: keyed MACs and person ids only."""

from threading import Lock

import polars as pl

from gateway.linker.link import numbered
from gateway.registers.persons import load_persons
from gateway.store.home import Home
from gateway.store.models import RegisterVersion
from keys.secret import Secret


class PersonRegister:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = Lock()
        self._loaded: tuple[int, pl.DataFrame, Secret] | None = None

    def load(self, version: RegisterVersion) -> tuple[pl.DataFrame, Secret]:
        """The register's rows and the key they are keyed with; read from disk when the version changed."""
        assert version.id is not None
        with self._lock:
            if self._loaded is None or self._loaded[0] != version.id:
                self._loaded = None  # let go of the old one before reading the new
                frame = numbered(load_persons(self._home.registers / version.file))
                self._loaded = (version.id, frame, self._home.mortal.read("registers", version.key_name))
            return self._loaded[1], self._loaded[2]
