"""A thousand small files in one session. Ours is durable at each CLOSE either way; the peers only where the client asks for fsync."""

from tests.bench.runner import Result
from tests.bench.sftp_clients import bench
from tests.support.peers import Peer

FILES, SIZE = 1000, 20 * 1024


def run() -> list[Result]:
    with bench() as b:
        source = b.file(SIZE)

        def put(peer: Peer) -> None:
            b.sftp(peer, *(f"put {source} {peer.folder}/{b.name()}" for _ in range(FILES)))

        def put_synced(peer: Peer) -> None:
            b.sftp(peer, *(f"put -f {source} {peer.folder}/{b.name()}" for _ in range(FILES)))

        return [
            *b.contest("sftp_small_files", put, unit="files/s", amount=FILES),
            *b.contest("sftp_small_files_fsync", put_synced, unit="files/s", amount=FILES),
        ]
