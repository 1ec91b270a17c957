"""The figures of one process of the endpoint, for Prometheus; the front adds up those of all processes.

Everything here is a count or a duration; no vendor, no name and no address becomes a label, so that the figures say nothing about
anybody and their number is bounded. docs/operator/endpoint.md explains each one; a test compares the page with this table.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

#: bounds of the histograms [s]: from a close on a fast disk to an upload of an hour
_SHORT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.01, 0.1, 1, 10, 60, 600, 3600, 14_400)

#: one figure as it travels between processes: family, kind, explanation, sample, labels, value
Figure = tuple[str, str, str, str, dict[str, str], float]


class Metrics:
    """What one process counts. Cheap enough for the hot path: bytes are plain numbers until somebody asks."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._in = self._out = 0
        own: dict[str, Any] = {"registry": self._registry}
        self._received = Counter("sluis_intake_received_bytes", "Bytes that vendors wrote into uploads", **own)
        self._sent = Counter("sluis_intake_sent_bytes", "Bytes that vendors read: receipts and public keys", **own)
        self._refusals = Counter("sluis_intake_refusals", "Requests and connections refused, by the code of the refusal", ["code"], **own)
        self._logins = Counter("sluis_intake_logins", "Logins that ended, by how", ["result"], **own)
        self._sessions = Gauge("sluis_intake_sessions", "Connections that have logged in", **own)
        self._files = Counter("sluis_intake_delivered_files", "Files delivered: durable, and the vendor was told so", **own)
        self._delivered = Counter("sluis_intake_delivered_bytes", "The same in bytes", **own)
        self._upload = Histogram("sluis_intake_upload_seconds", "From the open of an upload to the end of its close", buckets=_LONG, **own)
        self._close = Histogram("sluis_intake_close_seconds", "How long a close took that made a file durable", buckets=_SHORT, **own)
        self._lag = Histogram("sluis_intake_loop_lag_seconds", "How late the event loop was", buckets=_SHORT, **own)
        self._connections = Counter(
            "sluis_intake_connections", "Connections accepted or cut before login, by what was decided", ["result"], **own
        )
        self._waiting = Gauge("sluis_intake_unauthenticated", "Connections that have not logged in yet", **own)
        self._backlog = Gauge("sluis_intake_backlog_files", "Delivered files that the ledger does not have yet", **own)
        self._overdue = Gauge("sluis_intake_erasure_overdue", "Deliveries and days' keys whose erasure is over an hour late", **own)
        self._clock = Gauge("sluis_intake_clock_wrong_seconds", "Gateway time less the wall clock, where that is a fault", **own)
        self._doors = Gauge("sluis_intake_doors", "Processes that speak SFTP", **own)
        self._restarts = Counter("sluis_intake_door_restarts", "Processes that ended by themselves and were replaced", **own)

    def bytes_in(self, n: int) -> None:
        """`n` bytes were written into an upload."""
        self._in += n

    def bytes_out(self, n: int) -> None:
        """`n` bytes were read by a vendor."""
        self._out += n

    def refused(self, code: str) -> None:
        """A request was refused; `code` is one of the catalogue, never anything that came from outside."""
        self._refusals.labels(code).inc()

    def login(self, result: str) -> None:
        """A login ended: `ok`, or the code of why not."""
        self._logins.labels(result).inc()

    def session(self, change: int) -> None:
        """A connection has logged in (+1), or one that had is gone (-1)."""
        self._sessions.inc(change)

    def delivered(self, bytes: int, seconds_from_open_to_close: float) -> None:
        """A file was delivered: its size [bytes] and how long it was on its way [s]."""
        self._files.inc()
        self._delivered.inc(bytes)
        self._upload.observe(seconds_from_open_to_close)

    def close_seconds(self, s: float) -> None:
        """A close that had to make a file durable took `s` [s]."""
        self._close.observe(s)

    def loop_lag(self, s: float) -> None:
        """The event loop came `s` late to something that was due [s]."""
        self._lag.observe(max(0.0, s))

    def connection(self, result: str) -> None:
        """A connection was `accepted`, or cut before anything was said: the reason."""
        self._connections.labels(result).inc()

    def unauthenticated(self, n: int) -> None:
        """So many connections have not logged in yet."""
        self._waiting.set(n)

    def backlog(self, files: int) -> None:
        """So many delivered files wait for the ledger."""
        self._backlog.set(files)

    def overdue(self, n: int) -> None:
        """The erasure of so many deliveries and days' keys is late."""
        self._overdue.set(n)

    def clock_wrong(self, s: float) -> None:
        """Gateway time is so far ahead of the wall clock [s]; 0 when that is no fault."""
        self._clock.set(s)

    def doors(self, n: int) -> None:
        """So many processes speak SFTP now."""
        self._doors.set(n)

    def door_restarted(self) -> None:
        """One of them ended by itself and was replaced."""
        self._restarts.inc()

    def figures(self) -> list[tuple[str, str]]:
        """Name and kind of every figure there is."""
        return [(family.name, family.type) for family in self._registry.collect()]

    def snapshot(self) -> list[Figure]:
        """Every figure of this process as plain values."""
        self._received.inc(self._in)
        self._sent.inc(self._out)
        self._in = self._out = 0
        return [
            (family.name, family.type, family.documentation, sample.name, dict(sample.labels), sample.value)
            for family in self._registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]


