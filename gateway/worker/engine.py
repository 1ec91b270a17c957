"""What runs when: DBOS carries out the effects that the ledger asks for, one drop at a time, some drops at once.

What is true is the ledger's. A workflow's only argument is a drop id (portable JSON, no pickle), so the engine's database holds nothing
about a pupil and may be thrown away: whatever is still due is asked for again at the next start.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable
from threading import Lock
from time import monotonic

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import DBOSPortableJSONSerializer as PortableJSON

from gateway.drop.lifecycle import Effect
from gateway.store.effects import claim_next, due_drops, finish, retry_later
from gateway.store.home import Home
from policies.errors import code_of

log = structlog.get_logger()

#: changes when a running workflow of an older version could not be taken over
APPLICATION_VERSION = "1"
QUEUE = "drops"
#: drops handed to the engine's queue at once; the others wait in the ledger
AHEAD = 64
#: how long nothing of a drop is tried when the ledger could not be told of a failure [s]
LEAVE_ALONE_SECONDS = 5.0


class Engine:
    """Starts what is due. `carry_out(effect, drop_id)` does one effect and may be repeated."""

    def __init__(self, home: Home, carry_out: Callable[[Effect, str], None]) -> None:
        self._home = home
        self._carry_out = carry_out
        self._handed_over: set[str] = set()
        self._left_alone: dict[str, float] = {}
        self._at_work: dict[str, Lock] = defaultdict(Lock)
        config: DBOSConfig = {
            "name": "sluis",
            "system_database_url": home.engine_url,
            "application_version": APPLICATION_VERSION,
            "executor_id": "worker",
            "serializer": PortableJSON(),
            "log_level": "ERROR",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.workflow(name="carry_out")
        def workflow(drop_id: str) -> None:
            self._run(drop_id)

        self._workflow = workflow

    def start(self) -> None:
        """Launch; what was under way when the last worker died is taken up again."""
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=self._home.config.worker.concurrency, polling_interval_sec=0.05)

    def stop(self) -> None:
        """Let what is under way end; what waits stays in the ledger."""
        DBOS.destroy(workflow_completion_timeout_sec=60)

    def dispatch(self) -> int:
        """Hand over every drop with something due that is not handed over yet; answers how many."""
        with self._home.ledger.view() as session:
            due = due_drops(session, self._home.clock(), limit=8 * AHEAD)
        started = 0
        self._left_alone = {drop_id: until for drop_id, until in self._left_alone.items() if until > monotonic()}
        for drop_id in due:
            if drop_id in self._handed_over or drop_id in self._left_alone or len(self._handed_over) >= AHEAD:
                continue
            self._handed_over.add(drop_id)
            with SetWorkflowID(f"{drop_id}.{secrets.token_hex(4)}"):
                DBOS.enqueue_workflow(QUEUE, self._workflow, drop_id)
            started += 1
        return started

    def _run(self, drop_id: str) -> None:
        """Everything that is due for one drop, in the order in which it was asked for."""
        try:
            with self._at_work[drop_id]:
                while attempt(self._home, self._carry_out, drop_id):
                    pass
        except Exception:  # on a full disk, for instance; the ledger can't say when to try again
            self._left_alone[drop_id] = monotonic() + LEAVE_ALONE_SECONDS
            log.error("drop left alone for a while", drop=drop_id, exc_info=True)
        finally:
            self._at_work.pop(drop_id, None)
            self._handed_over.discard(drop_id)


def attempt(home: Home, carry_out: Callable[[Effect, str], None], drop_id: str) -> bool:
    """Try the effect that is due for a drop and was asked for first; False when none is due. One that fails is tried again later.

    An error of the ledger escapes, also when it can't be told of a failure: then nothing says when to try again.
    """
    with home.ledger.change("worker") as change:
        claimed = claim_next(change, drop_id)
        if claimed is None:
            return False
        effect_id, kind = claimed.id, Effect(claimed.kind)
    assert effect_id is not None
    try:
        carry_out(kind, drop_id)
    except Exception as error:  # whatever it is, the drop stays where it was and is tried again
        code = code_of(error)
        log.error("effect failed", drop=drop_id, effect=kind.value, error=code, exc_info=True)
        with home.ledger.change("worker") as change:
            retry_later(change, effect_id, code)
        return True
    with home.ledger.change("worker") as change:
        finish(change, effect_id)
    return True
