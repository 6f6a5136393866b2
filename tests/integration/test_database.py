from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from support.databases import NOON, FixedClock, database_url, databases, postgres_server  # noqa: F401

from evolvent.events.errors import ConfigInvalid, NotFound
from evolvent.storage.blobs import BlobStore
from evolvent.storage.database import Databases
from evolvent.storage.errors import CorruptRecord, SchemaTooNew, StorageClosed, StorageRefused
from evolvent.storage.jobs import JobStore
from evolvent.storage.statements import Statement

SET_POSITION = Statement(
    "INSERT INTO positions (name, position) VALUES (:name, :position)"
    " ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)
COUNT = Statement("SELECT COUNT(*) FROM positions")


async def test_keeps_three_files_in_one_folder_on_sqlite(tmp_path: Path) -> None:
    opened = await Databases.open(tmp_path / "data")
    try:
        assert {path.name for path in (tmp_path / "data").glob("*.db")} == {"records.db", "ledger.db", "definitions.db"}
        async with opened.ledger.reading() as session:
            for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
                assert (await session.connection()).sync_connection is not None
                found = await (await session.connection()).execute(text(f"PRAGMA {pragma}"))
                assert found.scalar() == value
    finally:
        await opened.close()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense://", "sqlite://"])
async def test_refuses_a_url_that_it_cannot_use(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        await Databases.open(url)


async def test_an_operation_that_raises_fails_alone(databases: Databases) -> None:  # noqa: F811
    writer = databases.records.writer

    def good(number: int) -> int:
        return number

    async def write(number: int) -> int:
        def work(conn: Connection) -> int:
            SET_POSITION.many(conn, [{"name": f"n{number}", "position": number}])
            if number % 7 == 3:
                raise ValueError(f"no {number}")
            if number % 7 == 5:
                Statement("INSERT INTO nowhere VALUES (1)").count(conn, {})
            return good(number)

        return await writer.run(work)

    results = await asyncio.gather(*(write(n) for n in range(70)), return_exceptions=True)
    for number, result in enumerate(results):
        if number % 7 == 3:
            assert isinstance(result, ValueError)
        elif number % 7 == 5:
            assert isinstance(result, StorageRefused)
        else:
            assert result == number
    rows = await databases.records.look_up(lambda conn: COUNT.rows(conn, {}))
    assert rows[0][0] == 50
    assert writer.commits < 70


async def test_items_for_the_same_work_are_taken_together_and_answered_apart(databases: Databases) -> None:  # noqa: F811
    calls: list[int] = []

    def double(conn: Connection, items: list[int]) -> list[int]:
        calls.append(len(items))
        return [2 * item for item in items]

    results = await asyncio.gather(*(databases.ledger.writer.each(double, n) for n in range(500)))
    assert results == [2 * n for n in range(500)]
    assert sum(calls) == 500
    assert len(calls) < 100


async def test_close_commits_what_is_queued_and_refuses_what_comes_later(tmp_path: Path) -> None:
    opened = await Databases.open(tmp_path)
    writes = [
        asyncio.ensure_future(
            opened.records.writer.run(lambda conn, n=n: SET_POSITION.many(conn, [{"name": f"n{n}", "position": n}]))
        )
        for n in range(100)
    ]
    await asyncio.sleep(0)
    await opened.close()
    await asyncio.gather(*writes)
    with sqlite3.connect(tmp_path / "records.db") as conn:
        assert conn.execute("SELECT COUNT(*) FROM positions").fetchone() == (100,)
    with pytest.raises(StorageClosed):
        await opened.records.writer.run(lambda conn: None)


async def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    opened = await Databases.open(tmp_path, durability="process")
    blocker = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    try:
        blocker.execute("BEGIN IMMEDIATE")
        row = [{"name": "late", "position": 1}]
        write = asyncio.ensure_future(opened.records.writer.run(lambda conn: SET_POSITION.many(conn, row)))
        done, _ = await asyncio.wait([write], timeout=0.2)
        assert not done
        blocker.execute("COMMIT")
        await asyncio.wait_for(write, 10)
    finally:
        blocker.close()
        await opened.close()


async def test_a_lost_connection_is_made_again(databases: Databases, database_url: str) -> None:  # noqa: F811
    if not database_url.startswith("postgres"):
        pytest.skip("only a server can cut a connection")
    writer = databases.records.writer
    row = [{"name": "a", "position": 1}]
    await writer.run(lambda conn: SET_POSITION.many(conn, row))
    kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    async with databases.definitions.reading() as session:
        await (await session.connection()).execute(kill)
    row[0]["position"] = 2
    await writer.run(lambda conn: SET_POSITION.many(conn, row))
    assert (await databases.records.look_up(lambda conn: COUNT.rows(conn, {})))[0][0] == 1


def _open_and_close(url: str) -> None:
    async def run() -> None:
        await (await Databases.open(url)).close()

    asyncio.run(run())


async def test_many_processes_may_start_on_an_empty_database_at_once(database_url: str) -> None:  # noqa: F811
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open_and_close, args=(database_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    await (await Databases.open(database_url)).close()


async def test_refuses_a_schema_newer_than_itself(databases: Databases, database_url: str) -> None:  # noqa: F811
    await databases.ledger.writer.run(
        lambda conn: conn.execute(text("UPDATE evolvent_ledger_version SET version_num = 'ledger_9999'")).rowcount
    )
    with pytest.raises(SchemaTooNew, match="ledger_9999"):
        await Databases.open(database_url)


async def test_keeps_large_results_once_under_their_hash(databases: Databases) -> None:  # noqa: F811
    blobs = BlobStore(databases.records, FixedClock())
    sha256 = await blobs.put(b"\0\xff" * 300_000)
    assert await blobs.put(b"\0\xff" * 300_000) == sha256
    assert await blobs.get(sha256) == b"\0\xff" * 300_000
    with pytest.raises(NotFound):
        await blobs.get("0" * 64)
    await databases.records.writer.run(lambda conn: Statement("UPDATE blobs SET body = :b").count(conn, {"b": b"x"}))
    with pytest.raises(CorruptRecord):
        await blobs.get(sha256)


async def test_each_planned_time_of_a_job_is_claimed_once(databases: Databases) -> None:  # noqa: F811
    jobs = JobStore(databases.records)
    claims = await asyncio.gather(*(jobs.claim("learn", NOON, by=f"p{n}", now=NOON) for n in range(20)))
    assert sum(claims) == 1
    await jobs.finish("learn", NOON, now=NOON, ok=True, detail="3 patterns")
    last = await jobs.last("learn")
    assert last is not None
    assert (last.ok, last.detail, last.planned_at) == (True, "3 patterns", NOON)
