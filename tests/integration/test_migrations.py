from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from support.databases import database_url, databases, postgres_server  # noqa: F401

from evolvent.storage import (  # noqa: F401  # every row class of the three families
    agents,
    archive,
    blobs,
    improvements,
    jobs,
    ledger_rows,
    run_rows,
)
from evolvent.storage.database import Databases
from evolvent.storage.migrations.upgrade import Line, version_table
from evolvent.storage.rows import DefinitionsRow, LedgerRow, RecordsRow


@pytest.mark.parametrize(
    ("line", "metadata"),
    [
        (Line.RECORDS, RecordsRow.metadata),
        (Line.LEDGER, LedgerRow.metadata),
        (Line.DEFINITIONS, DefinitionsRow.metadata),
    ],
)
async def test_the_steps_lead_to_what_the_row_classes_say(
    databases: Databases,  # noqa: F811
    line: Line,
    metadata: MetaData,
) -> None:
    def differences(conn: Connection) -> list[object]:
        ours = set(metadata.tables)
        options = {
            "version_table": version_table(line),
            "include_name": lambda name, kind, _parents: kind != "table" or name in ours,
        }
        return list(compare_metadata(MigrationContext.configure(conn, opts=options), metadata))

    assert await getattr(databases, line).look_up(differences) == []


async def test_every_table_exists(databases: Databases) -> None:  # noqa: F811
    for line, metadata in (("records", RecordsRow), ("ledger", LedgerRow), ("definitions", DefinitionsRow)):
        names = await getattr(databases, line).look_up(
            lambda conn: set(conn.dialect.get_table_names(conn, schema=None))
        )
        assert set(metadata.metadata.tables) <= names
