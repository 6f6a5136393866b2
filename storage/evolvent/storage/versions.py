"""One tree of versions for workflows, agents and automations: what followed what, who made it, and what was decided.

Owns the tables versions and version_receipts (definitions); nothing in them is ever changed or deleted. The stores of
the three write here in the transaction that writes the thing itself. Shown in use by
tests/integration/test_versions.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic_core import from_json
from sqlalchemy import Index, ScalarSelect, func
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.events.errors import NotFound
from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.rows import LONG, DefinitionsRow
from evolvent.storage.run_parts import clean, json_text
from evolvent.storage.version_changes import changes

Kind = Literal["workflow", "agent", "automation"]
KINDS: tuple[str, ...] = get_args(Kind)


class VersionRow(DefinitionsRow, table=True):
    """A version as it was made. `changes` is what it did to `parent`; both are empty for the first."""

    __tablename__ = "versions"
    __table_args__ = (Index("ix_versions_created", "created_at"),)
    kind: str = Field(primary_key=True)
    item_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    parent: int | None = None
    content_hash: str
    source: str
    made_by: str
    note: str = Field(default="", sa_type=LONG)
    changes: str = Field(default="", sa_type=LONG)
    created_at: datetime = Field(sa_type=UtcDateTime)


class VersionReceiptRow(DefinitionsRow, table=True):
    """What was checked or decided of a version, in order."""

    __tablename__ = "version_receipts"
    kind: str = Field(primary_key=True)
    item_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    status: str
    made_by: str
    reason: str = Field(default="", sa_type=LONG)
    evidence: str = Field(default="{}", sa_type=LONG)
    created_at: datetime = Field(sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was checked or decided: the status that came of it, who took it, why, and the evidence."""

    status: str
    by: str
    at: datetime
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be added. `documents` are the parent's and its own, for the diff; a first version needs none."""

    kind: Kind
    item_id: str
    version: int
    content_hash: str
    source: str
    by: str
    at: datetime
    parent: int | None = None
    note: str = ""
    documents: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version and its receipts, oldest first. `status` is that of the last receipt, empty without one."""

    kind: str
    item_id: str
    version: int
    parent: int | None
    content_hash: str
    source: str
    by: str
    note: str
    changes: str
    created_at: datetime
    receipts: tuple[Receipt, ...] = ()

    @property
    def status(self) -> str:
        """What was decided last."""
        return self.receipts[-1].status if self.receipts else ""


class VersionStore:
    """Reads the tree."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, kind: str | None = None, item_id: str | None = None, *, status: str | None = None, limit: int = 200
    ) -> list[StoredVersion]:
        """Return versions, the latest first; with a status, those whose last receipt says so."""
        wanted = ((col(VersionRow.kind), kind), (col(VersionRow.item_id), item_id))
        query = select(VersionRow).where(*(column == value for column, value in wanted if value is not None))
        if status is not None:
            query = query.where(_last_status() == status)
        query = query.order_by(
            col(VersionRow.created_at).desc(),
            col(VersionRow.kind),
            col(VersionRow.item_id),
            col(VersionRow.version).desc(),
        )
        async with self._database.reading() as session:
            rows = (await session.exec(query.limit(limit))).all()
            receipts = await _receipts(session, rows)
        return [_stored(row, receipts.get(_key(row), ())) for row in rows]

    async def get(self, kind: str, item_id: str, version: int | None = None) -> StoredVersion:
        """Return a version; the newest where none is named.

        Raises:
            NotFound: there is no such version.
        """
        query = select(VersionRow).where(col(VersionRow.kind) == kind, col(VersionRow.item_id) == item_id)
        if version is not None:
            query = query.where(col(VersionRow.version) == version)
        async with self._database.reading() as session:
            row = (await session.exec(query.order_by(col(VersionRow.version).desc()).limit(1))).first()
            if row is None:
                which = f" in version {version}" if version is not None else ""
                raise NotFound(f"There is no {kind} {item_id!r:.80}{which}; `evolvent versions list` shows them all.")
            receipts = await _receipts(session, [row])
        return _stored(row, receipts.get(_key(row), ()))


