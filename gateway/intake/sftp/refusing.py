"""How a session says no: a status with its text, an audit entry, a count, and a line on stderr for clients that hide the text."""

import asyncio
import errno
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import IntakeRefused, Status
from gateway.intake.metrics import Metrics
from gateway.intake.sftp import wire
from policies.errors import SluisError

#: refusals of one session that are logged and written to the audit log; those after them are only counted
AUDITED_REFUSALS = 50

_CODES = {
    Status.PERMISSION: wire.PERMISSION_DENIED,
    Status.NO_SUCH: wire.NO_SUCH_FILE,
    Status.FAILURE: wire.FAILURE,
    Status.UNSUPPORTED: wire.OP_UNSUPPORTED,
    Status.BAD_MESSAGE: wire.BAD_MESSAGE,
}


class Refusing:
    """The refusals of one session. `tell` shows a text to people, whatever their client makes of a status."""

    def __init__(self, folders: VendorFolders, metrics: Metrics, log: FilteringBoundLogger, tell: Callable[[str], None]) -> None:
        self._folders = folders
        self._metrics = metrics
        self._log = log
        self._tell = tell
        self._refused = 0

    async def answer(self, request: int, action: str, error: SluisError | OSError) -> bytes:
        """The status that tells `error`; `action` stands in the log and the audit log."""
        refused = _as_refusal(error)
        if refused is not error:
            self._log.error("sftp.failed", action=action, exc_info=error)
        if refused.text.status is not Status.NO_SUCH:  # a look at what is not there: most uploads begin with one
            self._metrics.refused(refused.code)
        if refused.text.audited:
            self._refused += 1
            if self._refused <= AUDITED_REFUSALS:
                self._log.warning("sftp.refused", action=action, code=refused.code)
                try:
                    await asyncio.to_thread(self._audit, action, refused.code)
                except Exception:
                    self._log.exception("sftp.audit-failed")  # the refusal stands; the log line above tells of it
        if refused.text.status is not Status.NO_SUCH:
            self._tell(refused.said)
        return wire.status(request, _CODES[refused.text.status], refused.said)

    async def crashed(self, request: int, action: str) -> bytes:
        """The status for an error that nobody foresaw; for use while it is being handled."""
        self._log.exception("sftp.failed", action=action)
        return await self.answer(request, action, IntakeRefused("not-received"))

    def _audit(self, action: str, code: str) -> None:
        folders = self._folders
        with folders.home.ledger.change(f"vendor:{folders.vendor}", folders.origin) as change:
            change.audit(f"sftp.{action}", f"vendor:{folders.vendor}", code)  # never the name: it may hold anything


def _as_refusal(error: SluisError | OSError) -> IntakeRefused:
    if isinstance(error, IntakeRefused):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return IntakeRefused("disk-full")
    return IntakeRefused("not-received")
