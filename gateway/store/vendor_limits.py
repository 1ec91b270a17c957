"""Limits of one vendor that differ from `[intake]` of sluis.toml."""

from collections.abc import Iterable, Mapping

from gateway.store.config import Intake
from gateway.store.ledger import Change
from gateway.store.vendors import vendor_of
from policies.errors import Refused

#: the keys of `[intake]` that one vendor may have a value of its own for
LIMITS = (
    "max_file_bytes", "max_sessions_per_vendor", "max_handles_per_vendor", "max_unfinished_per_vendor", "day_files_per_vendor",
    "day_bytes_per_vendor", "store_files_per_vendor", "store_bytes_per_vendor", "bytes_per_second_per_vendor",
)  # fmt: skip


def limits_of(given: Mapping[str, int], config: Intake) -> dict[str, int]:
    """Every limit of a vendor by its key: its own (`Vendor.limits`), else the configured one."""
    return {key: given.get(key, getattr(config, key)) for key in LIMITS}


def limit_named(name: str) -> str:
    """The full key of a limit, which may be given without `_per_vendor`. Refused (`no-such-limit`)."""
    for key in (name, f"{name}_per_vendor"):
        if key in LIMITS:
            return key
    raise Refused("no-such-limit", "There is no limit of that name.", f"One of: {', '.join(LIMITS)}.")


def set_limits(change: Change, name: str, limits: Mapping[str, int]) -> None:
    """Values of a vendor's own, in place of those of sluis.toml; they apply at once. Refused: `no-such-limit`, `bad-limit`."""
    vendor = vendor_of(change.session, name)
    for key, value in limits.items():
        limit_named(key)
        if value < (0 if key == "bytes_per_second_per_vendor" else 1):
            raise Refused("bad-limit", "A limit is a positive number.", "To take a vendor's own limit away: `sluis vendor limit clear`.")
    vendor.limits = {**vendor.limits, **limits}
    change.session.add(vendor)
    change.audit("vendor.limits-set", f"vendor:{name}", limits=_told(vendor.limits))


def clear_limits(change: Change, name: str, keys: Iterable[str] = ()) -> None:
    """sluis.toml's values apply again, for `keys` or for all. NotFound, Refused (`no-such-limit`)."""
    vendor = vendor_of(change.session, name)
    gone = {limit_named(key) for key in keys} or set(LIMITS)
    vendor.limits = {key: value for key, value in vendor.limits.items() if key not in gone}
    change.session.add(vendor)
    change.audit("vendor.limits-set", f"vendor:{name}", limits=_told(vendor.limits))


def _told(limits: Mapping[str, int]) -> list[str]:
    """For the audit log, which takes nine digits on their own for a pupil's number."""
    return [f"{key}={value:_}" for key, value in sorted(limits.items())]
