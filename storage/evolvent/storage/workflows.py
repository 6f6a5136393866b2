"""Workflows and their versions: an append-only line for each name; the highest version is current.

Owns the table workflow_versions. A version is never changed or deleted, because runs are pinned to its hash; rolling
back appends an older version's content as a new one. Shown in use by tests/integration/test_workflows.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import Index, func
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.language.workflow import Workflow
from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.rows import LONG, DefinitionsRow
from evolvent.storage.statements import Statement
from evolvent.storage.versions import NewVersion, add_version

Source = Literal["user", "system", "automated"]


class WorkflowVersionRow(DefinitionsRow, table=True):
    """One version of a workflow, as it was put."""

    __tablename__ = "workflow_versions"
    __table_args__ = (Index("ix_workflow_versions_hash", "workflow_hash"),)
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    workflow_hash: str
    document: str = Field(sa_type=LONG)
    source: str = "user"
    parent_version: int | None = None
    note: str = Field(default="", sa_type=LONG)
    created_by: str = ""
    created_at: datetime = Field(sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """A workflow with its place in the line of its versions."""

    workflow: Workflow
    version: int
    workflow_hash: str
    source: str
    parent_version: int | None
    note: str
    created_by: str
    created_at: datetime


_CURRENT_HASHES = Statement(
    "SELECT w.name, w.workflow_hash FROM workflow_versions w"
    " JOIN (SELECT name, MAX(version) AS version FROM workflow_versions GROUP BY name ORDER BY name LIMIT :most) newest"
    " ON newest.name = w.name AND newest.version = w.version"
)


class WorkflowStore:
    """Puts, finds and rolls back workflows."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, workflow: Workflow, *, by: str, source: Source = "user", note: str = "") -> StoredWorkflow:
        """Append a version, unless the current one has the same content; return the current version."""
        now = self._clock.now()

        async def work(session: AsyncSession) -> StoredWorkflow:
            current = await _current(session, workflow.name)
            if current is not None and current.workflow_hash == workflow.workflow_hash:
                return _stored(current)
            row = WorkflowVersionRow(
                name=workflow.name,
                version=1 if current is None else current.version + 1,
                workflow_hash=workflow.workflow_hash,
                document=workflow.model_dump_json(),
                source=source,
                parent_version=None if current is None else current.version,
                note=note,
                created_by=by,
                created_at=now,
            )
            session.add(row)
            await _enter(session, row, workflow, current)
            return _stored(row)

        return await self._database.write(work)

    async def roll_back(self, name: str, *, to: int, by: str) -> StoredWorkflow:
        """Make an older version's content current again, as a new version.

        Raises:
            NotFound: there is no such workflow or version.
        """
        older = await self.get(name, version=to)
        return await self.put(older.workflow, by=by, note=f"rolled back to version {to}")

    async def get(self, name: str, *, version: int | None = None) -> StoredWorkflow:
        """Return a version of a workflow; the current one where none is named.

        Raises:
            NotFound: there is no such workflow or version.
            CorruptRecord: the stored document cannot be read.
        """
        async with self._database.reading() as session:
            row = await _current(session, name) if version is None else await _exact(session, name, version)
        if row is None:
            which = f" in version {version}" if version is not None else ""
            raise NotFound(f"There is no workflow {name!r}{which}; `evolvent workflows list` shows them all.")
        return _stored(row)

    async def pinned(self, workflow_hash: str) -> StoredWorkflow | None:
        """Return the version with this content hash, or None."""
        query = select(WorkflowVersionRow).where(col(WorkflowVersionRow.workflow_hash) == workflow_hash).limit(1)
        async with self._database.reading() as session:
            row = (await session.exec(query)).first()
        return _stored(row) if row else None

    async def current(self, *, limit: int = 200, offset: int = 0) -> list[StoredWorkflow]:
        """Return the current version of every workflow, by name."""
        newest = (
            select(col(WorkflowVersionRow.name), func.max(col(WorkflowVersionRow.version)).label("version"))
            .group_by(col(WorkflowVersionRow.name))
            .order_by(col(WorkflowVersionRow.name))
            .limit(limit)
            .offset(offset)
            .subquery()
        )
        query = (
            select(WorkflowVersionRow)
            .join(
                newest,
                (col(WorkflowVersionRow.name) == newest.c.name) & (col(WorkflowVersionRow.version) == newest.c.version),
            )
            .order_by(col(WorkflowVersionRow.name))
        )
        async with self._database.reading() as session:
            return [_stored(row) for row in (await session.exec(query)).all()]

    async def current_hashes(self, *, most: int) -> dict[str, str]:
        """Return the content hash of the current version of every workflow, by name."""
        rows = await self._database.look_up(lambda conn: _CURRENT_HASHES.rows(conn, {"most": most}))
        return dict(rows)

    async def versions(self, name: str) -> Sequence[StoredWorkflow]:
        """Return every version of a workflow, oldest first."""
        query = select(WorkflowVersionRow).where(col(WorkflowVersionRow.name) == name)
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(WorkflowVersionRow.version)))).all()
        return [_stored(row) for row in rows]


async def _current(session: AsyncSession, name: str) -> WorkflowVersionRow | None:
    query = select(WorkflowVersionRow).where(col(WorkflowVersionRow.name) == name)
    return (await session.exec(query.order_by(col(WorkflowVersionRow.version).desc()).limit(1))).first()


async def _enter(
    session: AsyncSession, row: WorkflowVersionRow, workflow: Workflow, before: WorkflowVersionRow | None
) -> None:
    """Enter a version into the tree, with what it changed."""
    documents = None
    with contextlib.suppress(CorruptRecord):  # what cannot be read is put again, and then nothing is compared
        documents = (document_of(_stored(before).workflow), document_of(workflow)) if before is not None else None
    new = NewVersion(
        *("workflow", row.name, row.version, row.workflow_hash, row.source, row.created_by, row.created_at),
        parent=row.parent_version,
        note=row.note,
        documents=documents,
    )
    await add_version(session, new)


def document_of(workflow: Workflow) -> dict[str, Any]:
    """Return a workflow as versions are compared."""
    return workflow.model_dump(mode="json", exclude_defaults=True)


async def _exact(session: AsyncSession, name: str, version: int) -> WorkflowVersionRow | None:
    return await session.get(WorkflowVersionRow, (name, version))


def _stored(row: WorkflowVersionRow) -> StoredWorkflow:
    try:
        workflow = Workflow.model_validate_json(row.document)
    except ValidationError as error:
        raise CorruptRecord(
            f"Workflow {row.name!r}, version {row.version}, cannot be read: {error.error_count()} problems."
        ) from error
    return StoredWorkflow(
        workflow,
        row.version,
        row.workflow_hash,
        row.source,
        row.parent_version,
        row.note,
        row.created_by,
        row.created_at,
    )
