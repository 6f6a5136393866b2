from __future__ import annotations

import sys

import pytest

from evolvent.events.errors import ConfigInvalid
from evolvent.storage.database import Databases


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_postgresql_without_its_driver_says_what_to_install(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(ConfigInvalid, match=rf"{driver}.*uv sync --extra postgres"):
        await Databases.open("postgresql://evolvent@127.0.0.1:1/none")
