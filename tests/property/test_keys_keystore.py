"""The store of keys behaves as a table of (kind, name) to value, also for who opens the folder anew."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keys.keystore import Keystore
from keys.secret import Secret
from policies.errors import NotFound, Refused

KINDS = st.sampled_from(["drops", "epochs"])
NAMES = st.sampled_from(["a", "a.b", "a.b.c", "A", "2026-11-21"])
VALUES = st.binary(min_size=1, max_size=64).map(Secret)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Keystore(self.folder / "store")
        self.model: dict[tuple[str, str], Secret] = {}

    @rule(kind=KINDS, name=NAMES, value=VALUES)
    def create(self, kind: str, name: str, value: Secret) -> None:
        if (kind, name) in self.model:
            with pytest.raises(Refused):
                self.store.create(kind, name, value)
        else:
            self.store.create(kind, name, value)
            self.model[kind, name] = value

    @rule(kind=KINDS, name=NAMES)
    def destroy(self, kind: str, name: str) -> None:
        self.store.destroy(kind, name)
        self.model.pop((kind, name), None)

    @rule(kind=KINDS, name=NAMES)
    def read(self, kind: str, name: str) -> None:
        if (kind, name) in self.model:
            assert self.store.read(kind, name) == self.model[kind, name]
        else:
            with pytest.raises(NotFound):
                self.store.read(kind, name)

    @rule(kind=KINDS, name=NAMES, value=VALUES)
    def a_making_is_cut_short(self, kind: str, name: str, value: Secret) -> None:
        folder = self.folder / "store" / kind
        if folder.is_dir():
            (folder / f".new.{name}.0123").write_bytes(value.reveal())
            self.store.destroy(kind, name)
            self.model.pop((kind, name), None)

    @rule()
    def open_anew(self) -> None:
        self.store = Keystore(self.folder / "store")

    @invariant()
    def lists_what_is_there(self) -> None:
        for kind in ("drops", "epochs"):
            names = sorted(name for of, name in self.model if of == kind)
            assert self.store.names(kind) == names
            folder = self.folder / "store" / kind
            assert (sorted(path.name for path in folder.iterdir()) if folder.exists() else []) == names
            assert all(self.store.exists(kind, name) for name in names)
            assert self.store.unfinished(kind) == []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