async def next_version(session: AsyncSession, kind: Kind, item_id: str) -> int:
    """Return the number that no version of a thing has yet."""
    query = select(func.max(VersionRow.version)).where(col(VersionRow.kind) == kind, col(VersionRow.item_id) == item_id)
    return int((await session.exec(query)).one() or 0) + 1


async def add_version(session: AsyncSession, new: NewVersion, *receipts: Receipt) -> None:
    """Add a version and what is known of it, in the transaction of whoever stores the thing itself."""
    parent = f"{new.item_id}@{new.parent}", f"{new.item_id}@{new.version}"
    session.add(
        VersionRow(
            kind=new.kind,
            item_id=new.item_id,
            version=new.version,
            parent=new.parent,
            content_hash=new.content_hash,
            source=new.source,
            made_by=new.by,
            note=clean(new.note) or "",
            changes=clean(changes(*new.documents, names=parent) if new.documents else "") or "",
            created_at=new.at,
        )
    )
    for number, receipt in enumerate(receipts, start=1):
        session.add(_row(new.kind, new.item_id, new.version, number, receipt))


async def add_receipt(session: AsyncSession, kind: Kind, item_id: str, version: int, receipt: Receipt) -> None:
    """Add what was decided of a version. Whoever calls holds the thing's own row, so that no two count alike."""
    query = select(func.max(VersionReceiptRow.number)).where(
        col(VersionReceiptRow.kind) == kind,
        col(VersionReceiptRow.item_id) == item_id,
        col(VersionReceiptRow.version) == version,
    )
    number = int((await session.exec(query)).one() or 0) + 1
    session.add(_row(kind, item_id, version, number, receipt))


def _row(kind: str, item_id: str, version: int, number: int, receipt: Receipt) -> VersionReceiptRow:
    return VersionReceiptRow(
        kind=kind,
        item_id=item_id,
        version=version,
        number=number,
        status=receipt.status,
        made_by=receipt.by,
        reason=clean(receipt.reason) or "",
        evidence=clean(json_text(dict(receipt.evidence))) or "{}",
        created_at=receipt.at,
    )


def _last_status() -> ScalarSelect[Any]:
    later = (
        select(VersionReceiptRow.status)
        .where(
            col(VersionReceiptRow.kind) == col(VersionRow.kind),
            col(VersionReceiptRow.item_id) == col(VersionRow.item_id),
            col(VersionReceiptRow.version) == col(VersionRow.version),
        )
        .order_by(col(VersionReceiptRow.number).desc())
        .limit(1)
    )
    return later.correlate(VersionRow).scalar_subquery()


def _key(row: VersionRow | VersionReceiptRow) -> tuple[str, str, int]:
    return row.kind, row.item_id, row.version


async def _receipts(
    session: AsyncSession, rows: Sequence[VersionRow]
) -> dict[tuple[str, str, int], tuple[Receipt, ...]]:
    query = select(VersionReceiptRow).where(col(VersionReceiptRow.item_id).in_({row.item_id for row in rows}))
    found: dict[tuple[str, str, int], list[Receipt]] = {}
    for row in (await session.exec(query.order_by(col(VersionReceiptRow.number)))).all():
        receipt = Receipt(row.status, row.made_by, row.created_at, row.reason, from_json(row.evidence))
        found.setdefault(_key(row), []).append(receipt)
    return {key: tuple(each) for key, each in found.items()}


def _stored(row: VersionRow, receipts: tuple[Receipt, ...]) -> StoredVersion:
    return StoredVersion(
        row.kind,
        row.item_id,
        row.version,
        row.parent,
        row.content_hash,
        row.source,
        row.made_by,
        row.note,
        row.changes,
        row.created_at,
        receipts,
    )
