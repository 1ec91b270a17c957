"""The engine's way with errors: an effect that fails waits for its next try, and a drop that nothing can be noted of is left alone."""

from datetime import timedelta

import pytest
from dbos import DBOS
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from gateway.drop.lifecycle import Effect
from gateway.store.home import Home
from gateway.store.models import EffectRow
from gateway.worker import engine
from gateway.worker.engine import Engine, attempt
from tests.support.cli import deliver


class Broken:
    """Carries nothing out."""

    def __init__(self) -> None:
        self.tried: list[Effect] = []

    def __call__(self, effect: Effect, drop_id: str) -> None:
        self.tried.append(effect)
        raise OSError(28, "No space left on device")


def nothing_can_be_noted(*_: object) -> None:
    raise OperationalError("UPDATE effect", {}, Exception("database or disk is full"))


def test_an_effect_that_fails_is_due_again_a_second_later(home: Home) -> None:
    drop, broken = deliver(home, campaign=None), Broken()
    while attempt(home, broken, drop):
        pass
    assert broken.tried == [Effect.RECEIPT, Effect.CHECK]
    with home.ledger.view() as session:
        waiting = session.exec(select(EffectRow).where(EffectRow.drop == drop)).all()
    assert [(row.attempts, row.last_error, row.done_at) for row in waiting] == [(1, "ENOSPC", None)] * 2
    assert all(timedelta(0) < row.due_at - home.clock() <= timedelta(seconds=1) for row in waiting)


def test_a_drop_of_which_not_even_the_failure_can_be_noted_is_left_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    drop, broken = deliver(home, campaign=None), Broken()
    runs = Engine(home, broken)
    try:
        monkeypatch.setattr(engine, "retry_later", nothing_can_be_noted)
        runs._run(drop)
        assert broken.tried == [Effect.RECEIPT], "tried once, not again and again"
        assert runs.dispatch() == 0, "it is due, and not handed over again at once"
        later = engine.monotonic() + engine.LEAVE_ALONE_SECONDS
        monkeypatch.setattr(engine, "monotonic", lambda: later)
        handed: list[str] = []
        monkeypatch.setattr(DBOS, "enqueue_workflow", lambda queue, workflow, drop_id: handed.append(drop_id))
        assert runs.dispatch() == 1 and handed == [drop]
    finally:
        DBOS.destroy()