class Totals(Metrics):
    """What one connection did, for its last log line; its process counts it too. Only what a connection may count can be counted here."""

    def __init__(self, process: Metrics) -> None:
        self._process = process
        self.received = self.sent = self.files = self.refusals = 0

    def bytes_in(self, n: int) -> None:
        self.received += n
        self._process.bytes_in(n)

    def bytes_out(self, n: int) -> None:
        self.sent += n
        self._process.bytes_out(n)

    def refused(self, code: str) -> None:
        self.refusals += 1
        self._process.refused(code)

    def delivered(self, bytes: int, seconds_from_open_to_close: float) -> None:
        self.files += 1
        self._process.delivered(bytes, seconds_from_open_to_close)

    def close_seconds(self, s: float) -> None:
        self._process.close_seconds(s)

    def told(self) -> dict[str, int]:
        """The totals as a log line has them [bytes, files, refusals]."""
        return {"received": self.received, "sent": self.sent, "files": self.files, "refusals": self.refusals}


class _Figures(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


class Merged:
    """The figures of all processes. What a process that is gone has counted stays in the sums; what it had open does not."""

    def __init__(self) -> None:
        self._past: dict[tuple[str, tuple[tuple[str, str], ...]], Figure] = {}

    def gone(self, snapshot: Iterable[Figure]) -> None:
        """The last figures of a process that has ended."""
        self._past = {_key(figure): figure for figure in _sum([self._past.values(), (f for f in snapshot if f[1] != "gauge")])}

    def text(self, snapshots: Iterable[Iterable[Figure]]) -> bytes:
        """The sums in Prometheus' text format, with those of processes that are gone."""
        families: dict[str, Metric] = {}
        for name, kind, text, sample, labels, value in _sum([self._past.values(), *snapshots]):
            families.setdefault(name, Metric(name, text, kind)).samples.append(Sample(sample, labels, value))
        registry = CollectorRegistry()
        registry.register(_Figures(families.values()))
        return generate_latest(registry)


def _key(figure: Figure) -> tuple[str, tuple[tuple[str, str], ...]]:
    return figure[3], tuple(sorted(figure[4].items()))


def _sum(snapshots: Iterable[Iterable[Figure]]) -> list[Figure]:
    total: dict[tuple[str, tuple[tuple[str, str], ...]], Figure] = {}
    for snapshot in snapshots:
        for figure in snapshot:
            key = _key(figure)
            before = total.get(key)
            total[key] = figure if before is None else (*before[:5], before[5] + figure[5])
    return list(total.values())
