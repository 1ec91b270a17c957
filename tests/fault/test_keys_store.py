"""A crash or an error at any step of making and destroying keys: whatever was left, calling again makes it right."""

import contextlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.store.config import Configuration
from gateway.store.home import Home, create_home
from gateway.store.recipient_keys import handed_out, recipient_keys, rotate_recipients
from gateway.worker.recipient_keys import end_recipients, keep_recipients
from keys.durable import replace_public
from keys.epochs import Epochs
from keys.keystore import Keystore
from keys.recipients import Recipients
from keys.sealing import public_half
from keys.secret import Secret
from policies.errors import NotFound
from tests.support.ledgers import Clock

VALUE = Secret(bytes(range(1, 33)))
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
STEPS = ("mkdir", "open", "write", "fsync", "link", "rename", "replace", "unlink")
#: More steps than any operation here has: each loop over cut points must see its operation finish before that.
MANY = 60


class Crash(BaseException):
    """The process is dead: nothing in it runs any more, no `finally` either."""


class Faults:
    """The operating system's calls, recorded, and from call number `at` on failing."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, error: Callable[[], BaseException], done_first: bool, for_good: bool) -> None:
        self.trace: list[tuple[str, str]] = []
        self.at, self.error, self.done_first, self.for_good = at, error, done_first, for_good
        self.dead = False
        for name in STEPS:
            patch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.dead:
                raise self.error()
            target = arguments[0]
            path = Path(os.readlink(f"/proc/self/fd/{target}")) if isinstance(target, int) else Path(target)
            self.trace.append((name, path.name))
            if len(self.trace) - 1 != self.at:
                return real(*arguments, **options)
            self.dead = self.for_good
            if self.done_first:
                done = real(*arguments, **options)
                if name == "open":
                    os.close(done)
            raise self.error()

        return call


def run_with_fault(work: Callable[[], object], at: int, *, crash: bool, done_first: bool) -> bool:
    """`work` with its step number `at` failing (after it was done, or instead); whether it got that far."""
    with pytest.MonkeyPatch.context() as patch:
        error: Callable[[], BaseException] = Crash if crash else lambda: OSError(5, "Input/output error")
        faults = Faults(patch, at, error, done_first, for_good=crash)
        try:
            work()
        except (Crash, OSError):
            return True
    return len(faults.trace) > at


def holding(folder: Path, needle: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


@pytest.mark.parametrize("done_first", [False, True], ids=["lost", "done but reported lost"])
@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
def test_destroy_after_a_fault_in_create(tmp_path: Path, crash: bool, done_first: bool) -> None:
    for at in range(MANY):
        store = Keystore(tmp_path / f"store-{at}")
        hit = run_with_fault(partial(store.create, "drops", "a", VALUE), at, crash=crash, done_first=done_first)
        if store.exists("drops", "a"):
            assert store.read("drops", "a") == VALUE, "a key that is there is the whole key"
        if not hit:
            assert at > 8
            return
        store.destroy("drops", "a")
        assert holding(store.folder, VALUE.reveal()) == []
        assert [path for path in store.folder.rglob("*") if path.is_file()] == []
        store.create("drops", "a", VALUE)
        assert store.read("drops", "a") == VALUE
    raise AssertionError("create has more steps than were tried")


@pytest.mark.parametrize("done_first", [False, True], ids=["lost", "done but reported lost"])
@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
def test_destroy_after_a_fault_in_destroy(tmp_path: Path, crash: bool, done_first: bool) -> None:
    for at in range(MANY):
        store = Keystore(tmp_path / f"store-{at}")
        store.create("drops", "a", VALUE)
        store.create("drops", "b", VALUE)
        (store.folder / "drops" / ".new.a.0123").hardlink_to(store.folder / "drops" / "a")  # an earlier create was cut short too
        hit = run_with_fault(partial(store.destroy, "drops", "a"), at, crash=crash, done_first=done_first)
        with contextlib.suppress(NotFound):
            assert store.read("drops", "a") == VALUE, "never half a key"
        if not hit:
            assert at > 8
            return
        store.destroy("drops", "a")
        assert os.listdir(store.folder / "drops") == ["b"]
        assert holding(store.folder, VALUE.reveal()) == ["b"]
    raise AssertionError("destroy has more steps than were tried")


def test_an_error_is_never_swallowed(tmp_path: Path) -> None:
    """Success is said only when every step was done: an error of the system reaches the caller from each of them."""
    store = Keystore(tmp_path / "store")
    for at in range(MANY):
        store.create("drops", "a", VALUE)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, at, lambda: OSError(5, "Input/output error"), done_first=False, for_good=False)
            try:
                store.destroy("drops", "a")
            except OSError:
                raised = True
            else:
                raised = False
        assert raised == (len(faults.trace) > at)
        if not raised:
            return
        store.destroy("drops", "a")
    raise AssertionError("destroy has more steps than were tried")


def trace_of(work: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, -1, Crash, done_first=False, for_good=False)
        work()
    return [(step, ".".join(name.split(".")[:2]) if name.startswith(".") else name) for step, name in faults.trace]


def test_the_order_of_the_steps_of_create(tmp_path: Path) -> None:
    store = Keystore(tmp_path / "store")
    store.create("drops", "first", VALUE)
    steps = trace_of(lambda: store.create("drops", "a", VALUE))
    assert [step for step in steps if step[0] not in ("mkdir", "open")] == [
        ("fsync", tmp_path.name),
        ("fsync", "store"),
        ("write", ".new"),
        ("fsync", ".new"),
        ("link", ".new"),
        ("unlink", ".new"),
        ("fsync", "drops"),
    ]


def test_the_order_of_the_steps_of_destroy(tmp_path: Path) -> None:
    store = Keystore(tmp_path / "store")
    store.create("drops", "a", VALUE)
    steps = trace_of(lambda: store.destroy("drops", "a"))
    assert [step for step in steps if step[0] != "open"] == [
        ("rename", "a"),
        ("fsync", "drops"),
        ("write", ".gone"),
        ("fsync", ".gone"),
        ("unlink", ".gone"),
        ("fsync", "drops"),
    ]


def test_the_order_of_the_steps_of_replacing_a_public_file(tmp_path: Path) -> None:
    steps = trace_of(partial(replace_public, tmp_path / "public.txt", b"new"))
    assert [step for step in steps if step[0] != "open"] == [
        ("write", ".new"),
        ("fsync", ".new"),
        ("replace", ".new"),
        ("unlink", ".new"),
        ("fsync", tmp_path.name),
    ]


def test_a_key_that_cannot_be_overwritten_keeps_its_file(tmp_path: Path) -> None:
    store = Keystore(tmp_path / "store")
    store.create("drops", "a", VALUE)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object) -> int:
            raise OSError(30, "Read-only file system")

        patch.setattr(os, "write", refuse)
        with pytest.raises(OSError, match="Read-only"):
            store.destroy("drops", "a")
    assert len(store.unfinished("drops")) == 1
    store.destroy("drops", "a")
    assert store.unfinished("drops") == []


@pytest.mark.parametrize("done_first", [False, True], ids=["lost", "done but reported lost"])
@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
def test_a_public_file_is_the_old_or_the_new_one(tmp_path: Path, crash: bool, done_first: bool) -> None:
    path = tmp_path / "public.txt"
    for at in range(MANY):
        path.write_bytes(b"old")
        hit = run_with_fault(lambda: replace_public(path, b"new"), at, crash=crash, done_first=done_first)
        assert path.read_bytes() in (b"old", b"new")
        if not hit:
            assert path.read_bytes() == b"new"
            assert at > 3
            return
    raise AssertionError("replace_public has more steps than were tried")


@pytest.mark.parametrize("done_first", [False, True], ids=["lost", "done but reported lost"])
@pytest.mark.parametrize("work_name", ["ensure", "destroy"])
def test_epochs_are_mended_by_calling_again(tmp_path: Path, work_name: str, done_first: bool) -> None:
    day = date(2026, 11, 21)
    for at in range(MANY):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        epochs = Epochs(Keystore(folder / "mortal"), folder / "epochs")
        if work_name == "destroy":
            epochs.ensure(day)
        hit = run_with_fault(partial(getattr(epochs, work_name), day), at, crash=True, done_first=done_first)
        if work_name == "destroy" and hit and (folder / "mortal" / "epochs").exists() and os.listdir(folder / "mortal" / "epochs"):
            assert epochs.days() == [day], "as long as a half may be there the day is listed"
        epochs.ensure(day)
        assert epochs.public(day) == public_half(epochs.identity(day))
        epochs.destroy(day)
        assert epochs.days() == []
        assert [path for path in (folder / "mortal").rglob("*") if path.is_file()] == []
        if not hit:
            assert at > 8
            return
    raise AssertionError("there are more steps than were tried")


@pytest.mark.parametrize("done_first", [False, True], ids=["lost", "done but reported lost"])
@pytest.mark.parametrize("work_name", ["make", "publish", "destroy"])
def test_recipients_are_mended_by_calling_again(tmp_path: Path, work_name: str, done_first: bool) -> None:
    for at in range(MANY):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        recipients = Recipients(Keystore(folder / "keys"), folder / "sluis.age.txt")
        recipients.make("older")
        recipients.publish("older")
        older = recipients.public()
        if work_name != "make":
            recipients.make("newer")
        hit = run_with_fault(partial(getattr(recipients, work_name), "newer"), at, crash=True, done_first=done_first)
        assert recipients.public() in [public_half(secret) for secret in recipients.identities().values()], "what is handed out opens"
        recipients.clean()
        if work_name == "publish":
            recipients.publish("newer")
            assert recipients.public() == public_half(recipients.identities()["newer"]) != older
        else:
            assert recipients.public() == older
        recipients.destroy("newer")
        assert os.listdir(folder / "keys" / "recipients") == ["older"]
        if not hit:
            assert at > 3
            return
    raise AssertionError("there are more steps than were tried")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was made a year ago."""
    home = create_home(tmp_path_factory.mktemp("template") / "home", Configuration(), lambda: NOW - timedelta(days=365))
    home.ledger.engine.dispose()
    return home.path


