"""Ranges are a set of offsets; an upload is a file whose bytes are never enciphered twice."""

import hashlib
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.intake.files import note
from gateway.intake.files.note import runtime_keys
from gateway.intake.files.ranges import Ranges
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload, new_uid
from gateway.store.config import Configuration
from gateway.store.home import Home
from gateway.store.ledger import utc_now
from keys.drop_cipher import DropCipher

LIMIT = 200
spans = st.tuples(st.integers(0, LIMIT), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(spans), spans)
def test_ranges_are_a_set(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    ranges, model = Ranges(), set()
    for start, stop in added:
        ranges.add(start, stop)
        model |= set(range(start, stop))
    listed = list(ranges)
    assert {offset for start, stop in listed for offset in range(start, stop)} == model
    assert all(a[1] < b[0] for a, b in pairwise(listed)), "touching ranges are one"
    inside = {offset for start, stop in ranges.within(*asked) for offset in range(start, stop)}
    outside = {offset for start, stop in ranges.missing(*asked) for offset in range(start, stop)}
    assert inside == model & set(range(*asked))
    assert outside == set(range(*asked)) - model
    assert ranges.end == max(model, default=-1) + 1
    assert ranges.prefix == next(offset for offset in range(LIMIT + 50) if offset not in model)
    assert list(Ranges(listed)) == listed


class Uploading(RuleBasedStateMachine):
    """Random writes, lost connections, stops and kills against a plain byte array."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.home = Home(Path(self.temporary.name), Configuration(), utc_now)
        self.folder = self.home.incoming("cito", "leveringen")
        self.folder.mkdir(parents=True)
        self.upload = Upload.begin(self.folder, new_uid())
        note.save(self.home, self.upload, "x.age", "r1")
        self.model: dict[int, int] = {}
        self.seen: dict[int, int] = {}  # what stood on disk at each offset, ever, under this key

    @rule(offset=st.integers(0, LIMIT), data=st.binary(max_size=50))
    def write(self, offset: int, data: bytes) -> None:
        differs = any(self.model.get(offset + i, byte) != byte for i, byte in enumerate(data))
        try:
            self._write(offset, data)
        except IntakeRefused as refused:
            assert refused.code == "rewritten" and differs
            return
        assert not differs
        self.model |= {offset + i: byte for i, byte in enumerate(data)}

    def _write(self, offset: int, data: bytes) -> None:
        if self.upload.would_scatter(offset):
            self.upload.scattered = True
            note.save(self.home, self.upload, "x.age", "r1")
        self.upload.write(offset, data)

    @rule(start=st.integers(0, LIMIT), size=st.integers(0, 50))
    def write_the_same_again(self, start: int, size: int) -> None:
        data = bytes(self.model[i] for i in range(start, start + size) if i in self.model)
        if len(data) == size:
            self._write(start, data)

    @rule()
    def lose_the_connection(self) -> None:
        self.upload.close()
        self.upload.open()

    @rule()
    def stop(self) -> None:
        """The note is exact: nothing is lost."""
        self.upload.close()
        note.save(self.home, self.upload, "x.age", "r1", clean=True)
        self._resume()
        assert set(self._arrived()) == set(self.model)

    @rule()
    def kill(self) -> None:
        """The note is what it was: without gaps nothing is lost; with gaps what was before the first one when it was noted."""
        whole = not self.upload.scattered
        certain = note.read(self.folder, self.upload.uid)
        assert certain is not None
        self.upload.close()
        if not self._resume():
            assert not whole and certain.prefix == 0, "nothing was certain"
            self._anew()
            return
        if whole:
            assert set(self._arrived()) == set(self.model)
        else:
            assert self._arrived() == list(range(certain.prefix))
            self.model = {offset: self.model[offset] for offset in range(certain.prefix)}

    def _arrived(self) -> list[int]:
        return [offset for start, stop in self.upload.ranges for offset in range(start, stop)]

    def _resume(self) -> bool:
        restored = note.restore(self.home, self.folder, self.upload.uid)
        if restored is None:
            return False
        if restored[0].uid != self.upload.uid:
            self.seen = {}
            assert not self.upload.blob.exists(), "what was under the old key is gone"
        self.upload = restored[0]
        note.save(self.home, self.upload, "x.age", "r1")
        self.upload.open()
        return True

    def _anew(self) -> None:
        note.forget(self.home, self.folder, self.upload.uid)
        self.upload = Upload.begin(self.folder, new_uid())
        note.save(self.home, self.upload, "x.age", "r1")
        self.model, self.seen = {}, {}

    @precondition(lambda self: self.upload.ranges.prefix == self.upload.ranges.end)
    @rule()
    def finish(self) -> None:
        plain = bytes(self.model[i] for i in range(len(self.model)))
        assert self.upload.finish() == hashlib.sha256(plain).hexdigest()
        assert self.upload.stored_digest() == hashlib.sha256(self.upload.blob.read_bytes()).hexdigest()

    @invariant()
    def stored_is_enciphered_once(self) -> None:
        stored = self.upload.blob.read_bytes()
        for offset in self.model:
            assert self.seen.setdefault(offset, stored[offset]) == stored[offset], "two bytes under the same key stream"
        plain = DropCipher(self.upload.key).transform(0, stored)
        assert all(plain[offset] == byte for offset, byte in self.model.items())
        assert runtime_keys(self.home).names("uploads") == [self.upload.uid], "one key, and no old one"

    def teardown(self) -> None:
        self.upload.close()
        self.temporary.cleanup()


TestUploading = Uploading.TestCase
TestUploading.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
