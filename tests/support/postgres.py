"""A throw-away PostgreSQL server on loopback, where its programs are installed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def postgres_programs() -> Path | None:
    """Return the folder with initdb and pg_ctl, or None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if found:
        return found[0].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def why_not_postgres() -> str | None:
    """Return why nothing can be tested on PostgreSQL here, or None."""
    if postgres_programs() is None:
        return "PostgreSQL is not installed here"
    missing = [name for name in ("asyncpg", "psycopg") if importlib.util.find_spec(name) is None]
    return f"the extra `postgres` is not installed: {', '.join(missing)}" if missing else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server with an empty data folder and give its URL, without a database name."""
    programs = postgres_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="evolvent-postgres-"))
    as_postgres = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_postgres = {"user": "postgres", "group": owner.pw_gid, "cwd": folder}
    data, port = folder / "data", _free_port()
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c max_connections=200"

    def call(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=60, **as_postgres)

    call(str(programs / "initdb"), "-D", str(data), "-U", "evolvent", "-A", "trust", "-E", "UTF8", "--locale=C")
    log = str(folder / "log")
    call(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", log, "-o", options, "start")
    try:
        yield f"postgresql://evolvent@127.0.0.1:{port}"
    finally:
        call(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


async def new_database(server_url: str, name: str) -> str:
    """Make an empty database and return its URL."""
    import asyncpg  # an extra: only where a server is tested on

    conn = await asyncpg.connect(f"{server_url}/postgres")
    try:
        await conn.execute(f'CREATE DATABASE "{name}"')
    finally:
        await asyncio.wait_for(conn.close(), 5)
    return f"{server_url}/{name}"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
