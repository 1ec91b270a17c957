"""How much one vendor may have: pure arithmetic, exact to the byte. No clock, no disk, no ledger: whoever asks brings the figures.

What counts is what was delivered (from the ledger) and what is arriving: of an upload, every byte that may still be written without asking
again. So a limit can't be exceeded however sessions interleave, and what is allowed and not needed comes back before anybody is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from gateway.intake.files.refusals import IntakeRefused
from gateway.store.config import Intake

#: from this share of a limit on, a delivery's receipt says so
NOTICE_SHARE = 0.8


@dataclass(frozen=True)
class Limits:
    """`[intake]` for one vendor: what `sluis vendor limit` set for it goes before."""

    file_bytes: int
    sessions: int
    handles: int
    unfinished: int
    day_files: int
    day_bytes: int
    store_files: int
    store_bytes: int
    bytes_per_second: int

    @classmethod
    def of(cls, intake: Intake, own: Mapping[str, int]) -> "Limits":
        """`own`: values under the full names of `[intake]`."""

        def limit(name: str) -> int:
            value: int = own.get(name, getattr(intake, name))
            return value

        return cls(
            file_bytes=limit("max_file_bytes"),
            sessions=limit("max_sessions_per_vendor"),
            handles=limit("max_handles_per_vendor"),
            unfinished=limit("max_unfinished_per_vendor"),
            day_files=limit("day_files_per_vendor"),
            day_bytes=limit("day_bytes_per_vendor"),
            store_files=limit("store_files_per_vendor"),
            store_bytes=limit("store_bytes_per_vendor"),
            bytes_per_second=limit("bytes_per_second_per_vendor"),
        )


@dataclass(frozen=True)
class Use:
    """So many files, of so many bytes together."""

    files: int = 0
    bytes: int = 0

    def plus(self, bytes: int, files: int = 1) -> "Use":
        return Use(self.files + files, self.bytes + bytes)


class Bucket:
    """A rate [bytes/s]: over any time T at most one second's worth and rate · T are handed out."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._tokens = float(rate)
        self._at: float | None = None

    def take(self, amount: int, now: float) -> float:
        """Take `amount` [bytes] at `now` [s]; answers how long to wait before using it [s]."""
        if not self.rate:
            return 0.0
        if self._at is not None:
            self._tokens = min(float(self.rate), self._tokens + (now - self._at) * self.rate)
        self._at = now
        self._tokens -= amount
        return max(0.0, -self._tokens / self.rate)

    def put_back(self, amount: int) -> None:
        """What was taken and not used [bytes]."""
        self._tokens = min(float(self.rate), self._tokens + amount)

    def change(self, rate: int) -> None:
        """Another rate from now on."""
        if rate != self.rate:
            self.rate, self._tokens = rate, min(self._tokens, float(rate)) if self.rate else float(rate)


@dataclass
class Account:
    """One vendor's use. `today` and `stored` are deliveries; `arriving` says up to where each unfinished upload may be written [bytes]."""

    limits: Limits
    day: date
    today: Use = Use()
    stored: Use = Use()
    arriving: dict[str, int] = field(default_factory=dict)
    arriving_bytes: int = 0
    sessions: int = 0
    handles: int = 0
    bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.limits.bytes_per_second)

    def limit(self, limits: Limits) -> None:
        """Other limits from now on; what there is stays."""
        self.limits = limits
        self.bucket.change(limits.bytes_per_second)

    def at(self, day: date) -> None:
        """It is this day now: what was delivered on an earlier one no longer counts as today's."""
        if day > self.day:
            self.day, self.today = day, Use()

    # ------------------------------------------------------------ one upload

    def refusal_of_a_new_one(self) -> str:
        """The code of why no further upload may begin; empty when one may."""
        coming = len(self.arriving) + 1
        if coming > self.limits.unfinished:
            return "too-many-unfinished"
        if self.today.files + coming > self.limits.day_files:
            return "day-files"
        if self.stored.files + coming > self.limits.store_files:
            return "store-files"
        return ""

    def begin(self, uid: str) -> None:
        """An upload begins. IntakeRefused as `refusal_of_a_new_one` says."""
        if code := self.refusal_of_a_new_one():
            raise IntakeRefused(code)
        self.found(uid, 0)

    def found(self, uid: str, extent: int) -> None:
        """An upload of an earlier run, with bytes up to `extent` on disk: it counts, whatever the limits say now."""
        self.arriving[uid] = extent
        self.arriving_bytes += extent

    def reach(self, uid: str, wanted: int) -> int:
        """Up to where the upload could be written at most [bytes]: `wanted`, or less when a limit comes before."""
        return max(self.arriving[uid], min(wanted, self.limits.file_bytes, self.arriving[uid] + self.free_bytes))

    def why_not(self, uid: str, stop: int) -> str:
        """The code of the limit that keeps the upload from reaching `stop` [bytes]; empty when none does."""
        more = stop - self.arriving[uid]
        if stop > self.limits.file_bytes:
            return "too-large"
        if more > 0 and self.today.bytes + self.arriving_bytes + more > self.limits.day_bytes:
            return "day-bytes"
        if more > 0 and self.stored.bytes + self.arriving_bytes + more > self.limits.store_bytes:
            return "store-bytes"
        return ""

    def allow(self, uid: str, stop: int) -> None:
        """The upload may be written up to `stop` from now on; less than before gives the rest back [bytes]."""
        self.arriving_bytes += stop - self.arriving[uid]
        self.arriving[uid] = stop

    def delivered(self, uid: str, bytes: int, day: date) -> None:
        """The upload became a drop, received on `day` (UTC)."""
        self.given_up(uid)
        self.stored = self.stored.plus(bytes)
        if day == self.day:
            self.today = self.today.plus(bytes)

    def given_up(self, uid: str) -> None:
        """The upload is no more."""
        self.arriving_bytes -= self.arriving.pop(uid, 0)

    # ------------------------------------------------------------ telling

    @property
    def free_bytes(self) -> int:
        """What may still be allowed, whatever the upload [bytes]."""
        day = self.limits.day_bytes - self.today.bytes
        store = self.limits.store_bytes - self.stored.bytes
        return max(0, min(day, store) - self.arriving_bytes)

    @property
    def free_files(self) -> int:
        day = self.limits.day_files - self.today.files
        store = self.limits.store_files - self.stored.files
        return max(0, min(day, store) - len(self.arriving))

    def notices(self, size: int) -> list[str]:
        """Codes of the limits that are used for 80 % or more, after a delivery of `size` [bytes]."""
        used = {
            "limit-file-bytes": (size, self.limits.file_bytes),
            "limit-day-files": (self.today.files, self.limits.day_files),
            "limit-day-bytes": (self.today.bytes, self.limits.day_bytes),
            "limit-store-files": (self.stored.files, self.limits.store_files),
            "limit-store-bytes": (self.stored.bytes, self.limits.store_bytes),
        }
        return [code for code, (use, limit) in used.items() if use >= NOTICE_SHARE * limit]
