"""`python -m tests.support.library_clients paramiko|asyncssh put|resume PORT VENDOR KEY LOCAL REMOTE`: a vendor's own program, in short."""

import asyncio
import sys
from pathlib import Path

import asyncssh
import paramiko  # type: ignore[import-untyped,unused-ignore]

BLOCK = 256 * 1024


def with_paramiko(resume: bool, port: int, vendor: str, key: str, local: Path, remote: str) -> None:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", port, vendor, pkey=paramiko.PKey.from_path(key), allow_agent=False, look_for_keys=False, timeout=30)
    with client, client.open_sftp() as sftp:
        if not resume:
            sftp.put(str(local), remote)
            return
        with sftp.open(remote, "ab") as target, local.open("rb") as source:
            source.seek(sftp.stat(remote).st_size)
            target.set_pipelined(True)
            while data := source.read(BLOCK):
                target.write(data)
        # its close says nothing when it was refused or the line was lost: as `put` does, ask for the size
        if sftp.stat(remote).st_size != local.stat().st_size:
            raise OSError("not all of it arrived")


async def with_asyncssh(resume: bool, port: int, vendor: str, key: str, local: Path, remote: str) -> None:
    connecting = asyncssh.connect("127.0.0.1", port, username=vendor, client_keys=[key], known_hosts=None, config=None)
    async with connecting as connection, connection.start_sftp_client() as sftp:
        if not resume:
            await sftp.put(str(local), remote)
            return
        done = (await sftp.stat(remote)).size or 0
        async with sftp.open(remote, "r+b") as target:
            with local.open("rb") as source:
                source.seek(done)
                while data := source.read(BLOCK):
                    await target.write(data, done)
                    done += len(data)


def main(library: str, action: str, port: str, vendor: str, key: str, local: str, remote: str) -> None:
    arguments = (action == "resume", int(port), vendor, key, Path(local), remote)
    if library == "paramiko":
        with_paramiko(*arguments)
    else:
        asyncio.run(with_asyncssh(*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
