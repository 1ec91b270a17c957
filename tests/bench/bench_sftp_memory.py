"""Memory of all processes of each server with 200 idle and 50 busy sessions: proportional set sizes, so that shared pages count once."""

import asyncio
import gc
import statistics
from contextlib import AsyncExitStack
from itertools import cycle

import asyncssh

from tests.bench.runner import RUNS, Result
from tests.bench.sftp_clients import Bench, bench
from tests.support.peers import CIPHER, KEX, Peer, peak_mib, pss_mib

IDLE, BUSY = 200, 50
BLOCK = bytes(32 * 1024)  # what most clients write at once
FILE_BYTES = 8 << 20  # a busy session begins a new file after so much
WATCHED_SECONDS, EVERY_SECONDS = 6.0, 0.5


async def session(b: Bench, peer: Peer, kept: AsyncExitStack) -> asyncssh.SFTPClient:
    connection = await kept.enter_async_context(
        asyncssh.connect(
            "127.0.0.1", peer.port, username=peer.user, client_keys=[str(b.key)], known_hosts=None, config=None,
            kex_algs=[KEX], encryption_algs=[CIPHER], login_timeout=120,
        )
    )  # fmt: skip
    client = await kept.enter_async_context(connection.start_sftp_client())
    await client.stat(".")
    return client


async def upload_for_ever(b: Bench, peer: Peer, client: asyncssh.SFTPClient) -> None:
    while True:
        async with client.open(f"{peer.folder}/{b.name()}", "wb", block_size=0) as file:
            for start in range(0, FILE_BYTES, len(BLOCK)):
                await file.write(BLOCK, start)


async def highest(b: Bench, peer: Peer) -> float:
    """The most that the server's processes took while all sessions were there [MiB]."""
    async with AsyncExitStack() as kept:
        clients = []
        for _ in range(IDLE + BUSY):
            clients.append(await session(b, peer, kept))
        busy = [asyncio.create_task(upload_for_ever(b, peer, client)) for client in clients[IDLE:]]
        found = []
        for _ in range(round(WATCHED_SECONDS / EVERY_SECONDS)):
            await asyncio.sleep(EVERY_SECONDS)
            found.append(await asyncio.to_thread(pss_mib, peer.pids()))
            for task in busy:
                if task.done():
                    task.result()  # a session that failed is no busy session
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        return max(found)


def run() -> list[Result]:
    with bench() as b:
        found: dict[str, list[float]] = {peer.name: [] for peer in (b.ours, *b.peers)}
        for _, peers in zip(range(RUNS), cycle([[b.ours, *b.peers], [*b.peers, b.ours]]), strict=False):
            for peer in peers:
                found[peer.name].append(asyncio.run(highest(b, peer)))
                peer.tidy()
                gc.collect()
        value, *others = (statistics.median(each) for each in found.values())
        peak = peak_mib(b.ours.pids())
        return [
            Result(
                name="sftp_memory" if peer is b.peers[0] else "sftp_memory_vs_proftpd",
                value=round(value, 1), unit="MiB", peer=peer.name, peer_value=round(other, 1), ratio=round(other / value, 3),
                peak_rss_mib=round(peak, 1), runs=RUNS,
            )
            for peer, other in zip(b.peers, others, strict=True)
        ]  # fmt: skip
