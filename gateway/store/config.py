"""`sluis.toml`: every key with its unit in its name, its default and what it is for. Unknown keys are refused."""

import json
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.errors import Unsound

Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Authority(Section):
    name: str = Field("Voorbeeldautoriteit", description="who runs the gateway: on pages, letters and reports")
    address: str = Field("", description="postal address on letters, lines separated by |")
    contact: str = Field("info@sluis.example", description="e-mail address for vendors and boards")


class Database(Section):
    url: str = Field("", description="postgresql+psycopg://… ; empty: sluis.sqlite in the home")


class Sharing(Section):
    group_access: bool = Field(
        False, description="roles run as several Unix users that share a group (systemd): files are group-accessible"
    )


class Intake(Section):
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(2222, description="TCP port of the SFTP endpoint; 0: any free one")
    processes: int = Field(0, ge=0, le=64, description="processes that speak SFTP; 0: one per core; 1: no process of its own")
    metrics_port: Port = Field(0, description="TCP port on 127.0.0.1 where Prometheus finds the endpoint's figures; 0: nowhere")
    proxies: list[str] = Field(
        [], description="networks (CIDR) of load balancers, which must speak PROXY protocol v2; from anywhere else it is refused"
    )
    allow_chacha20: bool = Field(
        False, description="also offer chacha20-poly1305: slower here than AES-GCM, and what the Terrapin attack aims at"
    )
    # --- one file, one session
    max_file_bytes: int = Field(20 * 2**30, gt=0, description="largest file a vendor may deliver [bytes]")
    login_timeout_seconds: int = Field(30, gt=0, description="how long a login may take [s]")
    idle_timeout_seconds: int = Field(900, gt=0, description="an idle connection ends after this [s]")
    unfinished_keep_days: int = Field(3, gt=0, description="an upload that was never finished is destroyed after this [days]")
    # --- one vendor; `sluis vendor limit` sets another value for one of them
    max_sessions_per_vendor: int = Field(10, gt=0, description="connections at once of one vendor")
    max_handles_per_vendor: int = Field(256, gt=0, description="files and folders one vendor may have open at once")
    max_unfinished_per_vendor: int = Field(200, gt=0, description="unfinished uploads of one vendor")
    day_files_per_vendor: int = Field(20_000, gt=0, description="files one vendor may deliver on a day (UTC)")
    day_bytes_per_vendor: int = Field(200 * 2**30, gt=0, description="what one vendor may deliver on a day (UTC) [bytes]")
    store_files_per_vendor: int = Field(100_000, gt=0, description="files of one vendor that are not erased yet")
    store_bytes_per_vendor: int = Field(500 * 2**30, gt=0, description="the same in bytes [bytes]")
    bytes_per_second_per_vendor: int = Field(
        0, ge=0, description="how fast one vendor may upload, all its sessions together; 0: no bound [bytes/s]"
    )
    # --- everybody together
    max_sessions: int = Field(500, gt=0, description="connections at once that have logged in")
    max_handles: int = Field(4096, gt=0, description="files and folders open at once")
    max_unauthenticated: int = Field(100, gt=0, description="connections at once that have not logged in yet")
    max_unauthenticated_per_address: int = Field(20, gt=0, description="the same from one address (IPv6: one /64)")
    disk_reserve_bytes: int = Field(2 * 2**30, ge=0, description="with less free disk than this no new upload begins [bytes]")
    disk_floor_bytes: int = Field(
        256 * 2**20, ge=0, description="with less than this none goes on: what is left is for erasure and the ledger [bytes]"
    )


class Worker(Section):
    concurrency: int = Field(2, gt=0, le=64, description="drops handled at once")
    poll_milliseconds: int = Field(200, gt=0, description="how often the worker looks for work [ms]")
    max_expanded_bytes: int = Field(40 * 2**30, gt=0, description="a drop that decompresses to more than this is refused [bytes]")


class Scan(Section):
    clamd_socket: str = Field("", description="clamd's Unix socket, which scans what is delivered for malware; empty: nothing is scanned")
    clamd_conf: str = Field("/etc/clamav/clamd.conf", description="that clamd's configuration, which `sluis doctor` looks through")
    timeout_seconds: int = Field(120, gt=0, description="clamd may stay silent for so long; then the scan is tried again later [s]")
    max_bytes: int = Field(
        2**30, gt=0, lt=2**31, description="a drop that holds more after decryption is refused, as clamd can't scan it whole [bytes]"
    )


class Recipients(Section):
    openpgp: bool = Field(False, description="also take what is encrypted with OpenPGP; needs the program gpg, and a tmpfs")
    overlap_days: int = Field(
        14, ge=0, le=90, description="what was encrypted to a replaced key is taken so long after the day it was replaced on [days]"
    )


class Portal(Section):
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8443, description="TCP port of the HTTPS portal; 0: any free one")
    hostname: str = Field("localhost", description="the name in the address that boards use, and in the TLS certificate made by init")
    public_url: str = Field("", description="the address boards see, when a reverse proxy stands in front; empty: https://hostname:port")
    session_idle_minutes: int = Field(30, gt=0, description="a login ends after this without a click [min]")
    session_hours: int = Field(8, gt=0, description="a login ends after this in any case [h]")
    concurrent_logins: int = Field(4, gt=0, description="password checks at once; bounds Argon2's memory")


class Retention(Section):
    window_days: int = Field(21, gt=0, le=21, description="identifiers end this long after delivery, linked or not [days]")


class Audit(Section):
    checkpoint_to: list[str] = Field(
        [], description="where `audit checkpoint --scheduled` hands out checkpoints: folders, or sftp://NAME@HOST[:PORT]/PATH"
    )
    checkpoint_identity: str = Field("", description="private SSH key for it; empty: the home's own, see `sluis audit checkpoint-key`")
    checkpoint_known_hosts: str = Field("/etc/ssh/ssh_known_hosts", description="the host keys of those servers")


class Configuration(Section):
    authority: Authority = Authority()
    database: Database = Database()
    sharing: Sharing = Sharing()
    intake: Intake = Intake()
    worker: Worker = Worker()
    scan: Scan = Scan()
    recipients: Recipients = Recipients()
    portal: Portal = Portal()
    retention: Retention = Retention()
    audit: Audit = Audit()


def read_configuration(path: Path) -> Configuration:
    """The configuration in `path`; Unsound with the key that is wrong (never with its value: it may be a password)."""
    try:
        return Configuration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise Unsound("no-configuration", f"There is no {path.name} in the home.", "Make a home with `sluis init`.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        place = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise Unsound("configuration-unreadable", f"{path.name} can't be read: {place}.", "Correct it and start again.") from None
    except ValidationError as error:
        wrong = "; ".join(f"[{'.'.join(map(str, e['loc']))}] {e['msg']}" for e in error.errors(include_input=False, include_url=False))
        raise Unsound("configuration-wrong", f"{path.name}: {wrong}.", "docs/operator/configuration.md lists every key.") from None


def write_configuration(given: Configuration) -> str:
    """`sluis.toml` with every key, its default and its meaning as a comment."""
    lines = ["# Sluis: configuration of this home. Every key stands here with its meaning; unknown keys are refused.", ""]
    for section, field in Configuration.model_fields.items():
        lines.append(f"[{section}]")
        values = getattr(given, section)
        assert isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for key, info in field.annotation.model_fields.items():
            lines.append(f"{key} = {_toml(getattr(values, key))}  # {info.description}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: str | int | bool | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # a basic string of TOML takes JSON's escapes, and wants one for DEL too
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
