"""Logs: JSON lines on a server, readable lines on a terminal, always on standard error, never with what identifies a pupil.

Two processors stand before every renderer, for our own lines and for those of libraries (asyncssh, uvicorn, DBOS):

`withhold_identifiers` takes out any value, text or number, that holds something shaped like a BSN or an onderwijsnummer: 9 digits
(or 8, for a leading zero that was lost) that pass the elfproef, also written in groups with dots, spaces or hyphens. The whole
value goes, not just the digits: a birth date may stand beside them. What stays: digits inside a word (a drop's id, a hash), ISO
dates, IPv4 addresses, decimal fractions. There is no exception for counts: one in eleven sizes between 10 million and 1
billion is withheld too, which costs nothing, since counts stand in the ledger and in the receipt. So this is a net under the
rule that no such value is logged, not a replacement for it: it knows nothing of names, addresses or birth dates.

`hide_exceptions` keeps of an exception its type, its place and, for our own errors, the code: a parser's complaint quotes what it read.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from policies.errors import SluisError

WITHHELD = "[withheld: it holds a number shaped like a BSN]"

#: A run of 8 or 9 digits, or groups of at most four with one separator between them; not inside a word, not after a decimal point.
_CANDIDATE = re.compile(r"(?<!\w)(?<!\d\.)(?:\d{8,9}|\d{1,4}(?:[.\s\u00b7\u2010-\u2015-]\d{1,4}){1,8})(?!\w)")
_ISO_DATE = re.compile(r"(?:1[89]|20)\d\d-[01]\d-[0-3]\d")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)")

#: Libraries that tell each connection or each query at INFO; their warnings are enough.
_QUIET = ("asyncssh", "uvicorn.access", "dbos", "sqlalchemy", "alembic", "httpx", "paramiko")


def holds_identifier(value: object) -> bool:
    """Whether `value` (text, number, bytes) holds something shaped like a BSN or an onderwijsnummer."""
    match value:
        case None | bool():
            return False
        case int():
            return _is_identifier(str(abs(value)))
        case float():
            return value.is_integer() and _is_identifier(str(abs(int(value))))
        case bytes() | bytearray() | memoryview():
            return holds_identifier(bytes(value).decode("latin-1"))
        case str():
            return _CANDIDATE.search(value) is not None and any(_is_identifier(digits) for digits in _candidates(value))
        case _:
            return holds_identifier(repr(value))


def _candidates(text: str) -> Iterator[str]:
    start = 0
    while match := _CANDIDATE.search(text, start):
        found = match.group()
        if _ISO_DATE.fullmatch(found) or _IPV4.fullmatch(found):
            start = match.end()
            continue
        groups = re.findall(r"\d+", found)
        # "3 123 456 782": a number may stand before or after the groups that matter, so every stretch of groups is looked at
        yield from ("".join(groups[i:j]) for i in range(len(groups)) for j in range(i + 1, len(groups) + 1))
        start = match.end()


def _is_identifier(digits: str) -> bool:
    """The elfproef: a BSN has remainder 0, an onderwijsnummer has 5 and starts with 10."""
    if len(digits) not in (8, 9):
        return False
    values = [int(digit) for digit in digits.zfill(9)]
    remainder = (sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=False)) - values[8]) % 11
    return (remainder == 0 and any(values)) or (remainder == 5 and values[:2] == [1, 0])


def withhold_identifiers(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces every value, at any depth, that `holds_identifier`; a name of a field that does is replaced as well."""
    return {_clean_name(key): _clean(value) for key, value in event.items()}


@lru_cache(1024)  # names of fields stand in the code: they are few, and tell of nobody
def _clean_name(name: str) -> str:
    return WITHHELD if holds_identifier(name) else name


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key) if not holds_identifier(key) else WITHHELD: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(item) for item in value]
    if holds_identifier(value):
        return WITHHELD
    return value if value is None or isinstance(value, (str, int, float)) else repr(value)


def hide_exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces `exc_info` by `exception`: type, place and code of the error and of its causes; no text, no locals."""
    info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1] if info else None
    if error is not None:
        event["exception"] = [describe(cause) for cause in _causes(error)]
    return event


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def describe(error: BaseException) -> str:
    """`polars.exceptions.ComputeError at gateway.checks.stream:41 in read < gateway.worker.stages:12 in run`."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    code = f" ({error.code})" if isinstance(error, SluisError) else ""
    places = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        places.append(f"{frame.f_globals.get('__name__', '?')}:{trace.tb_lineno} in {frame.f_code.co_name}")
        trace = trace.tb_next
    return f"{name}{code} at {' < '.join(reversed(places)) or 'no place'}"


class _Handler(logging.StreamHandler[TextIO]):
    """Python's own answer to a line that can't be formatted is to print its arguments; ours is to say that it was lost."""

    def handleError(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(f"a log line of {record.name} could not be written\n")
        except (OSError, ValueError):
            return  # standard error is gone: nowhere is left to say so


def configure_logging(*, server: bool | None = None, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Set up logging for this process: our loggers, the libraries' and what nobody caught.

    `server`: JSON lines; None decides by whether `stream` (default: standard error) is a terminal.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if server is None else server
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    renderer: list[Processor] = (
        [structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="time")]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                hide_exceptions,
                withhold_identifiers,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger("sluis").critical("nobody caught this", exc_info=error)