@pytest.mark.parametrize("done_first", [False, True], ids=["lost", "done but reported lost"])
@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
@pytest.mark.parametrize("work", [lambda home: rotate_recipients(home, "test", "test"), keep_recipients], ids=["rotate", "keep"])
def test_a_rotation_or_an_end_is_completed_by_the_next_upkeep(
    tmp_path: Path, template: Path, work: Callable[[Home], object], crash: bool, done_first: bool
) -> None:
    for at in range(2 * MANY):
        clock = Clock(NOW - timedelta(days=300))
        home = Home.open(Path(shutil.copytree(template, tmp_path / f"{at}")), clock)
        rotate_recipients(home, "test", "a year has passed")
        clock.now = NOW
        hit = run_with_fault(partial(work, home), at, crash=crash, done_first=done_first)
        assert home.recipients.public() in [public_half(secret) for secret in home.recipients.identities().values()]
        keep_recipients(home)
        with home.ledger.view() as session:
            keys = {key.name: key for key in recipient_keys(session)}
        (current,) = (name for name, key in keys.items() if key.retired_at is None)
        assert home.recipients.public() == public_half(home.recipients.identities()[current])
        left = sorted(os.listdir(home.path / "mortal" / "recipients"))
        assert left == sorted(name for name, key in keys.items() if key.destroyed_at is None)
        assert [key.destroyed_at is not None for key in keys.values()] == [True] + [False] * (len(keys) - 1), "last year's key ended"
        home.ledger.engine.dispose()
        if not hit:
            assert at > 8
            return
    raise AssertionError("there are more steps than were tried")


def test_a_key_that_can_not_be_destroyed_holds_up_no_other_and_is_tried_again(tmp_path: Path, template: Path) -> None:
    clock = Clock(NOW - timedelta(days=300))
    home = Home.open(Path(shutil.copytree(template, tmp_path / "home")), clock)
    first, second = (rotate_recipients(home, "test", "test")[1].name for _ in range(2))
    clock.now = NOW
    destroy = home.recipients.destroy

    def failing(name: str) -> None:
        if name == first:
            raise OSError(30, "Read-only file system")
        destroy(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home.recipients, "destroy", failing)
        ended = end_recipients(home)
        keep_recipients(home)  # goes on, and hands the right key out
    assert (ended.gone, ended.failed) == ([second], {first: "EROFS"})
    assert first in home.recipients.names() and handed_out(home) is not None
    assert end_recipients(home).gone == [first]
    home.ledger.engine.dispose()
