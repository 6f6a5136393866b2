"""Automations and their versions: documents that never change, each with a status that does; one version may be live.

Works on the tables of `automation_rows.py`. Every change raises the revision in its own transaction, so that whoever
serves from a copy polls one number. The same row is what writers queue on, on every database.
Shown in use by tests/integration/test_automations.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import ValidationError
from pydantic_core import from_json
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.language.learning.automation import Automation
from evolvent.storage.automation_changes import raise_revision, read_revision
from evolvent.storage.automation_rows import AutomationRow, SmallTalkRow
from evolvent.storage.chains import ChainStore
from evolvent.storage.database import Database
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.run_parts import json_text
from evolvent.storage.versions import NewVersion, Receipt, add_receipt, add_version

Status = Literal["proposed", "verified", "shadow", "canary", "live", "disabled", "rolled_back", "retired"]
STATUSES: tuple[str, ...] = get_args(Status)
UNLEARNT = "unlearn"
"""Who takes out of service what stands on runs that shall not be learnt from."""
_COUNTS = frozenset({"version", "principals", "sessions", "agreement", "expected_tokens_saved"})
_NOTHING: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class StoredAutomation:
    """A version of an automation with its status. `receipts` are what checks and trials said of it, in order."""

    automation: Automation
    status: Status
    source: str
    created_at: datetime
    decided_by: str
    decided_at: datetime
    reason: str
    receipts: tuple[dict[str, Any], ...]


class AutomationStore:
    """Puts, finds and decides about automations."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.chains = ChainStore(database)

    async def put(
        self,
        automation: Automation,
        *,
        status: Status,
        receipts: Sequence[Mapping[str, Any]] = (),
        by: str = "learner",
        reason: str = "",
    ) -> StoredAutomation:
        """Append a version, unless the newest one does the same: then that one is returned, as it stands."""
        now = self._clock.now()

        async def work(session: AsyncSession) -> StoredAutomation:
            await raise_revision(session)
            newest = await _newest(session, automation.automation_id)
            if newest is not None and newest.content_hash == automation.content_hash and not _is_unlearnt(newest):
                return _stored(newest)
            version = 1 if newest is None else newest.version + 1
            if status == "live":
                await _retire_live(session, automation.automation_id, by=by, now=now, successor=version)
            row = AutomationRow(
                automation_id=automation.automation_id,
                version=version,
                content_hash=automation.content_hash,
                document=automation.model_copy(update={"version": version}).model_dump_json(),
                status=status,
                source=by,
                created_at=now,
                decided_by=by,
                decided_at=now,
                reason=reason,
                receipts=json_text([dict(each) for each in receipts]),
            )
            session.add(row)
            await _enter(session, row, newest)
            return _stored(row)

        return await self._database.write(work)

    async def get(self, automation_id: str, version: int | None = None) -> StoredAutomation:
        """Return a version of an automation; the newest where none is named.

        Raises:
            NotFound: there is no such automation or version.
            CorruptRecord: the stored document cannot be read.
        """
        async with self._database.reading() as session:
            return _stored(await _existing(session, automation_id, version))

    async def list(self, status: Status | None = None, *, limit: int = 200) -> list[StoredAutomation]:
        """Return one version of each automation, by id: the live one, else the newest.

        With a status: every version that has it.
        """
        query = select(AutomationRow)
        if status is not None:
            query = query.where(col(AutomationRow.status) == status)
        else:
            rank = func.row_number().over(
                partition_by=col(AutomationRow.automation_id),
                order_by=(col(AutomationRow.status) != "live", col(AutomationRow.version).desc()),
            )
            best = select(col(AutomationRow.automation_id), col(AutomationRow.version), rank.label("rank")).subquery()
            query = query.join(
                best,
                (col(AutomationRow.automation_id) == best.c.automation_id)
                & (col(AutomationRow.version) == best.c.version),
            ).where(best.c.rank == 1)
        query = query.order_by(col(AutomationRow.automation_id), col(AutomationRow.version)).limit(limit)
        async with self._database.reading() as session:
            return [_stored(row) for row in (await session.exec(query)).all()]

    async def versions(self, automation_id: str) -> Sequence[StoredAutomation]:
        """Return every version of an automation, oldest first."""
        query = select(AutomationRow).where(col(AutomationRow.automation_id) == automation_id)
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(AutomationRow.version)))).all()
        return [_stored(row) for row in rows]

    async def live(self) -> Sequence[Automation]:
        """Return the live version of every automation that has one, by id."""
        query = select(AutomationRow).where(col(AutomationRow.status) == "live")
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(AutomationRow.automation_id)))).all()
        return [_stored(row).automation for row in rows]

    async def set_status(
        self, automation_id: str, version: int, status: Status, *, by: str, reason: str = ""
    ) -> StoredAutomation:
        """Decide about a version. One that becomes live retires the version that was.

        Raises:
            NotFound: there is no such automation or version.
        """
        now = self._clock.now()

        async def work(session: AsyncSession) -> StoredAutomation:
            await raise_revision(session)
            row = await _existing(session, automation_id, version)
            if status == "live" and row.status != "live":
                await _retire_live(session, automation_id, by=by, now=now, successor=version)
            await _decide(session, row, Receipt(status, by, now, reason))
            return _stored(row)

        return await self._database.write(work)

    async def put_small_talk(self, scope: tuple[str, str], templates: Sequence[Mapping[str, Any]]) -> None:
        """Replace what is said in a scope, (goal, agent_id), and asks for nothing."""
        goal, agent_id = scope
        document = json_text([dict(each) for each in templates])

        async def work(session: AsyncSession) -> None:
            row = await session.get(SmallTalkRow, (goal, agent_id))
            if row is not None and row.templates == document:
                return
            await raise_revision(session)
            await session.merge(SmallTalkRow(goal=goal, agent_id=agent_id, templates=document))

        await self._database.write(work)

    async def small_talk(self) -> Sequence[dict[str, Any]]:
        """Return the templates of small talk of every scope."""
        query = select(SmallTalkRow).order_by(col(SmallTalkRow.goal), col(SmallTalkRow.agent_id))
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        return [template for row in rows for template in from_json(row.templates)]

    async def revision(self) -> int:
        """Return a number that grows with every change; cheap enough to ask for each second."""
        return await read_revision(self._database)


