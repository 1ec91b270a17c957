"""How every refusal of Sluis is said: a code that programs compare, one sentence that people read, and what to do next."""

import errno


class SluisError(Exception):
    """A refusal that a person can act on.

    `code` is stable and kebab-case; `message` is one sentence; `hint` says what to do next. None of the three may carry a
    value that came from a file: a parser's complaint would otherwise print a pupil's number.
    """

    #: exit status of the command line (contract: 1 refused by a rule or not found, 2 wrong usage, 3 home not sound)
    exit_status = 1
    #: message and hint in Dutch, of what vendors may see
    dutch: tuple[str, str] | None = None

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Refused(SluisError):
    """A rule says no."""


class NotFound(SluisError):
    """What was asked for is not there."""


class WrongUsage(SluisError):
    """The command was not given as it should be."""

    exit_status = 2


class Unsound(SluisError):
    """The home, its configuration or its integrity is not sound: nothing goes on until a person has looked."""

    exit_status = 3


def code_of(error: BaseException) -> str:
    """A name for any error that may be logged and kept: our own code, the system's (`EROFS`), or the error's type. Never its text."""
    if isinstance(error, SluisError):
        return error.code
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return errno.errorcode[error.errno]
    return type(error).__name__
