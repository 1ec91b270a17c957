"""Large uploads by OpenSSH's client: ours enciphers, hashes and syncs each file; the peers write plain files and sync nothing."""

from tests.bench.runner import Result
from tests.bench.sftp_clients import MIB, bench
from tests.support.peers import Peer

ONE, EIGHT = 1024, 128  # [MiB]


def run() -> list[Result]:
    with bench() as b:
        one, eighth = b.file(ONE * MIB, "one"), b.file(EIGHT * MIB, "eighth")

        def upload(peer: Peer) -> None:
            b.sftp(peer, f"put {one} {peer.folder}/{b.name()}")

        def eight(peer: Peer) -> None:
            b.side_by_side(peer, [[f"put {eighth} {peer.folder}/{b.name()}"] for _ in range(8)])

        return [
            *b.contest("sftp_upload_1gib", upload, unit="MB/s", amount=ONE * MIB / 1e6),
            *b.contest("sftp_eight_sessions", eight, unit="MB/s", amount=8 * EIGHT * MIB / 1e6),
        ]