async def _newest(session: AsyncSession, automation_id: str) -> AutomationRow | None:
    query = select(AutomationRow).where(col(AutomationRow.automation_id) == automation_id)
    return (await session.exec(query.order_by(col(AutomationRow.version).desc()).limit(1))).first()


async def _existing(session: AsyncSession, automation_id: str, version: int | None) -> AutomationRow:
    row = (
        await _newest(session, automation_id)
        if version is None
        else await session.get(AutomationRow, (automation_id, version))
    )
    if row is None:
        which = f" in version {version}" if version is not None else ""
        raise NotFound(f"There is no automation {automation_id!r}{which}; `evolvent automations list` shows them all.")
    return row


async def _retire_live(session: AsyncSession, automation_id: str, *, by: str, now: datetime, successor: int) -> None:
    """Take the live version back before another becomes live: the index allows no two, at no moment."""
    query = select(AutomationRow).where(
        col(AutomationRow.automation_id) == automation_id, col(AutomationRow.status) == "live"
    )
    for row in (await session.exec(query)).all():
        await _decide(session, row, Receipt("retired", by, now, f"Version {successor} took its place."))
    await session.flush()


async def _decide(session: AsyncSession, row: AutomationRow, receipt: Receipt) -> None:
    row.status, row.reason = receipt.status, receipt.reason
    row.decided_by, row.decided_at = receipt.by, receipt.at
    session.add(row)
    await add_receipt(session, "automation", row.automation_id, row.version, receipt)


async def _enter(session: AsyncSession, row: AutomationRow, before: AutomationRow | None) -> None:
    """Enter a version into the tree, with what it changed and what was checked."""
    documents = (document_of(before), document_of(row)) if before is not None else None
    new = NewVersion(
        *("automation", row.automation_id, row.version, row.content_hash, "automated", row.source, row.created_at),
        parent=before.version if before is not None else None,
        note=row.reason,
        documents=documents,
    )
    evidence = {"checks": from_json(row.receipts)}
    await add_version(session, new, Receipt(row.status, row.decided_by, row.decided_at, row.reason, evidence))


def document_of(row: AutomationRow) -> dict[str, Any]:
    """Return an automation as versions are compared: what it does, without the counts of what speaks for it."""
    document: dict[str, Any] = from_json(row.document)
    return {name: value for name, value in document.items() if name not in _COUNTS and value not in _NOTHING}


def _is_unlearnt(row: AutomationRow) -> bool:
    """Say whether it stands on runs that were unlearnt: the same, learnt from others, is another version."""
    return row.status == "rolled_back" and row.decided_by == UNLEARNT


def _stored(row: AutomationRow) -> StoredAutomation:
    try:
        automation = Automation.model_validate_json(row.document)
    except ValidationError as error:
        raise CorruptRecord(
            f"Automation {row.automation_id!r}, version {row.version}, cannot be read: {error.error_count()} problems."
        ) from error
    return StoredAutomation(
        automation=automation,
        status=row.status,  # type: ignore[arg-type]
        source=row.source,
        created_at=row.created_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        reason=row.reason,
        receipts=tuple(from_json(row.receipts)),
    )
