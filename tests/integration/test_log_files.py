"""Local log files as a log source: real files that grow, rotate, are packed, cut and deleted."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid
from evolvent.orchestrator.logs.files import LogFiles
from evolvent.orchestrator.logs.source import LogSource, SearchResult
from evolvent.orchestrator.tools.refusals import QueryInvalid

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FROM, TO = NOON - timedelta(days=1), NOON + timedelta(days=1)


def lines(first: int, count: int, what: str = "status=200 user=bob") -> str:
    stamps = ((NOON + timedelta(seconds=n)).isoformat() for n in range(first, first + count))
    return "".join(f"{stamp} request {first + n} {what}\n" for n, stamp in enumerate(stamps))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs"
    (made / "web").mkdir(parents=True)
    return made


@pytest.fixture
async def logs(tmp_path: Path, folder: Path) -> AsyncIterator[LogFiles]:
    source = LogFiles(tmp_path / "data" / "logs.db", [folder], clock=SystemClock(), patience_seconds=60)
    yield source
    await source.close()


async def found(source: LogSource, query: str, limit: int = 1_000) -> SearchResult:
    return await source.search(query, earliest=FROM, latest=TO, limit=limit)


async def total(source: LogSource, query: str = "*") -> int:
    return (await found(source, query)).total


def age(path: Path, seconds: float = 60) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


async def test_lines_are_found_with_all_that_is_known_of_them(logs: LogFiles, folder: Path) -> None:
    (folder / "web" / "access.log").write_text(lines(0, 50))
    (folder / "syslog").write_text("Mar  1 12:00:00 web1 sshd[7]: Failed password for root\n")
    os.utime(folder / "syslog", (NOON.timestamp() + 60, NOON.timestamp() + 60))
    result = await found(logs, "failed password")
    (event,) = result.events
    assert (event.time, event.index, event.sourcetype, event.host) == (NOON, "logs", "syslog", "web1")
    assert (event.source, result.total, result.is_complete) == (str(folder / "syslog"), 1, True)
    latest = await found(logs, "index=web", limit=2)
    assert [event.text.split()[2] for event in latest.events] == ["49", "48"]
    assert latest.total == 50


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("request", 4),
        ("status=500", 2),
        ("status=50*", 3),
        ("status=50", 0),
        ("NOT status=500", 2),
        ('"connection refused"', 1),
        ('"refused connection"', 0),
        ("alice OR carol", 2),
        ("user=alice status=500", 1),
        ("user=alice OR user=bob NOT refused", 1),
        ('user="dave d"', 1),
        ("sourcetype=app request", 4),
        ("index=web*", 4),
        ("index=nowhere", 0),
        ("source=*/app.log", 4),
        ("REQUEST AND Alice", 1),
        ("requ*", 4),
        ("(alice OR bob) NOT refused", 1),
    ],
)
async def test_the_query_language_selects_lines(logs: LogFiles, folder: Path, query: str, expected: int) -> None:
    stamp = NOON.isoformat()
    (folder / "web" / "app.log").write_text(
        f"{stamp} request 1 status=500 user=alice\n"
        f"{stamp} request 2 status=500 user=bob connection refused\n"
        f'{stamp} request 3 {{"status": "503", "user": "carol"}}\n'
        f'{stamp} request 4 status=200 user="dave d"\n'
    )
    assert await total(logs, query) == expected


async def test_events_are_counted_by_where_they_come_from(logs: LogFiles, folder: Path) -> None:
    (folder / "web" / "access.log").write_text(lines(0, 30))
    (folder / "web" / "error.log").write_text(lines(0, 5, "down"))
    counted = await found(logs, "index=web | stats count by sourcetype")
    assert counted.rows == ({"sourcetype": "access_combined", "count": 30}, {"sourcetype": "web_error", "count": 5})
    assert (await found(logs, "| stats count")).rows == ({"count": 35},)
    assert len((await found(logs, "* | head 3")).events) == 3
    indexes = await logs.indexes()
    assert [(one.name, one.event_count, one.earliest) for one in indexes] == [("web", 35, NOON)]
    assert [one.name for one in await logs.sourcetypes("web")] == ["access_combined", "web_error"]
    assert await logs.sourcetypes("nowhere") == []


async def test_only_events_within_the_time_range_are_found(logs: LogFiles, folder: Path) -> None:
    (folder / "app.log").write_text(lines(0, 10))
    second = timedelta(seconds=1)
    result = await logs.search("*", earliest=NOON + 2 * second, latest=NOON + 5 * second, limit=10)
    assert [event.text.split()[2] for event in result.events] == ["4", "3", "2"]


async def test_a_growing_file_is_read_on_and_an_unfinished_line_waits(logs: LogFiles, folder: Path) -> None:
    path = folder / "app.log"
    path.write_text(lines(0, 10) + "half a li")
    assert await total(logs) == 10
    with path.open("a") as file:
        file.write("ne\n" + lines(10, 5))
    assert (await total(logs), await total(logs, '"half a line"')) == (16, 1)


async def test_the_last_line_of_a_quiet_file_counts_without_its_end(logs: LogFiles, folder: Path) -> None:
    (folder / "app.log").write_text(lines(0, 1) + f"{NOON.isoformat()} last words")
    age(folder / "app.log")
    assert await total(logs, "last words") == 1


async def test_rotation_by_renaming_and_packing_loses_and_doubles_nothing(logs: LogFiles, folder: Path) -> None:
    path, older = folder / "app.log", folder / "app.log.1"
    path.write_text(lines(0, 100))
    assert await total(logs) == 100
    with path.open("a") as file:
        file.write(lines(100, 20))
    path.rename(older)
    path.write_text(lines(200, 7))
    assert await total(logs) == 127
    with gzip.open(folder / "app.log.2.gz", "wb") as packed:
        packed.write(older.read_bytes())
    older.unlink()
    assert await total(logs) == 127
    (event,) = (await found(logs, '"request 119"')).events
    assert event.source.endswith("app.log.2.gz")
    assert await total(logs, "sourcetype=app") == 127


async def test_rotation_by_copying_and_cutting_loses_and_doubles_nothing(logs: LogFiles, folder: Path) -> None:
    path = folder / "app.log"
    path.write_text(lines(0, 100))
    assert await total(logs) == 100
    with path.open("a") as file:
        file.write(lines(100, 3))
    shutil.copyfile(path, folder / "app.log.1")
    os.truncate(path, 0)
    assert await total(logs) == 103
    with path.open("a") as file:
        file.write(lines(300, 200))
    assert await total(logs) == 303


async def test_a_file_that_was_replaced_by_a_longer_one_is_read_anew(logs: LogFiles, folder: Path) -> None:
    path = folder / "app.log"
    path.write_text(lines(0, 10, "old"))
    assert await total(logs) == 10
    path.write_text(lines(0, 40, "new"))
    assert (await total(logs, "old"), await total(logs, "new")) == (0, 40)


async def test_what_is_deleted_leaves_the_index(logs: LogFiles, folder: Path) -> None:
    (folder / "web" / "a.log").write_text(lines(0, 5_000, "secret"))
    (folder / "b.log").write_text(lines(0, 3))
    assert await total(logs) == 5_003
    (folder / "web" / "a.log").unlink()
    assert (await total(logs), await total(logs, "secret")) == (3, 0)
    assert [one.name for one in await logs.indexes()] == ["logs"]


async def test_a_packed_file_is_read_once_and_a_binary_one_never(logs: LogFiles, folder: Path) -> None:
    with gzip.open(folder / "old.log.gz", "wt") as packed:
        packed.write(lines(0, 20))
    (folder / "wtmp").write_bytes(b"\0\1\2" * 100)
    (folder / "broken.gz").write_bytes(b"\x1f\x8b" + b"x" * 50)
    assert (await total(logs), await total(logs)) == (20, 20)
    health = await logs.health()
    (readable,) = (check for check in health.checks if check.name == "files readable")
    assert not health.is_ok and "broken.gz" in readable.detail


async def test_the_index_goes_on_where_another_process_left_it(tmp_path: Path, folder: Path) -> None:
    (folder / "app.log").write_text(lines(0, 10))
    for expected in (10, 15):
        source = LogFiles(tmp_path / "logs.db", [folder], clock=SystemClock(), patience_seconds=60)
        assert await total(source) == expected
        await source.close()
        with (folder / "app.log").open("a") as file:
            file.write(lines(100, 5))


async def test_two_processes_on_one_index_take_no_line_twice(tmp_path: Path, folder: Path) -> None:
    for number in range(4):
        (folder / f"app{number}.log").write_text(lines(0, 5_000))
    sources = [LogFiles(tmp_path / "logs.db", [folder], clock=SystemClock(), patience_seconds=60) for _ in range(2)]
    await total(sources[0], "nothing")
    with (folder / "app1.log").open("a") as file:
        file.write(lines(9_000, 5_000))
    await asyncio.gather(*(total(source) for source in sources))
    assert {await total(source) for source in sources} == {25_000}
    for source in sources:
        await source.close()


async def test_a_damaged_index_is_built_anew(tmp_path: Path, folder: Path) -> None:
    (folder / "app.log").write_text(lines(0, 10))
    (tmp_path / "logs.db").write_bytes(b"this is no database" * 100)
    source = LogFiles(tmp_path / "logs.db", [folder], clock=SystemClock(), patience_seconds=60)
    assert await total(source) == 10
    assert (tmp_path / "logs.db").stat().st_mode & 0o077 == 0
    await source.close()


async def test_links_and_hidden_files_are_not_read(logs: LogFiles, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.log").write_text(lines(0, 5))
    (folder / "link.log").symlink_to(tmp_path / "outside.log")
    (folder / ".hidden.log").write_text(lines(0, 5))
    assert await total(logs) == 0


async def test_very_long_lines_keep_their_beginning_and_the_lines_behind_them(logs: LogFiles, folder: Path) -> None:
    (folder / "app.log").write_text(f"{NOON.isoformat()} long {'x' * 5_000_000} end\n" + lines(0, 3))
    assert (await total(logs), await total(logs, "long")) == (4, 1)
    (event,) = (await found(logs, "long")).events
    assert len(event.text) == 16 * 1024


async def test_bounds_are_said_and_not_hidden(tmp_path: Path, folder: Path) -> None:
    (folder / "a.log").write_text(lines(0, 100_000))
    source = LogFiles(tmp_path / "logs.db", [folder], clock=SystemClock(), most_bytes=1_000_000, patience_seconds=60)
    result = await found(source, "*")
    assert 1_000 < result.total < 100_000 and not result.is_complete
    assert not (await source.health()).is_ok
    await source.close()


async def test_the_loop_runs_on_while_files_are_indexed_and_early_answers_say_that_they_are_not_whole(
    tmp_path: Path, folder: Path
) -> None:
    for number in range(8):
        (folder / f"app{number}.log").write_text(lines(0, 40_000))
    source = LogFiles(tmp_path / "logs.db", [folder], clock=SystemClock(), patience_seconds=0.05)
    early = await found(source, "*")
    assert not early.is_complete
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()
    searching = asyncio.create_task(found(source, "request"))
    while not searching.done():
        await asyncio.sleep(0)
        longest, last = max(longest, loop.time() - last), loop.time()
    assert longest < 0.5
    closing = loop.time()
    await source.close()
    assert loop.time() - closing < 3


async def test_bad_queries_and_bad_folders_are_refused(logs: LogFiles, tmp_path: Path) -> None:
    with pytest.raises(QueryInvalid):
        await found(logs, "a | delete")
    with pytest.raises(ConfigInvalid, match=r"tools\.logs\.folders"):
        LogFiles(tmp_path / "x.db", [tmp_path / "nowhere"], clock=SystemClock())


async def test_the_user_is_the_account_and_the_indexes_that_it_reads(logs: LogFiles, folder: Path) -> None:
    (folder / "web" / "a.log").write_text(lines(0, 1))
    user = await logs.current_user()
    assert user.name and user.readable_indexes == ("web",)
    assert isinstance(logs, LogSource)
    assert not (await logs.health()).license.is_required
