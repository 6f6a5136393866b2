"""The full-text index of log lines: what is in it is in it once, and a search that takes too long ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evolvent.storage.errors import StorageClosed
from evolvent.storage.log_index import FileState, Line, LogIndex
from evolvent.storage.log_query import Everything, LogQuery, Phrase
from evolvent.storage.log_search import LogSearchTooLong

STATE = FileState("/logs", "/logs/a.log", 1, 2, 100, 0, "logs", "a", 3, b"head")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LogIndex]:
    made = LogIndex(tmp_path / "logs.db")
    made.open()
    yield made
    made.close()


def count(index: LogIndex, query: LogQuery | None = None, most_seconds: float = 5) -> int:
    wanted = query or LogQuery(Everything())
    return index.search(wanted, from_us=0, to_us=10**18, limit=5, most_seconds=most_seconds).total


def lines(count: int, text: str = "one line") -> list[Line]:
    return [Line(number, "host", f"{text} {number}") for number in range(count)]


def test_lines_are_taken_only_from_where_the_file_stands(index: LogIndex) -> None:
    file = index.add(STATE)
    assert index.append(file.file_id, lines(3), start=0, end=30, tail_hash=b"t")
    assert not index.append(file.file_id, lines(3), start=0, end=30, tail_hash=b"t")
    assert index.append(file.file_id, lines(2), start=30, end=50, tail_hash=b"u")
    (found,) = index.files()
    assert (found.offset, found.events, found.first_us, found.last_us, found.tail_hash) == (50, 5, 0, 2, b"u")
    assert count(index) == 5


def test_a_file_that_is_being_removed_takes_nothing_more_and_leaves_no_word_behind(index: LogIndex) -> None:
    file, other = index.add(STATE), index.add(replace(STATE, path="/logs/b.log", inode=3))
    index.append(file.file_id, lines(3, "secret"), start=0, end=30, tail_hash=b"t")
    index.append(other.file_id, lines(1, "kept"), start=0, end=10, tail_hash=b"t")
    index.append(file.file_id, lines(3, "secret"), start=30, end=60, tail_hash=b"t")
    looks = iter([False, True])
    index.remove(file.file_id, should_stop=lambda: next(looks))
    assert count(index, LogQuery(Phrase("secret"))) == 3
    assert not index.append(file.file_id, lines(3), start=60, end=90, tail_hash=b"t")
    assert [one.name for one in index.indexes()] == ["logs"]
    index.remove(file.file_id)
    assert (count(index, LogQuery(Phrase("secret"))), count(index)) == (0, 1)
    assert [one.state.path for one in index.files()] == ["/logs/b.log"]


def test_a_search_that_takes_too_long_is_given_up_and_the_index_stays_usable(index: LogIndex) -> None:
    file = index.add(STATE)
    index.append(file.file_id, lines(50_000), start=0, end=1, tail_hash=b"t")
    with pytest.raises(LogSearchTooLong, match="narrow its time range"):
        count(index, LogQuery(Everything(), ("host",)), most_seconds=0)
    assert count(index) == 50_000


def test_another_version_of_the_index_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = LogIndex(tmp_path / "logs.db")
    old.open()
    old.add(STATE)
    old.close()
    with pytest.raises(StorageClosed):
        old.files()
    monkeypatch.setattr("evolvent.storage.log_index.SCHEMA_VERSION", 99)
    new = LogIndex(tmp_path / "logs.db")
    new.open()
    assert new.files() == []
    new.close()
