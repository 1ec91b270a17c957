"""Ranges are a set of offsets; an upload is a file whose bytes are never enciphered twice."""

import hashlib
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.intake.files.ranges import Ranges
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload
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
    """Random writes, lost connections and restarts against a plain byte array."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.key = DropCipher.generate()
        self.upload = Upload.begin(self.folder, "cito", "leveringen", "x.age", self.key)
        self.model: dict[int, int] = {}
        self.seen: dict[int, int] = {}  # what stood on disk at each offset, ever
        self.owner: object = None

    @initialize()
    def open(self) -> None:
        self.owner = object()
        self.upload.attach(self.owner)

    @rule(offset=st.integers(0, LIMIT), data=st.binary(max_size=50))
    def write(self, offset: int, data: bytes) -> None:
        differs = any(self.model.get(offset + i, byte) != byte for i, byte in enumerate(data))
        try:
            self.upload.write(self.owner, offset, data, LIMIT)
        except IntakeRefused as refused:
            assert refused.code == ("too-large" if offset + len(data) > LIMIT else "rewritten")
            assert differs or offset + len(data) > LIMIT
            return
        assert not differs
        assert offset + len(data) <= LIMIT
        self.model |= {offset + i: byte for i, byte in enumerate(data)}

    @rule(start=st.integers(0, LIMIT), size=st.integers(0, 50))
    def write_the_same_again(self, start: int, size: int) -> None:
        data = bytes(self.model[i] for i in range(start, start + size) if i in self.model)
        if len(data) == size and start + size <= LIMIT:
            self.upload.write(self.owner, start, data, LIMIT)

    @rule()
    def lose_the_connection(self) -> None:
        self.upload.release(self.owner)
        self.open()

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        """Stopped in order, or killed: then only an upload without gaps ever can be gone on with."""
        if clean:
            self.upload.suspend()
        found = Upload.restore(self.folder / f"{self.upload.uid}.json", "cito", "leveringen", self.key)
        if found is None:
            assert not clean
            return
        self.upload = found
        assert list(found.ranges) == list(Ranges((i, i + 1) for i in sorted(self.model)))
        self.open()

    @precondition(lambda self: self.upload.ranges.prefix == self.upload.ranges.end)
    @rule()
    def finish(self) -> None:
        plain = bytes(self.model[i] for i in range(len(self.model)))
        assert self.upload.finish() == hashlib.sha256(plain).hexdigest()

    @invariant()
    def stored_is_enciphered_once(self) -> None:
        stored = self.upload.blob.read_bytes()
        for offset in self.model:
            assert self.seen.setdefault(offset, stored[offset]) == stored[offset], "two bytes under the same key stream"
        plain = DropCipher(self.key).transform(0, stored)
        assert all(plain[offset] == byte for offset, byte in self.model.items())

    def teardown(self) -> None:
        self.upload.suspend()
        self.temporary.cleanup()


TestUploading = Uploading.TestCase
TestUploading.settings = settings(max_examples=60, stateful_step_count=30)
