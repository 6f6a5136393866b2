"""Fixtures of databases: a test that takes `databases` runs on SQLite, and on PostgreSQL where one can be started."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.postgres import new_database, running_postgres, why_not_postgres

from evolvent.storage.database import Databases

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FixedClock:
    """A clock that a test sets by hand."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.time

    def monotonic(self) -> float:
        """Return the time that was set, in seconds."""
        return self.time.timestamp()

    def new_id(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    reason = why_not_postgres()
    if reason is not None:
        pytest.skip(reason)
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data'}"
    server = request.getfixturevalue("postgres_server")
    return await new_database(server, f"t{uuid.uuid4().hex}")


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[Databases]:
    opened = await Databases.open(database_url, durability="process")
    yield opened
    await opened.close()
