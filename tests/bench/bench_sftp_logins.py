"""Logins with the same key exchange, cipher and kinds of keys on every side: fifty at once with a small file each, then a queue."""

from tests.bench.runner import Result
from tests.bench.sftp_clients import bench
from tests.support.peers import Peer

AT_ONCE = 50
IN_SEQUENCE = 40  # times the five rounds makes 200; at once it would be ten minutes for the slowest peer


def run() -> list[Result]:
    with bench() as b:
        source = b.file(1024)

        def crowd(peer: Peer) -> None:
            b.side_by_side(peer, [[f"put {source} {peer.folder}/{b.name()}"] for _ in range(AT_ONCE)])

        def queue(peer: Peer) -> None:
            for _ in range(IN_SEQUENCE):
                b.sftp(peer, "pwd")

        return [
            *b.contest("sftp_logins_at_once", crowd, unit="logins/s", amount=AT_ONCE),
            *b.contest("sftp_logins_in_sequence", queue, unit="logins/s", amount=IN_SEQUENCE),
        ]
