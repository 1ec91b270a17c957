"""The rules in force: read at the start, taken up anew when the administrator's additions change, and handed to vendors."""

import hashlib
import os

import structlog

from gateway.store.home import Home
from gateway.store.rules import additions_file, additions_of, hand_to_vendors, handed_to_vendors
from policies.errors import Unsound, code_of
from policies.rules import Rules, packaged_rules, with_additions

log = structlog.get_logger()


class RulesInForce:
    """The rules of a home. Making it raises Unsound (`bad-policy`): a worker does not begin with rules that it can't read."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen = self._look()
        self.rules = self._take_up()

    def changed(self) -> bool:
        """Whether the rules are others than before, because the file is. One that is not sound is told of in the log and ignored."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        before = self.rules
        try:
            self.rules = self._take_up()
        except Unsound as error:
            log.error("rules refused", problem=error.message)
        return self.rules != before

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(additions_file(self._home))
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _take_up(self) -> Rules:
        additions = additions_of(self._home)
        rules = with_additions(packaged_rules("nco-lvs-1"), additions, str(additions_file(self._home)))
        if additions != handed_to_vendors(self._home):
            with self._home.ledger.change("worker") as change:
                change.audit("policy.changed", rules.format, sha256=hashlib.sha256(additions).hexdigest() if additions else "")
            try:
                hand_to_vendors(self._home, additions)
            except OSError as error:  # a full disk: they check with older rules, which is no reason to stop
                log.error("rules not handed to vendors", error=code_of(error))
        return rules
