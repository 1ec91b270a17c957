"""The worker's loop: hand over what is due, number the audit log, and every so often what time itself asks for."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from time import monotonic

import structlog

from gateway.store.auditing import sequence
from gateway.store.clock import wrong_by
from gateway.store.database import checkpoint
from gateway.store.durable import remove_unfinished
from gateway.store.home import Home, prepare_epochs
from gateway.store.parts import remove_replaced, rewriting_parts
from gateway.store.timekeeping import keep_time
from gateway.store.withdrawn import forget_bundles
from gateway.worker.deadlines import warn_of_deadlines
from gateway.worker.engine import Engine
from gateway.worker.epochs import end_overdue_epochs, end_spent_epochs
from gateway.worker.erasure import end_window
from gateway.worker.objection_end import end_registers
from gateway.worker.reading import Work
from gateway.worker.receipts import ask_final_certificates
from gateway.worker.recipient_keys import keep_recipients
from gateway.worker.register import PersonRegister
from gateway.worker.rules import RulesInForce
from gateway.worker.stages import carry_out
from gateway.worker.withdrawals import withdraw_persons
from keys.openpgp import sweep
from policies.errors import code_of

log = structlog.get_logger()

#: how often deadlines, epochs and the database's log are looked after [s]
UPKEEP_SECONDS = 300
#: how long late objections wait that can't be carried out, since somebody reads the results or a disk is full [s]
WITHDRAW_AGAIN_SECONDS = 10.0


def serve(home: Home, ready: Callable[[], None], stop: Event) -> None:
    """Run until `stop` is set; `ready` is called once work is being taken."""
    in_force = RulesInForce(home)
    work = Work(home, in_force.rules, PersonRegister(home))
    engine = Engine(home, lambda effect, drop_id: carry_out(work, effect, drop_id))
    tidy(home)
    upkeep(home)
    engine.start()
    ready()
    log.info("worker ready")
    pause = home.config.worker.poll_milliseconds / 1000
    last_upkeep = monotonic()  # gateway time may be brought back
    withdraw_from = 0.0
    while not stop.wait(pause):
        if in_force.changed():
            work = replace(work, rules=in_force.rules)
            log.info("rules taken up")
        # what vendors deliver goes first: a bulk of registers is carried out at once, when no more of it waits
        if not engine.dispatch() and monotonic() > withdraw_from and not _withdraw_results(home):
            withdraw_from = monotonic() + WITHDRAW_AGAIN_SECONDS
        sequence(home)
        if monotonic() - last_upkeep > UPKEEP_SECONDS:
            last_upkeep = monotonic()
            upkeep(home)
    engine.stop()
    sequence(home)
    log.info("worker stopped")


def tidy(home: Home) -> None:
    """Before anything is written: remove what a killed worker left of receipts and results, and the homes of gpg with a private key."""
    sweep()
    _remove_replaced(home, attempts=True)
    for folder in (home.path / "receipts").iterdir():
        remove_unfinished(folder)


def upkeep(home: Home) -> None:
    """What time asks for: gateway time kept, windows and epochs ended, warnings given, epoch keys ahead, and an empty write-ahead log.

    What ends comes first: nothing that fails may keep it from ending. What could not be ended is an error in the log, each time.
    """
    keep_time(home, "worker")
    if wrong := wrong_by(home.clock):
        log.error("clock.wrong", gateway_ahead_seconds=round(wrong.total_seconds()))
    epochs = end_overdue_epochs(home)
    drops = end_window(home, "worker")
    epochs += end_spent_epochs(home)
    registers = end_registers(home)
    ask_final_certificates(home)
    for complaint in (*drops.complaints(), *epochs.complaints(), *registers.complaints()):
        log.error("retention incomplete", problem=complaint)
    warn_of_deadlines(home)
    prepare_epochs(home)
    keep_recipients(home)
    _withdraw_results(home)
    _remove_replaced(home)
    _forget_bundles(home)
    checkpoint(home.ledger.engine)
    if drops.gone or epochs.gone or registers.gone:
        log.info("retention", expired=len(drops.gone), epochs_destroyed=epochs.gone, objections_ended=registers.gone)


def _withdraw_results(home: Home) -> bool:
    """Late objections are carried out; False when that is to be tried again."""
    try:
        return withdraw_persons(home).complete
    except Exception as error:  # results that can't be read, for instance; whatever it is, the rest goes on
        log.error("results are still to be withdrawn", error=code_of(error), exc_info=True)
        return False


def _remove_replaced(home: Home, attempts: bool = False) -> None:
    """What a withdrawal that was cut off left of results, also a command's: the ledger says that they are gone. With `attempts` also what
    linkings left."""
    try:
        with rewriting_parts(home) as alone:
            if alone:
                remove_replaced(home, attempts)
    except Exception as error:  # tried again at the next upkeep
        log.error("replaced results are still there", error=code_of(error), exc_info=True)


def _forget_bundles(home: Home) -> None:
    """Bundles that were withdrawn with a report they held, and that nobody came to forget, are gone."""
    try:
        forget_bundles(home, "worker")
    except Exception as error:  # tried again at the next upkeep
        log.error("withdrawn bundles are still there", error=code_of(error), exc_info=True)
