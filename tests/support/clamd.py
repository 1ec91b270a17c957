"""A real clamd with a database of one signature, on a Unix socket of its own; what it is told it keeps in /dev/shm."""

import subprocess
import time
from pathlib import Path

from gateway.store.config import Scan
from gateway.worker.scanner import alive
from policies.errors import Unsound

#: what the signature finds, and what clamd calls it
MARKER = b"SLUIS-HARMLESS-TEST-STRING"
SIGNATURE = "Sluis.Test.Marker-1.UNOFFICIAL"
#: how long it may take to start on a busy machine [s]
PATIENCE = 60.0


#: all that were started; whoever gives them a folder ends them with it
STARTED: list[subprocess.Popen[bytes]] = []


class Clamd:
    """`settings` is the [scan] section that leads to it; `folder` has all it keeps, `temporary` what it is told,
    `marker` what it finds."""

    def __init__(self, folder: Path, temporary: Path | None = None, timeout_seconds: int = 20, marker: bytes = MARKER, **conf: str) -> None:
        self.folder = folder
        self.temporary = temporary or folder / "tmp"
        database = folder / "signatures"
        for made in (self.temporary, database):
            made.mkdir(parents=True, exist_ok=True)
        (database / "marker.ndb").write_text(f"Sluis.Test.Marker-1:0:*:{marker.hex()}\n")
        socket, self.conf = folder / "clamd", folder / "clamd.conf"
        lines = {
            "LocalSocket": str(socket),
            "DatabaseDirectory": str(database),
            "TemporaryDirectory": str(self.temporary),
            "LeaveTemporaryFiles": "no",
            "Foreground": "yes",
            "StreamMaxLength": "64M",
            "MaxScanSize": "64M",
            "MaxFileSize": "1024M",
            "MaxFiles": "30001",
            "AlertExceedsMax": "yes",
        }
        self.conf.write_text("".join(f"{key} {value}\n" for key, value in (lines | conf).items()))
        self.settings = Scan(clamd_socket=str(socket), clamd_conf=str(self.conf), timeout_seconds=timeout_seconds, max_bytes=64 << 20)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Ready when this returns."""
        with (self.folder / "log").open("ab") as log:
            command = ["/usr/sbin/clamd", f"--config-file={self.conf}"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            STARTED.append(self.process)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return alive(self.settings)
            except Unsound:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def kill(self) -> None:
        """It is gone when this returns."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def written_to_disk(self) -> int:
        """What it ever sent to a disk [bytes]; a tmpfs is none (proc(5), /proc/PID/io)."""
        assert self.process is not None
        told = dict(line.split(": ") for line in Path(f"/proc/{self.process.pid}/io").read_text().splitlines())
        return int(told["write_bytes"])
