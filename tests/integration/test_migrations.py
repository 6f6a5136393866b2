from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from support.databases import database_url, databases, postgres_server  # noqa: F401

from evolvent.storage import (  # noqa: F401  # every row class of the three families
    agents,
    archive,
    automations,
    blobs,
    improvements,
    insight_rows,
    jobs,
    ledger_rows,
    run_rows,
    schedules,
    signature_rows,
    unlearnt_runs,
    versions,
    workflows,
)
from evolvent.storage.database import Databases
from evolvent.storage.migrations import upgrade as upgrade_module
from evolvent.storage.migrations.upgrade import Line, newest, version_table
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


@pytest.mark.parametrize("line", list(Line))
def test_the_newest_step_is_named_by_its_file(line: Line) -> None:
    folder = Path(upgrade_module.__file__).parent / line
    revisions = [
        re.search(r'^revision = "(.+)"', path.read_text(), re.MULTILINE) for path in sorted(folder.glob("[0-9]*.py"))
    ]
    assert revisions[-1] is not None
    assert newest(line) == revisions[-1].group(1)


def test_a_process_that_finds_its_databases_up_to_date_does_not_import_alembic(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from evolvent.storage.database import Databases\n"
        "async def main():\n    await (await Databases.open(sys.argv[1])).close()\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in "12")
    assert (first, second) == ("True", "False")
